"""Which cases a run tries, in which order, and which lab tries which: nothing depends on the day, all on the commit.

Pure, but for the reading of the commit.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from ployz.lab.crash.faults import FaultCase
from ployz.lab.crash.matrix import Case

AnyCase: TypeAlias = Case | FaultCase
ROUNDS_MIN: Final = 2
"""Of any move: one while the service runs, and the last."""
LONGEST_FIRST_S: Final = 30.0
"""Faults that are held for longer come first, so that no lab begins one when the others are done."""


def in_order(cases: Sequence[AnyCase]) -> list[AnyCase]:
    """Neighbours in the list are points close to each other: a run that is broken off has tried some of every kind."""
    return sorted(cases, key=lambda each: (-_held_s(each), _number(str(each))))


def one_each(cases: Sequence[AnyCase], commit: str) -> list[AnyCase]:
    """One case for each step of each role, and for each kind of fault: of several that there are, the commit decides.

    Over the commits all of them are tried; one commit always tries the same. How many rounds a move takes depends on
    how busy the host is, so that what only a third round reaches is left to a run of all cases.
    """
    cases = [each for each in cases if isinstance(each, FaultCase) or _time(each) <= ROUNDS_MIN]
    coordinators = {_step(each) for each in cases if isinstance(each, Case)} - {
        _step(each) for each in cases if isinstance(each, Case) and each.victim is not each.coordinator
    }
    chosen: dict[tuple[str, str], AnyCase] = {}
    for each in sorted(cases, key=lambda case: _number(f"{commit} {case}")):
        chosen.setdefault(_proves(each, coordinators), each)
    return list(chosen.values())


def current_commit() -> str:
    """Empty: this tree is no clone."""
    here = Path(__file__).parent
    return subprocess.run(
        ["git", "-C", here, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()


def _proves(case: AnyCase, coordinators: set[str]) -> tuple[str, str]:
    """What a coordinator alone does is the coordinator's step, whichever machine that is."""
    if isinstance(case, FaultCase):
        return "fault", case.fault.kind
    step = _step(case)
    return ("coordinator" if step in coordinators else case.victim), step


def _step(case: Case) -> str:
    """Of `before/append/vote.cast:2` it is `append/vote.cast`: before and after, first and second time are one step."""
    return case.point.partition(":")[0].removeprefix("before/").removeprefix("after/")


def _time(case: Case) -> int:
    return int(case.point.partition(":")[2])


def _held_s(case: AnyCase) -> float:
    return case.fault.held_s if isinstance(case, FaultCase) and case.fault.held_s > LONGEST_FIRST_S else 0.0


def _number(text: str) -> int:
    """The same in every process. A checksum would not do: it is linear, and some cases would never come first."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
