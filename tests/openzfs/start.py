"""The commands of "On real machines" in docs/start.md, as an operator would type them: read from the page itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from tests.labs import REPOSITORY

PAGE = REPOSITORY / "docs/start.md"
_CHAPTER = "\n## On real machines\n"
_SECTION = re.compile(r"^### (.+)\n", re.MULTILINE)
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(machine-[ab])?# (.+)\Z")


@frozen
class Command:
    machine: str | None
    """Whose prompt it stands at; None: no machine's in particular."""
    text: str


def commands(section: str) -> list[Command]:
    """Of the section of this name."""
    _, *parts = _SECTION.split(PAGE.read_text().partition(_CHAPTER)[2])
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    return list(_commands(sections[section]))


def _commands(text: str) -> Iterator[Command]:
    for block in _BLOCK.finditer(text):
        for line in block[1].splitlines():
            if found := _COMMAND.match(line):
                yield Command(found[1], found[2])
