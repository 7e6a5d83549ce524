"""What `bin/test other-debian` runs: bin/demo and the quick tests, on a machine as fresh as a newcomer's."""
# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from ployz.errors import Code, PloyzError, Refused
from ployz.lab.engine import remove_control_groups
from ployz.lab.machine import control_group
from ployz.lab.programs import failed
from ployz.lab.release import choice, root
from ployz.lab.release.room import Room, room
from ployz.lab.termination import termination_as_interrupt

PROJECT: Final = Path(__file__).resolve().parents[3]
LAB: Final = "other-debian"
"""Not `demo`: control groups and the network's names are shared with the host, which may tell the story too."""
DEMO_S: Final = 900.0
TESTS_S: Final = 3000.0
REMOVE_S: Final = 20.0
INTERRUPTED: Final = 130


@frozen
class Ran:
    name: str
    took_s: float
    exit_code: int

    def __str__(self) -> str:
        return f"{self.name:<40} {self.took_s:5.0f} s  {'FAILED' if self.exit_code else 'passed'}"


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    started_s = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - started_s:5.1f} s  {line}", flush=True)

    try:
        if os.geteuid() != 0:
            raise Refused(Code.MISSING_PART, "a root is made of packages as root installs them", "Use sudo.")
        root.require_programs()
        of = choice.host(Path("/etc/os-release").read_text())
        release = choice.named(arguments.release) if arguments.release else choice.other(of)
        with termination_as_interrupt(), _folder() as folder:
            say(f"making a root of {release} in {folder}: about a minute")
            place = folder / "root"
            place.mkdir(mode=0o755)
            root.make(place, release, PROJECT, say)
            with room(place, root.folders()) as inside:
                ran = list(_try(inside, arguments.command))
    except PloyzError as error:
        print(f"error {error.problem}", *filter(None, [error.problem.advice]), sep="\n", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: nothing is left", file=sys.stderr)
        return INTERRUPTED
    print(f"\n== on {release}", *ran, sep="\n")
    return 3 if any(each.exit_code for each in ran) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/test other-debian",
        description="Runs bin/demo and the quick tests in a fresh root of the Debian release that this host is not of.",
        epilog="Exit codes: 0 all passed, 1 refused, 2 usage, 3 something failed, 130 interrupted.",
    )
    numbers = [each.number for each in choice.RELEASES]
    parser.add_argument("--release", choices=numbers, help="this one (default: the other one)")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="run this there instead")
    return parser


def _try(inside: Room, command: Sequence[str]) -> Iterator[Ran]:
    """The second even if the first failed: each tells something of its own."""
    if command:
        yield _ran(inside, command, TESTS_S)
        return
    yield _ran(inside, ["bin/demo", "--name", LAB], DEMO_S)
    yield _ran(inside, ["bin/test", "quick"], TESTS_S)


def _ran(inside: Room, argv: Sequence[str], deadline_s: float) -> Ran:
    print(f"\n== {' '.join(argv)}", flush=True)
    began_s = time.monotonic()
    exit_code = inside.run(argv, at=root.PROJECT, environment=choice.environment(os.environ), deadline_s=deadline_s)
    return Ran(" ".join(argv), time.monotonic() - began_s, exit_code)


@contextmanager
def _folder() -> Iterator[Path]:
    """On the disk, where Docker's layers can lie. Gone afterwards, when nothing is mounted in it any more."""
    folder = Path(tempfile.mkdtemp(prefix="ployz-release-", dir="/var/tmp"))
    folder.chmod(0o711)  # a test that becomes another user finds its way through
    try:
        yield folder
    finally:
        remove_control_groups(control_group(Path(LAB)))
        mounted = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {folder}/" in line]
        if mounted:
            raise failed(f"something is still mounted below {folder}", "Unmount it, then remove the folder.")
        _remove(folder)


def _remove(folder: Path) -> None:
    """What was killed a moment ago may still write its last file."""
    end_s = time.monotonic() + REMOVE_S
    while folder.exists():
        with suppress(OSError):
            shutil.rmtree(folder)
            return
        if time.monotonic() > end_s:
            raise failed(f"{folder} could not be removed", "Remove it by hand.")
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
