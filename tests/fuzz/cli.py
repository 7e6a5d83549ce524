"""bin/fuzz: goes on where the tests stop, until the time is over. What is found has a number to play it again by."""
# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Final

from tests.fuzz.targets import TARGETS, Target

ROUND: Final = 1_000
"""Examples of one target before it is the next one's turn."""
NUMBER_MAX: Final = 10**9


def main(argv: Sequence[str] | None = None, targets: Mapping[str, Target] | None = None) -> int:
    """1: something was found."""
    known = TARGETS if targets is None else targets
    arguments = _parser(known).parse_args(argv)
    chosen = [known[name] for name in arguments.targets or known]
    if arguments.number is not None:
        return int(sum(_finds(target, arguments.number) for target in chosen) > 0)
    ends_s = time.monotonic() + arguments.minutes * 60
    dice = random.SystemRandom()
    found = 0
    for target in cycle(chosen):
        found += _finds(target, dice.randrange(NUMBER_MAX))
        if time.monotonic() >= ends_s:
            return int(found > 0)
    return 0


def _finds(target: Target, number: int) -> bool:
    try:
        target.play(ROUND, number)
    except Exception as error:  # noqa: BLE001 - whatever it is, it was found
        print(f"{target.name}: number {number}", *traceback.format_exception(error), sep="\n", flush=True)
        return True
    print(f"{target.name}: {ROUND} examples by number {number}, all answered", flush=True)
    return False


def _parser(known: Mapping[str, Target]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bin/fuzz", description="Throws anything at everything that reads.")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--minutes", type=float, metavar="N", help="look for new failures that long")
    how.add_argument("--number", type=int, metavar="NUMBER", help="play what was found again")
    names = ", ".join(f"'{name}'" for name in known)
    parser.add_argument("targets", nargs="*", choices=[*known, []], metavar="TARGET", help=f"of {names}; all")
    return parser


if __name__ == "__main__":
    sys.exit(main())
