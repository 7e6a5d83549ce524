"""How a container is moved from one LXD daemon to another, as its users' and as an expert's `lxc` commands.

Values only. The commands are typed on the machine that the container leaves; `{there}` is the name of the other one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from attrs import frozen

CONTAINER: Final = "writer"
WARM_ROUNDS: Final = 3
"""As many as the move by hand has."""


@frozen
class Recipe:
    name: str
    cut: Sequence[str]
    """From the one that stops it here to the one that starts it there."""
    warm: Sequence[str] = ()
    """While it runs."""
    after: Sequence[str] = ()
    """Once it runs there: nothing of it is left here, and no snapshot there."""

    def script(self, commands: Sequence[str], there: str) -> str:
        """For one shell, so that nobody waits between two commands."""
        return "\n".join(f"lxc --quiet {each}".format(there=there) for each in commands)


def _snapshot(number: int) -> str:
    # LXD sends each snapshot since the one before it *by name*: one that sorts before the others is sent in full.
    return f"round-{number}"


_SNAPSHOTS: Final = [_snapshot(number) for number in range(1, WARM_ROUNDS + 2)]
_STOP: Final = f"stop {CONTAINER}"
_START: Final = f"start {{there}}:{CONTAINER}"
_DELETE: Final = f"delete {CONTAINER}"
_COPY: Final = f"{CONTAINER} {{there}}:{CONTAINER}"
_WARM_COPY: Final = f"copy --stateless {_COPY}"
_WARM_REFRESH: Final = f"copy --stateless --refresh {_COPY}"
_LAST_REFRESH: Final = f"copy --refresh {_COPY}"


def _with_snapshots() -> Recipe:
    warm: list[str] = []
    for number, snapshot in enumerate(_SNAPSHOTS[:-1]):
        warm += [f"snapshot {CONTAINER} {snapshot}", _WARM_REFRESH if number else _WARM_COPY]
    return Recipe(
        "an expert's: refresh from snapshots",
        warm=warm,
        cut=[_STOP, f"snapshot {CONTAINER} {_SNAPSHOTS[-1]}", _LAST_REFRESH, _START],
        after=[_DELETE, *(f"delete {{there}}:{CONTAINER}/{each}" for each in _SNAPSHOTS)],
    )


RECIPES: Final[Sequence[Recipe]] = (
    _with_snapshots(),  # first: in each round it is the neighbour of what it is compared with
    Recipe("stop, move, start", cut=[_STOP, f"move {_COPY}", _START]),
    Recipe(
        "copy, refresh, stop, refresh, start",
        warm=[_WARM_COPY, _WARM_REFRESH],
        cut=[_STOP, _LAST_REFRESH, _START],
        after=[_DELETE],
    ),
)


def best_of(gaps_ms: Mapping[str, Sequence[float]]) -> str:
    """The name of the recipe with the smallest median."""
    return min(gaps_ms, key=lambda name: median(gaps_ms[name]))
