"""Who imports whom in a tree of sources: what a changed file can have changed, and at which distance.

Read with ast, not by importing: a file with a mistake in it must not stop the check that would show it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

FOLDERS: Final = ("ployz", "tests", "docs")
"""Where modules of the project lie, from its root."""

FAR: Final = 1_000
"""The distance of what does not import it at all."""


@frozen
class Graph:
    """Of every file its importers: paths from the root, as "ployz/plan/moves.py"."""

    importers: Mapping[str, frozenset[str]]

    def distances(self, changed: Iterable[str]) -> dict[str, int]:
        """How many imports lie between a file and the nearest changed one: 0 for those themselves; without the rest."""
        found = {path: 0 for path in changed if path in self.importers}
        edge = list(found)
        while edge:
            nearer = {importer: found[path] + 1 for path in edge for importer in self.importers[path]}
            edge = [path for path in nearer if path not in found]
            found |= {path: nearer[path] for path in edge}
        return found


def read_graph(root: Path) -> Graph:
    files = {str(path.relative_to(root)) for folder in FOLDERS for path in (root / folder).rglob("*.py")}
    return graph_of({path: (root / path).read_text(encoding="utf-8") for path in sorted(files)})


def graph_of(sources: Mapping[str, str]) -> Graph:
    """Of files and what is written in them. One that cannot be parsed imports nothing."""
    importers: dict[str, set[str]] = {path: set() for path in sources}
    for path, text in sources.items():
        for imported in {*_imported(path, text, sources), *_loaded(path, sources)} - {path}:
            importers[imported].add(path)
    return Graph({path: frozenset(found) for path, found in importers.items()})


def _imported(path: str, text: str, sources: Mapping[str, str]) -> Iterator[str]:
    """Also what is imported in a function, or for the types alone."""
    try:
        tree = ast.parse(text, path)
    except SyntaxError:
        return
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield from _files_of(each.name, sources)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from _files_of(node.module, sources)
            for each in node.names:
                yield from _files_of(f"{node.module}.{each.name}", sources)


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """All of them, at any depth. Expressions, which are most of a tree, hold no import."""
    for statement in body:
        yield statement
        for name in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(statement, name, ()))
        for inner in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            yield from _statements(inner.body)


def _files_of(module: str, sources: Mapping[str, str]) -> Iterator[str]:
    base = module.replace(".", "/")
    yield from (path for path in (f"{base}.py", f"{base}/__init__.py") if path in sources)


def _loaded(path: str, sources: Mapping[str, str]) -> Iterator[str]:
    """What is loaded without an import: a command by its name, and by pytest the conftest files around a test."""
    if path == "ployz/cli/tree.py":
        yield from (each for each in sources if each.startswith("ployz/cli/commands/"))
    if is_test(path):
        yield from (f"{parent}/conftest.py" for parent in Path(path).parents if f"{parent}/conftest.py" in sources)


def is_test(path: str) -> bool:
    """Whether pytest collects it."""
    return path.startswith("tests/") and Path(path).name.startswith("test_") and path.endswith(".py")
