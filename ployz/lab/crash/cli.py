"""bin/crash: the command line, a lab for as long as it takes, and the table in the end."""
# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ployz.errors import Code, PloyzError, Refused
from ployz.lab.crash import case, table
from ployz.lab.crash.matrix import Case, listen
from ployz.lab.crash.record import recording
from ployz.lab.crash.stage import MANIFEST, Stage
from ployz.lab.operator import Operator
from ployz.lab.temporary import temporary_lab

INTERRUPTED = 130
DAY_S = 24 * 3600
STRIDE = 37
"""Far from one case to the next: neighbours in the list are points close to each other."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    began_s = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began_s:6.1f} s  {line}", flush=True)

    try:
        if os.geteuid() != 0:
            raise Refused(Code.MISSING_PART, "this makes a lab: it needs root", "Use sudo.")
        with (
            temporary_lab(arguments.name, ["web"], say, pool_size="1G") as lab,
            TemporaryDirectory(prefix="ployz-crash-") as folder,
        ):
            stage = Stage(lab)
            Operator(lab).deploy(MANIFEST)
            cases = _chosen(listen(stage), arguments)
            say(f"{len(cases)} cases")
            if arguments.list:
                print(*cases, sep="\n")
                return 0
            slot = stage.slot(stage.machines[0])
            outcomes: list[case.Outcome] = []
            with recording(lab.running(stage.machines[-1]), slot["ipv4"], Path(folder) / "answers") as record:
                for number, each in enumerate(cases, start=1):
                    if time.monotonic() - began_s > arguments.seconds:
                        say(f"the time is over: {len(cases) - number + 1} cases were left out")
                        break
                    outcomes.append(case.run(stage, record, each))
                    say(f"{number}/{len(cases)} {table.line(outcomes[-1])}")
                    if outcomes[-1].problem and arguments.stop:
                        break
                acknowledged = len(record.writes)
    except PloyzError as error:
        print(f"error {error.problem}", *filter(None, [error.problem.advice]), sep="\n", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted: the lab is down", file=sys.stderr)
        return INTERRUPTED
    print(f"\n{table.summary(outcomes, acknowledged)}")
    if arguments.table:
        arguments.table.write_text(table.document(outcomes, acknowledged, len(cases), _commit()))
    return 0 if outcomes and not any(each.problem for each in outcomes) else 3


def _chosen(cases: Sequence[Case], arguments: argparse.Namespace) -> list[Case]:
    chosen = [each for each in cases if not arguments.points or any(word in str(each) for word in arguments.points)]
    return in_todays_order(chosen, int(time.time() // DAY_S)) if arguments.rotate else chosen


def in_todays_order(cases: Sequence[Case], today: int) -> list[Case]:
    """All of them, such that the first few are of every kind, and other ones every day."""
    stride = next(each for each in range(STRIDE, STRIDE + len(cases) + 2) if math.gcd(each, len(cases)) == 1)
    return [cases[(number * stride + today) % len(cases)] for number in range(len(cases))]


def _commit() -> str:
    here = Path(__file__).parent
    return subprocess.run(
        ["git", "-C", here, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/crash",
        description="Kills ployzd at every step of a migration under load, and checks what becomes of it.",
        epilog="Exit codes: 0 all recovered, 1 refused, 2 usage, 3 some did not recover or none was tried, "
        "130 interrupted.",
    )
    parser.add_argument(
        "--points", nargs="+", metavar="WORD", help="only cases whose line has one of these words in it"
    )
    parser.add_argument("--list", action="store_true", help="say which cases there are, and try none")
    parser.add_argument("--rotate", action="store_true", help="in an order that is another one every day")
    parser.add_argument("--seconds", type=float, default=float("inf"), metavar="S", help="begin no case after so long")
    parser.add_argument("--stop", action="store_true", help="at the first failure")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the outcome of every case there")
    parser.add_argument("--name", default="crash", metavar="LAB", help="of the lab (default: crash)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
