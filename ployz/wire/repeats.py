"""Warnings that strangers cause: the first of a kind is told at once, the others counted, once a minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from attrs import define, field

EVERY_S: Final = 60.0
KINDS_MAX: Final = 16
"""Kinds that are told apart. What is beyond them is one kind more: a stranger may have any number of addresses."""


@define
class _Seen:
    told_s: float
    more: int = 0


@define
class Repeats:
    _log: logging.Logger
    _now_s: Callable[[], float] = time.monotonic
    _seen: dict[str, _Seen] = field(factory=dict, init=False)

    def warn(self, kind: str, text: str) -> None:
        """`text` is one of its `kind`: a line, or one more to be counted."""
        now_s = self._now_s()
        self._forget(now_s)
        key = kind if kind in self._seen or len(self._seen) < KINDS_MAX else ""
        seen = self._seen.get(key)
        if seen is None:
            self._seen[key] = _Seen(now_s)
            self._log.warning("%s", text)
        elif now_s - seen.told_s < EVERY_S:
            seen.more += 1
        else:
            self._log.warning("%s (and %d more like it since)", text, seen.more)
            self._seen[key] = _Seen(now_s)

    def _forget(self, now_s: float) -> None:
        """Kinds that have been quiet for a minute; what was counted of them is told."""
        for kind, seen in list(self._seen.items()):
            if now_s - seen.told_s >= 2 * EVERY_S:
                if seen.more:
                    self._log.warning("%d more like the last one %s", seen.more, f"of {kind}" if kind else "of others")
                del self._seen[kind]
