"""Blocks for a terminal, by rich: the same words in the same order as plain.py, with bold headings; tables fit it.

Imported only where there is a terminal to print to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich import table
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from ployz.cli.blocks import Block, Fields, Heading, Lines, Table
from ployz.cli.fitting import fit
from ployz.cli.plain import GAP, table_lines


def styled(blocks: Iterable[Block], width: int) -> Iterator[RenderableType]:
    """`width`: of the terminal, in characters."""
    after_heading = True
    for block in blocks:
        rendered = _one(block, width)
        if rendered is not None:
            if not after_heading:
                yield Text()
            yield rendered
            after_heading = isinstance(block, Heading)


def _one(block: Block, width: int) -> RenderableType | None:
    match block:
        case Heading(text):
            return Text(text, style="bold")
        case Lines(lines, indent):
            return Padding(Text("\n".join(lines)), (0, 0, 0, indent), expand=False) if lines else None
        case Fields(rows, indent):
            return _fields([(label, value) for label, value in rows if value], indent)
        case Table():
            return _table(block, width)


def _fields(rows: list[tuple[str, str]], indent: int) -> RenderableType | None:
    if not rows:
        return None
    grid = table.Table.grid(padding=(0, len(GAP), 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(Text(label), Text(value))
    return Padding(grid, (0, 0, 0, indent), expand=False)


def _table(block: Table, width: int) -> RenderableType | None:
    if not block.rows:
        return Padding(Text(block.empty), (0, 0, 0, block.indent), expand=False) if block.empty else None
    fitted = fit(block, width)
    head, *rows = table_lines(fitted.table)
    text = Text("\n".join((head, *rows)), no_wrap=True, overflow="ignore")
    text.stylize("bold", 0, len(head))
    if fitted.note:
        text.append(f"\n{' ' * block.indent}{fitted.note}", style="dim")
    return text
