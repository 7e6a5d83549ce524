"""What the source says about classes and their attributes: the strings that stand below them.

Python throws these away at run time, so they are read from the source. What they are used for is in `generate`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise


def about(cls: type) -> str:
    """The class's own docstring as one line of Markdown; empty: it has none."""
    return _line(ast.get_docstring(_definition(cls)) or "")


def about_attributes(cls: type) -> dict[str, str]:
    """By name, in order of the source. Empty: the attribute has no string below it."""
    body = _definition(cls).body
    found = {name: "" for node in body if (name := _assigned(node))}
    for node, below in pairwise(body):
        if (name := _assigned(node)) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[name] = _line(str(below.value.value))
    return found


def _definition(cls: type) -> ast.ClassDef:
    source = textwrap.dedent(inspect.getsource(cls))
    return next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))


def _assigned(node: ast.stmt) -> str:
    match node:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case _:
            return ""


def _line(text: str) -> str:
    """A `|` would end a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
