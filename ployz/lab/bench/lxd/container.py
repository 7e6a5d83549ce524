"""The lab's writer as a container of two LXD daemons: its image, its start, and a move with its gap measured."""

from __future__ import annotations

import io
import platform
import secrets
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import frozen

from ployz.lab.bench.gaps import WriterLog
from ployz.lab.bench.lxd.daemon import DATA, POOL, Lxd
from ployz.lab.bench.lxd.recipes import CONTAINER, Recipe
from ployz.lab.bench.stage import SETTLE_S, WRITE_BYTES_PER_S, Stage
from ployz.lab.images import archive, perl

FILES: Final = f"{DATA}/storage-pools/{POOL}/containers/{CONTAINER}/rootfs/data"
IMAGE: Final = "writer"


@frozen
class Container:
    """Stopped, unless it is just being moved."""

    daemons: Mapping[str, Lxd]
    """By machine."""

    def move(self, recipe: Recipe, here: str, there: str) -> float:
        """The longest that nothing was written, in milliseconds."""
        source, target = self.daemons[here], self.daemons[there]
        source.run(f"lxc --quiet start {CONTAINER}")
        time.sleep(SETTLE_S)
        log = WriterLog.at_its_end(source.namespaces, f"{FILES}/log")
        for commands in (recipe.warm, recipe.cut):
            source.run(recipe.script(commands, there))
        gap_ms = log.longest_gap_ms(target.namespaces)
        source.run(recipe.script(recipe.after, there))
        target.run(f"lxc --quiet stop {CONTAINER}")
        return gap_ms


@contextmanager
def container(stage: Stage, machines: Sequence[str], mib: int) -> Iterator[Container]:
    """A writer with `mib` of data on the first of the machines. At the end no daemon is left, and no file of theirs."""
    password = secrets.token_hex()
    known = stage.lab.state()
    daemons: dict[str, Lxd] = {}
    with ExitStack() as at_the_end:
        for name in machines:
            machine = stage.lab.machine(name)
            daemons[name] = Lxd.of(machine, stage.lab.running(name), known.address(machine.name))
            at_the_end.callback(daemons[name].remove_control_groups)
        for each in daemons.values():
            at_the_end.callback(each.down)
            each.up(password)
        for name, each in daemons.items():
            for other in daemons.keys() - {name}:
                each.trust(other, daemons[other], password)
        first = daemons[machines[0]]
        _create(stage, first)
        first.run(f"lxc --quiet start {CONTAINER}")
        stage.fill(mib)(first.namespaces, FILES)
        first.run(f"lxc --quiet stop {CONTAINER}")
        yield Container(daemons)


def _create(stage: Stage, lxd: Lxd) -> None:
    image = perl.build_writer()
    with TemporaryDirectory(prefix="ployz-lab-lxd-", dir=stage.lab.folder) as folder:
        metadata, root = Path(folder) / "metadata.tar", Path(folder) / "root.tar"
        _write_metadata(metadata)
        with root.open("wb") as file:
            archive.write_root(image.root, file)
        lxd.run(f"lxc --quiet image import {metadata} {root} --alias {IMAGE}")
    environment = {**image.environment, "RATE": str(WRITE_BYTES_PER_S)}
    settings = {f"environment.{name}": value for name, value in environment.items()}
    settings["security.privileged"] = "true"  # no ids are mapped: the writer is as Docker runs it
    settings["raw.lxc"] = (
        f"lxc.init.cmd={image.entrypoint[0]}\n"
        f"lxc.signal.halt={image.stop_signal}\n"  # else SIGPWR, as for an init
        f"lxc.cgroup.dir={lxd.control_group}"
    )
    options = " ".join(f"-c '{name}={value}'" for name, value in settings.items())
    lxd.run(f"lxc --quiet init {IMAGE} {CONTAINER} {options}")


def _write_metadata(path: Path) -> None:
    text = f"architecture: {platform.machine()}\ncreation_date: 1\n".encode()
    with tarfile.open(path, "w") as file:
        info = tarfile.TarInfo("metadata.yaml")
        info.size = len(text)
        file.addfile(info, io.BytesIO(text))
