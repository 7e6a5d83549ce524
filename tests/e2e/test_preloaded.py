"""A program that was loaded once and is forked is the process that its own start makes."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from ployz.errors import Failed
from ployz.lab import namespaces
from ployz.lab.cluster import start_node
from ployz.lab.daemon import Daemon
from ployz.lab.machine import PROGRAMS, Machine
from ployz.lab.preloaded import programs
from tests.e2e.cluster import Cluster, eventually

pytestmark = pytest.mark.lab

RIGHTS = re.compile(r"^(Umask|Uid|Gid|Groups|Cap\w+|NoNewPrivs|Seccomp|SigBlk):[ \t]*(.*)$", re.MULTILINE)


def node(cluster: Cluster, name: str) -> tuple[Machine, Daemon]:
    machine = cluster._lab.machine(name)
    running = machine.find()
    assert running is not None
    return machine, machine.node(running)


def restarted(cluster: Cluster, name: str) -> dict[str, object]:
    """What it is, seen from outside."""
    machine, daemon = node(cluster, name)
    daemon.kill()
    start_node(machine)
    process = daemon.namespaces.root / "proc" / str(daemon.pid())
    status = (process / "status").read_text()
    parent, session = (process / "stat").read_text().rpartition(") ")[2].split()[1:4:2]
    files = {number: str((process / "fd" / number).readlink()) for number in ("0", "1", "2")}
    return {"folder": str((process / "cwd").readlink()), "parent": parent, "session": session == str(daemon.pid())} | {
        "files": files,
        "rights": RIGHTS.findall(status),
    }


def test_ployzd_has_the_rights_the_files_and_the_parent_that_a_start_gives_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked = restarted(cluster, "machine-c")
    monkeypatch.delenv(programs.VARIABLE)
    assert forked == restarted(cluster, "machine-c")


def test_ployzctl_says_the_same_and_ends_the_same(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    _, daemon = node(cluster, "machine-c")
    ployzctl = [str(PROGRAMS / "ployzctl")]

    def said() -> list[object]:
        found: list[object] = [daemon.namespaces.run([*ployzctl, "--json", "service", "ls"])]
        for wrong in (["service", "show", "nobody/nothing"], ["nosuch"]):
            with pytest.raises(Failed) as refused:
                daemon.namespaces.run([*ployzctl, *wrong])
            found.append(str(refused.value.problem))
        return found

    forked = said()
    monkeypatch.delenv(programs.VARIABLE)
    assert forked == said()


def test_what_takes_too_long_is_killed_and_does_not_run_on(cluster: Cluster) -> None:
    running = namespaces.find(cluster.folder, "machine-c")
    assert running is not None
    place = programs.find([str(PROGRAMS / "ployzctl")])
    assert place is not None
    with pytest.raises(subprocess.TimeoutExpired):
        programs.run(place, running.pid, ["ployzctl", "events", "tail", "--follow"], os.environ, None, timeout_s=1.0)
    proc = running.root / "proc"
    eventually(lambda: [pid for pid in proc.iterdir() if b"ployz.cli.main" in command_line(pid)], lambda left: not left)


def command_line(process: Path) -> bytes:
    with suppress(FileNotFoundError, NotADirectoryError, ProcessLookupError):
        return (process / "cmdline").read_bytes()
    return b""
