"""Where the benchmarks play: the lab, an operator on it, writers with filled volumes, and how thorough to be."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from attrs import frozen

from ployz.lab.lab import Lab
from ployz.lab.namespaces import Namespaces
from ployz.lab.operator import Operator
from ployz.plan import names

VOLUMES: Final = "/var/lib/ployz/volumes"
MIB: Final = 1 << 20
FILL_S: Final = 420
WRITE_BYTES_PER_S: Final = 1_000_000
SETTLE_S: Final = 1.0
"""From the start of a writer to the start of a measurement."""


@frozen
class Effort:
    """How often, and how much."""

    cutover_moves: int
    with_large: bool
    lxd_rounds: int
    bulk_moves: int
    bulk_mib: int
    gateway_moves: int
    drain_services: int
    history_facts: int
    mount_deploys: int

    @classmethod
    def quick(cls) -> Effort:
        return cls(
            cutover_moves=4,
            with_large=False,
            lxd_rounds=2,
            bulk_moves=2,
            bulk_mib=128,
            gateway_moves=4,
            drain_services=4,
            history_facts=20_000,
            mount_deploys=20,
        )

    @classmethod
    def whole(cls) -> Effort:
        return cls(
            cutover_moves=8,
            with_large=True,
            lxd_rounds=5,
            bulk_moves=3,
            bulk_mib=512,
            gateway_moves=20,
            drain_services=20,
            history_facts=1_000_000,
            mount_deploys=500,
        )


@frozen
class Stage:
    lab: Lab
    operator: Operator
    effort: Effort
    say: Callable[[str], None]

    def overlay_addresses(self) -> dict[str, str]:
        return {each["machine"]: each["ipv6"] for each in self.operator.ask("machine", "ls")["machines"]}

    def pool(self, machine: str) -> str:
        return self.lab.machine(machine).pool(self.lab.running(machine)).name

    def fill(self, mib: int) -> Callable[[Namespaces, str], None]:
        """Writes a file that does not compress into a folder of a machine."""

        def fill(at: Namespaces, folder: str) -> None:
            source = ["dd", "if=/dev/urandom", f"of={folder}/fill-{time.time_ns()}", "bs=1M", f"count={mib}"]
            at.run([*source, "conv=fsync", "status=none"], deadline_s=FILL_S)

        return fill


@frozen
class Writer:
    """A deployed writer with a volume, in a namespace of its own."""

    stage: Stage
    namespace: str
    bytes_per_s: int = WRITE_BYTES_PER_S

    @property
    def service(self) -> str:
        return f"{self.namespace}/writer"

    @property
    def folder(self) -> str:
        """Of the volume, as it is mounted on its machine."""
        return f"{VOLUMES}/{self.namespace}/data"

    @property
    def log(self) -> str:
        return f"{self.folder}/log"

    def deploy(self, mib: int) -> str:
        """The machine that it was placed on, with `mib` of data in its volume."""
        self.stage.operator.deploy(
            f'namespace = "{self.namespace}"\n'
            '[[volumes]]\nname = "data"\n'
            '[[services]]\nname = "writer"\n'
            "[services.template]\n"
            'image = "writer:latest"\n'
            f'env = {{ RATE = "{self.bytes_per_s}" }}\n'
            'mounts = [{ source = { volume = "data" }, target = "/data" }]\n'
        )
        machine = self.machine()
        self.stage.fill(mib)(self.stage.lab.running(machine), self.folder)
        return machine

    def machine(self) -> str:
        (slot,) = self.stage.operator.ask("service", "show", self.service)["slots"]
        return str(slot["machine"])

    def pause(self) -> None:
        """Frozen where it is, so that it takes nothing from what is measured meanwhile."""
        self._docker("pause")

    def unpause(self) -> None:
        self._docker("unpause")
        time.sleep(SETTLE_S)

    def _docker(self, command: str) -> None:
        at = self.stage.lab.running(self.machine())
        only_mine = ["--filter", f"label={names.LABEL_NAMESPACE}={self.namespace}"]
        (container,) = at.run(["docker", "ps", "--quiet", *only_mine]).split()
        at.run(["docker", command, container])
