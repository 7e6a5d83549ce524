"""A table made to fit a narrow terminal: one line a row, ids and numbers whole. Pure.

First the columns go that its command can spare, then long cells are shortened. Pipes and --json have all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import evolve, frozen

from ployz.cli.blocks import Table
from ployz.cli.plain import GAP

WHOLE: Final = frozenset({"OPERATION"})
"""Columns of what is copied into the next command: never shortened, however narrow the terminal is."""
CELL_MIN: Final = 8
ELLIPSIS: Final = "…"


@frozen
class Fitted:
    table: Table
    without: tuple[str, ...]
    """Columns that it could spare."""
    shortened: bool

    @property
    def note(self) -> str:
        """Empty: all of it is shown."""
        left_out = f"no {', '.join(self.without)}" if self.without else ""
        cut = "shortened" if self.shortened else ""
        words = ", ".join(filter(None, (left_out, cut)))
        return f"({words}; --json has all)" if words else ""


def fit(table: Table, width: int) -> Fitted:
    """What cannot be made to fit stays as wide as it must be."""
    without: list[str] = []
    for column in table.spare:
        if _width(table) <= width:
            break
        table = _less(table, column)
        without.append(column)
    widths = _shrunk(table, width)
    rows = tuple(tuple(map(shorten, row, widths)) for row in table.rows)
    return Fitted(evolve(table, rows=rows), tuple(without), rows != table.rows)


def shorten(text: str, length: int) -> str:
    """A name loses its middle, since both ends tell it from others; a sentence its last words."""
    if len(text) <= length:
        return text
    if " " not in text:
        tail = (length - 1) // 2
        return text[: length - 1 - tail] + ELLIPSIS + text[len(text) - tail :]
    kept, _, cut = text[: length - 1].rpartition(" ")
    if not kept or len(cut) > length // 2 or text[length - 1] == " ":
        kept = text[: length - 1]
    return kept.rstrip() + ELLIPSIS


def _widths(table: Table) -> list[int]:
    return [max(map(len, cells)) for cells in zip(table.columns, *table.rows, strict=True)]


def _width(table: Table) -> int:
    return _sum(table, _widths(table))


def _sum(table: Table, widths: Sequence[int]) -> int:
    return table.indent + sum(widths) + len(GAP) * (len(widths) - 1)


def _less(table: Table, column: str) -> Table:
    at = table.columns.index(column)
    rows = tuple((*row[:at], *row[at + 1 :]) for row in table.rows)
    return evolve(table, columns=(*table.columns[:at], *table.columns[at + 1 :]), rows=rows)


def _shrunk(table: Table, width: int) -> list[int]:
    """The widest gives first, until it is as wide as the next one."""
    widths = _widths(table)
    fixed = table.right | WHOLE
    least = [
        each if column in fixed else min(each, max(len(column), CELL_MIN))
        for each, column in zip(widths, table.columns, strict=True)
    ]
    while _sum(table, widths) > width:
        able = [at for at, each in enumerate(widths) if each > least[at]]
        if not able:
            break
        widths[max(able, key=lambda at: widths[at])] -= 1
    return widths
