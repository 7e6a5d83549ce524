"""The two guests as one cluster: ployzctl on either, and what the kernel, ZFS and Docker say of it there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import frozen

from ployz.lab.guest.guest import Done, Guest
from ployz.lab.images import archive
from ployz.lab.images.load import BUILDERS
from ployz.lab.programs import wait_until
from tests.e2e.clients import COUNTING, Client
from tests.openzfs.conftest import SLOW_NODE

OPERATION_S = 900.0
SOON_S = 300.0
"""What happens by itself has happened by then, under emulation on a busy host too."""

Payload = dict[str, Any]


@frozen
class Migration:
    process: subprocess.Popen[str]

    def result(self) -> Payload:
        """When it is committed."""
        stdout, _ = self.process.communicate(timeout=OPERATION_S)
        assert self.process.returncode == 0, stdout
        payload: Payload = json.loads(stdout.splitlines()[-1])["payload"]
        return payload


@frozen
class GuestCluster:
    guests: Mapping[str, Guest]

    def try_(self, *arguments: str, on: str = "machine-a", stdin: str = "") -> Done:
        argv = ("env", SLOW_NODE, "ployzctl", "--json", *arguments)
        done = self.guests[on].try_(*argv, stdin=stdin.encode(), deadline_s=OPERATION_S)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def get(self, *arguments: str, on: str = "machine-a", stdin: str = "") -> Payload:
        """The payload of a command that must go well."""
        done = self.try_(*arguments, on=on, stdin=stdin)
        assert done.returncode == 0, done.stdout + done.stderr
        payload: Payload = json.loads(done.stdout.splitlines()[-1])["payload"]
        return payload

    def deploy(self, manifest: Payload) -> Payload:
        return self.get("deploy", "-f", "-", stdin=json.dumps(manifest))

    def migrate(self, service: str, to: str, *options: str, on: str = "machine-a") -> Payload:
        return self.get("migrate", "apply", service, "--to", to, *options, on=on)

    @contextmanager
    def migrating(self, service: str, to: str, *options: str) -> Iterator[Migration]:
        """A migration that goes on meanwhile."""
        argv = ["env", SLOW_NODE, "ployzctl", "--json", "migrate", "apply", service, "--to", to, *options]
        with subprocess.Popen(self.guests["machine-a"].enter(*argv), stdout=subprocess.PIPE, text=True) as process:
            try:
                yield Migration(process)
            finally:
                process.kill()

    def slot(self, service: str, on: str = "machine-a") -> Payload:
        rows = self.get("service", "ls", on=on)["slots"]
        (found,) = [row for row in rows if row["service"] == service]
        return dict(found)

    def wait_for_members(self) -> None:
        def all_answer() -> bool:
            found = [self.try_("machine", "ls", on=each) for each in self.guests]
            if any(each.returncode for each in found):
                return False
            lists = [json.loads(each.stdout)["payload"]["machines"] for each in found]
            return all(len(rows) == len(self.guests) and all(row["reachable"] for row in rows) for rows in lists)

        wait_until("that every machine answers on every machine", all_answer, deadline_s=SOON_S)

    def wait_for_service(self, service: str, state: str = "running") -> None:
        wait_until(f"{service} {state}", lambda: self.slot(service)["state"] == state, deadline_s=SOON_S)

    # ------------------------------------------------------------ the machines, without ployz

    def inside(self, machine: str, *argv: str) -> str:
        return self.guests[machine].run(*argv)

    def in_container(self, service: str, *argv: str) -> str:
        row = self.slot(service)
        namespace, name = service.split("/")
        labels = (f"label=ployz.namespace={namespace}", f"label=ployz.service={name}")
        options = [word for each in labels for word in ("--filter", each)]
        (container,) = self.inside(row["machine"], "docker", "ps", "--format", "{{.Names}}", *options).split()
        return self.inside(row["machine"], "docker", "exec", container, *argv)

    def load_image(self, name: str, machine: str) -> None:
        """Built of this host's programs, and loaded into one machine's Docker."""
        with TemporaryDirectory() as folder:
            file = Path(folder) / "image.tar"
            archive.write(BUILDERS[name](), file)
            self.guests[machine].run("docker", "load", "--quiet", stdin=file.read_bytes())

    @contextmanager
    def counting(self, machine: str, *hosts: str) -> Iterator[Client]:
        """A client of a counter, in a machine, while the block runs: one request after the other by each address."""
        argv = self.guests[machine].enter("python3", "-uc", COUNTING, *hosts)
        found = Client()
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                found.answers.append(json.loads(process.stdout.readline()))
                yield found
                stdout, _ = process.communicate(timeout=SOON_S)
                assert process.returncode == 0
                found.answers += [json.loads(line) for line in stdout.splitlines()]
            finally:
                process.kill()
