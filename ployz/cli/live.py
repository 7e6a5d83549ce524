"""The lines at the bottom of a terminal that move: one bar a transfer, drawn by rich.

No thread draws them: they are drawn when there is something new.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

from attrs import frozen
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ployz.printable import one_line

BAR_WIDTH: Final = 24


@frozen
class Bar:
    text: str
    done: int
    total: int
    numbers: str


class StatusArea:
    """A context manager; what is printed meanwhile through the same console stands above it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def draw(self, bars: Iterable[Bar]) -> None:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for bar in bars:
            moving = ProgressBar(total=bar.total, completed=bar.done, width=BAR_WIDTH)
            grid.add_row(Text(one_line(bar.text)), moving, Text(one_line(bar.numbers)))
        self._live.update(grid, refresh=True)
