"""What of a machine is not as ployz made it, how often it was put back, and when it may be put back again. Pure.

Whoever takes something away may do so for ever. What is put back again and again is put back ever more rarely.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

AT_ONCE: Final = 3
"""So often a kind is put back as soon as it is seen to be wrong."""
PAUSE_FIRST_S: Final = 30.0
PAUSE_MAX_S: Final = 600.0
QUIET_S: Final = 600.0
"""A kind that was as it should be for this long begins anew."""

Wrong = Mapping[str, tuple[str, ...]]
"""By kind (`container`, `network`, `rules`, …): what is missing or changed, each in a word or a few."""


@frozen
class Struggle:
    """One kind of thing that somebody else changes."""

    wrong: tuple[str, ...]
    """As it was found last. Empty: it is as it should be."""
    since_s: float
    """When it was first found wrong, on the clock of the looks."""
    last_s: float
    """When it was last found wrong."""
    repairs: int = 0
    next_s: float = 0.0
    """It is not put back before."""

    @property
    def is_contested(self) -> bool:
        return self.repairs > AT_ONCE


Struggles = Mapping[str, Struggle]


def seen(known: Struggles, wrong: Wrong, now_s: float) -> Struggles:
    """After a look that found this. What was forgotten as quiet is not in it any more."""
    now: dict[str, Struggle] = {}
    for kind, names in wrong.items():
        before = known.get(kind)
        if before is None or _is_quiet(before, now_s):
            before = Struggle(names, now_s, now_s, 0, now_s)
        now[kind] = evolve(before, wrong=names, last_s=now_s) if names else before
    for kind, before in known.items():
        if not wrong.get(kind) and not _is_quiet(before, now_s):
            now[kind] = evolve(before, wrong=())
    return {kind: each for kind, each in now.items() if each.wrong or each.repairs}


def due(struggles: Struggles, now_s: float) -> frozenset[str]:
    """The kinds that are to be put back now."""
    return frozenset(kind for kind, each in struggles.items() if each.wrong and each.next_s <= now_s)


def put_back(struggles: Struggles, kinds: frozenset[str], now_s: float) -> Struggles:
    """After they were: from the fourth time on each waits, twice as long every time."""
    return {
        kind: evolve(each, repairs=each.repairs + 1, next_s=now_s + pause_s(each.repairs + 1))
        if kind in kinds
        else each
        for kind, each in struggles.items()
    }


def pause_s(repairs: int) -> float:
    """Until it may be put back again, after so many times."""
    if repairs < AT_ONCE:
        return 0.0
    return min(PAUSE_FIRST_S * float(2 ** min(repairs - AT_ONCE, 16)), PAUSE_MAX_S)


def _is_quiet(each: Struggle, now_s: float) -> bool:
    return not each.wrong and now_s - max(each.last_s, each.next_s) > QUIET_S
