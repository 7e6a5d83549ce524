"""Blocks as plain text: for pipes, files and tests. Nothing is wrapped, cut or coloured, whatever reads it."""

from __future__ import annotations

from collections.abc import Iterable

from ployz.cli.blocks import Block, Fields, Heading, Lines, Table

GAP = "  "


def plain(blocks: Iterable[Block]) -> str:
    """With a blank line between blocks, but none below a heading. Ends with a newline, unless it is empty."""
    text = ""
    after_heading = True
    for block in blocks:
        lines = [line.rstrip() for line in _lines(block)]
        if lines:
            text += "" if after_heading else "\n"
            text += "".join(f"{line}\n" for line in lines)
            after_heading = isinstance(block, Heading)
    return text


def _lines(block: Block) -> list[str]:
    match block:
        case Heading(text):
            return [text]
        case Lines(lines, indent):
            return [" " * indent + line for line in lines]
        case Fields(rows, indent):
            shown = [(label, value) for label, value in rows if value]
            width = max((len(label) for label, _ in shown), default=0)
            return [" " * indent + label.ljust(width) + GAP + value for label, value in shown]
        case Table():
            return table_lines(block) if block.rows else [" " * block.indent + block.empty] if block.empty else []


def table_lines(table: Table) -> list[str]:
    """The names of its columns, and a line for each row."""
    rows = [table.columns, *table.rows]
    widths = [max(len(row[place]) for row in rows) for place in range(len(table.columns))]
    right = [column in table.right for column in table.columns]

    def line(row: tuple[str, ...]) -> str:
        cells = (
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(row, widths, right, strict=True)
        )
        return (" " * table.indent + GAP.join(cells)).rstrip()

    return [line(row) for row in rows]
