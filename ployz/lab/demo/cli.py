"""bin/demo's command line: a lab for the time of the story, and how it ends."""
# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ployz.errors import Code, PloyzError, Refused
from ployz.lab.demo.story import Demo, table
from ployz.lab.operator import Operator
from ployz.lab.temporary import temporary_lab

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    started_s = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - started_s:5.1f} s  {line}", flush=True)

    try:
        if os.geteuid() != 0:
            raise Refused(Code.MISSING_PART, "the demo makes a lab: it needs root", "Use sudo.")
        with (
            temporary_lab(arguments.name, ["postgres"], say, keep=arguments.keep) as lab,
            TemporaryDirectory(prefix="ployz-demo-") as folder,
        ):
            outcome = Demo(lab, Operator(lab), say, Path(folder)).tell()
    except PloyzError as error:
        print(f"error {error.problem}", *filter(None, [error.problem.advice]), sep="\n", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: the lab is down", file=sys.stderr)
        return INTERRUPTED
    print(f"\n{table(outcome)}")
    if arguments.keep:
        at = f"bin/lab --name {arguments.name}"
        print(f"\nThe lab is still up. Try: {at} exec machine-a -- ployzctl service ls\nTake it down: {at} down")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/demo",
        description="Moves a PostgreSQL between two lab machines and back while clients commit rows, and proves that "
        "nothing was lost.",
        epilog="Exit codes: 0 everything was proved, 1 refused, 2 usage, 3 something failed, 130 interrupted.",
    )
    parser.add_argument("--keep", action="store_true", help="leave the lab up, to look around in it")
    parser.add_argument("--name", default="demo", metavar="LAB", help="of the lab (default: demo)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
