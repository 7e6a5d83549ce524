"""The transfers of an operation while they move: which line of progress is printed, and which one only moves a bar.

Without a terminal every line is printed as it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from ployz.actors.messages.operations import Progress
from ployz.cli import human

if TYPE_CHECKING:
    from ployz.cli.live import StatusArea


LEFT_MAX_H: Final = 100
"""What is said of longer ones would be no more than that a link is hardly there."""


class Transfers:
    """`take` and `finish` give the lines that are to be printed now."""

    def __init__(self, area: StatusArea | None) -> None:
        self._area = area
        self._moving: dict[str, Progress] = {}
        """By what is sent: `production/pgdata`, the first word of such a line."""

    def take(self, progress: Progress) -> Iterator[Progress]:
        if self._area is None:
            yield progress
            return
        if progress.total_bytes:
            subject = progress.text.partition(": ")[0]
            before = self._moving.get(subject)
            if before is not None and before.text != progress.text and _whole(before):
                yield before
            self._moving[subject] = progress
        else:
            yield from self.finish()
            yield progress
        self._draw(self._area)

    def finish(self) -> Iterator[Progress]:
        """What arrived is told once more, to stay on the screen."""
        yield from (each for each in self._moving.values() if _whole(each))
        self._moving.clear()

    def _draw(self, area: StatusArea) -> None:
        from ployz.cli.live import Bar

        area.draw(
            Bar(f"{each.phase}  {each.text}", each.sent_bytes, each.total_bytes, numbers(each))
            for each in self._moving.values()
        )


def describe(progress: Progress) -> str:
    """One line: the phase, what is told, and the numbers of a transfer."""
    line = f"{progress.phase:<8}  {progress.text}"
    return f"{line}  {numbers(progress)}" if progress.total_bytes else line


def numbers(progress: Progress) -> str:
    """`120.0 MiB of 512.0 MiB, 80.1 MiB/s, 4.9 s left`."""
    sent, total, elapsed_ms = progress.sent_bytes, progress.total_bytes, progress.elapsed_ms
    speed = human.rate(sent, elapsed_ms)
    if _whole(progress):
        return f"{human.size(sent)} in {human.duration(elapsed_ms)}, {speed}"
    left = f", {_left(round((total - sent) * elapsed_ms / sent))} left" if sent else ""
    return f"{human.size(sent)} of {human.size(total)}, {speed}{left}"


def _left(left_ms: int) -> str:
    return human.duration(left_ms) if left_ms <= LEFT_MAX_H * 3_600_000 else f"more than {LEFT_MAX_H} h"


def _whole(progress: Progress) -> bool:
    return progress.sent_bytes >= progress.total_bytes
