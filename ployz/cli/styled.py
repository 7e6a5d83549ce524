"""Blocks for a terminal, by rich: the same words in the same order as plain.py, with bold headings and folding cells.

Imported only where there is a terminal to print to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from rich import table
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from ployz.cli.blocks import Block, Fields, Heading, Lines, Table
from ployz.cli.plain import GAP

WHOLE: Final = frozenset({"OPERATION"})
"""Columns of what is copied into the next command: never folded, however narrow the terminal is."""


def styled(blocks: Iterable[Block]) -> Iterator[RenderableType]:
    after_heading = True
    for block in blocks:
        rendered = _one(block)
        if rendered is not None:
            if not after_heading:
                yield Text()
            yield rendered
            after_heading = isinstance(block, Heading)


def _one(block: Block) -> RenderableType | None:
    match block:
        case Heading(text):
            return Text(text, style="bold")
        case Lines(lines, indent):
            return Padding(Text("\n".join(lines)), (0, 0, 0, indent), expand=False) if lines else None
        case Fields(rows, indent):
            return _fields([(label, value) for label, value in rows if value], indent)
        case Table():
            return _table(block)


def _fields(rows: list[tuple[str, str]], indent: int) -> RenderableType | None:
    if not rows:
        return None
    grid = table.Table.grid(padding=(0, len(GAP), 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(Text(label), Text(value))
    return Padding(grid, (0, 0, 0, indent), expand=False)


def _table(block: Table) -> RenderableType | None:
    if not block.rows:
        return Padding(Text(block.empty), (0, 0, 0, block.indent), expand=False) if block.empty else None
    made = table.Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style="bold")
    for column in block.columns:
        justify: Literal["left", "right"] = "right" if column in block.right else "left"
        made.add_column(column, justify=justify, overflow="fold", no_wrap=column in WHOLE)
    for row in block.rows:
        made.add_row(*map(Text, row))
    return Padding(made, (0, 0, 0, block.indent), expand=False)
