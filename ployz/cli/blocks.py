"""What a command shows, as values: a few kinds of blocks, of plain text without any style.

plain.py makes a stable text of them for pipes, styled.py something pleasant for terminals.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, field, frozen

from ployz.printable import one_line, printable


@frozen
class Heading:
    text: str


@frozen
class Lines:
    lines: tuple[str, ...]
    indent: int = 0

    @classmethod
    def of(cls, lines: Iterable[str], indent: int = 0) -> Lines:
        return cls(tuple(lines), indent)


@frozen
class Fields:
    """Labels and their values, below each other. An empty value is not shown."""

    rows: tuple[tuple[str, str], ...]
    indent: int = 0


@frozen
class Table:
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[str] = field(factory=frozenset)
    """The columns of numbers."""
    empty: str = ""
    """What is said instead of a table without rows."""
    indent: int = 0
    spare: tuple[str, ...] = ()
    """Columns that a narrow terminal can do without, the first one first."""


Block = Heading | Lines | Fields | Table


def harmless(block: Block) -> Block:
    """The same, whatever others wrote that is in it: a terminal obeys none of it, and a cell is one line."""
    match block:
        case Heading(text):
            return Heading(one_line(text))
        case Lines(lines):
            return evolve(block, lines=tuple(map(printable, lines)))
        case Fields(rows):
            return evolve(block, rows=tuple((one_line(label), one_line(value)) for label, value in rows))
        case Table(_, rows):
            return evolve(block, rows=tuple(tuple(map(one_line, row)) for row in rows))
