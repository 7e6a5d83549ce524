"""What `bin/check` says about its selection."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from tests.checking.selection import Selection

WIDTH: Final = 120
NAMED_MAX: Final = 30
"""Files named for one reason; of more the number is told."""


def selected(selection: Selection, changed: Sequence[str], *, every: bool) -> list[str]:
    files = f"{len(selection.chosen)} files of tests, about {selection.cost_s:.0f} s of CPU"
    if every:
        return [f"all that need no real part: {files}"]
    if not changed:
        return ["nothing was changed"]
    said = [*_wrapped("changed", changed), f"tests that belong to it: {files}"]
    for why in dict.fromkeys(each.why for each in selection.chosen):
        said += _wrapped(f"  {why}", [each.path for each in selection.chosen if each.why == why])
    return said


def left_out(selection: Selection, *, every: bool) -> list[str]:
    """A line for each reason."""
    said = []
    if selection.too_far:
        said.append(
            f"left out: {len(selection.too_far)} files of tests that import it from farther away: a minute is "
            "too short. bin/check --all"
        )
    if selection.elsewhere and not every:
        said += _wrapped("left out, though they belong to it: bin/test has", selection.elsewhere)
    said.append("left out: tests of real parts and labs, which need root, and the simulation: bin/test")
    return said


def _wrapped(head: str, names: Iterable[str]) -> list[str]:
    listed = list(names)
    more = [f"and {len(listed) - NAMED_MAX} more"] if len(listed) > NAMED_MAX else []
    text = f"{head}: {', '.join([*listed[:NAMED_MAX], *more])}"
    return textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)
