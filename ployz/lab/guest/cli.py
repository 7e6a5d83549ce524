"""bin/guest: the guest's image, and a pair of guests to look around in by hand. Help texts here are the reference."""
# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from ployz.errors import Code, PloyzError, Refused
from ployz.lab.guest import image
from ployz.lab.guest.pair import NAMES, pair
from ployz.lab.termination import termination_as_interrupt

Command = Callable[[Callable[[str], None]], None]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    started_s = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - started_s:5.1f} s  {line}", flush=True)

    try:
        if os.geteuid() != 0:
            raise Refused(Code.MISSING_PART, "an image is made of packages as root installs them", "Use sudo.")
        command: Command = arguments.command
        with termination_as_interrupt():
            command(say)
    except PloyzError as error:
        print(f"error {error.problem}", file=sys.stderr)
        if error.problem.advice:
            print(error.problem.advice, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="bin/guest",
        description="Virtual machines with OpenZFS in the kernel, systemd and Docker, for `bin/test openzfs`.",
        epilog="Exit codes: 0 done, 1 refused, 3 failed.",
    )
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command, text in (
        ("build", _build, "Build the image, unless it is there."),
        ("boot", _boot, "Boot two, say how to get in, and run them until Ctrl-C."),
        ("remove", _remove, "Remove the image: nothing of it is left."),
    ):
        commands.add_parser(name, help=text, description=text).set_defaults(command=command)
    return root


def _build(say: Callable[[str], None]) -> None:
    image.image(say)


def _boot(say: Callable[[str], None]) -> None:
    with pair(image.image(say), say) as guests:
        for name, guest in zip(NAMES, guests, strict=True):
            print(f"{name}:  {' '.join(guest.enter())}")
        print("Ctrl-C ends both.", flush=True)
        subprocess.run(["sleep", "infinity"], check=False)


def _remove(say: Callable[[str], None]) -> None:
    image.remove()
    say(f"nothing is left in {image.CACHE}")


if __name__ == "__main__":
    sys.exit(main())
