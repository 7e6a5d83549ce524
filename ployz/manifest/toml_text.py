"""A tree of dicts, lists, text, integers and flags as readable TOML. Any such tree; nothing about manifests.

A table that fits in a line is written in line, as people do; a longer one gets its own header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

WIDTH = 100

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")

Tree = Mapping[str, object]
Path = tuple[str, ...]


def toml_text(tree: Tree) -> str:
    """Keys in the order of the tree. Tables and lists of tables at the top always have headers."""
    headed: dict[str, Any] = {key: value for key, value in tree.items() if _has_header(value)}
    lines = [line for key, value in tree.items() if key not in headed for line in _entry(key, value)]
    for key, value in headed.items():
        tables: list[Tree] = value if isinstance(value, list) else [value]
        header = "[[{}]]" if isinstance(value, list) else "[{}]"
        for table in tables:
            lines += _table((key,), table, header)
    return "\n".join(lines).lstrip("\n") + "\n"


def _has_header(value: object) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)
    )


def _table(path: Path, table: Tree, header: str = "[{}]") -> Iterator[str]:
    """What is its own comes first: whatever follows a header belongs to that header."""
    yield ""
    yield header.format(".".join(_key(key) for key in path))
    headed = {key: value for key, value in table.items() if isinstance(value, dict) and len(_pair(key, value)) > WIDTH}
    for key, value in table.items():
        if key not in headed:
            yield from _entry(key, value)
    for key, value in headed.items():
        yield from _table((*path, key), value)


def _entry(key: str, value: object) -> Iterator[str]:
    line = _pair(key, value)
    if len(line) <= WIDTH or not isinstance(value, list):
        yield line
        return
    yield f"{_key(key)} = ["
    yield from (f"  {_inline(each)}," for each in value)
    yield "]"


def _pair(key: str, value: object) -> str:
    return f"{_key(key)} = {_inline(value)}"


def _inline(value: object) -> str:
    if isinstance(value, dict):
        pairs = ", ".join(_pair(key, inner) for key, inner in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _string(value) if isinstance(value, str) else str(value)


def _key(key: str) -> str:
    return key if _BARE_KEY.match(key) else _string(key)


def _string(text: str) -> str:
    # JSON's escapes are all TOML's too; DEL is the one character that JSON leaves bare and TOML does not.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
