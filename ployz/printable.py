"""Text that is not ours, made harmless: what containers, programs, other machines and files say goes to terminals.

A terminal obeys what is printed to it. Pure.
"""

from __future__ import annotations

import re
from typing import Final

_OBEYED: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, and C1
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"  # order of writing, and what is not seen
    "\ud800-\udfff]"  # half characters, which no stream takes
)


def printable(text: str) -> str:
    r"""With tabs and line feeds as they are; all else that a terminal would obey is spelled: `\x1b`, `\u202e`.

    A carriage return before a line feed is the end of a line, and goes.
    """
    return _OBEYED.sub(_spelled, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """The same, with everything on one line."""
    return printable(re.sub(r"\s*[\r\n]+\s*", " ", text).replace("\t", " "))


def quoted(text: str) -> str:
    """Lines of somebody else, which cannot be taken for ours: each is set in."""
    return "\n".join(f"  | {line}" for line in printable(text).split("\n"))


def escaped(json: str) -> str:
    """JSON that means the same and is harmless: json.dumps leaves DEL and all beyond it as they are."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", json)


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - two digits
