"""What stands in the way of a plan: collected, each thing once, so that all of it is said at once."""

from __future__ import annotations

from collections.abc import Iterable

from ployz.errors import Code, Problem


class Blockers:
    """In the order in which they were found."""

    def __init__(self, found: Iterable[Problem] = ()) -> None:
        self._found = dict.fromkeys(found)

    def add(self, code: Code, text: str, advice: str = "") -> None:
        self._found.setdefault(Problem(code, text, advice))

    def all(self) -> tuple[Problem, ...]:
        return tuple(self._found)
