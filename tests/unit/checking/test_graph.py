from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.checking.graph import Graph, graph_of, read_graph

ROOT = Path(__file__).parents[3]
SOURCES = {
    "ployz/ids.py": "",
    "ployz/plan/__init__.py": "",
    "ployz/plan/moves.py": "from ployz.ids import Name\n",
    "ployz/plan/late.py": "def f():\n    try:\n        from ployz.plan import moves\n    finally:\n        pass\n",
    "ployz/cli/tree.py": "",
    "ployz/cli/commands/machine/ls.py": "import ployz.plan.late\n",
    "tests/unit/conftest.py": "",
    "tests/unit/plan/test_moves.py": "from ployz.plan.moves import Move\n",
    "tests/unit/cli/test_tree.py": "from ployz.cli import tree\n",
    "tests/unit/plan/test_broken.py": "from ployz.ids import (\n",
}


def importers(path: str) -> set[str]:
    return set(graph_of(SOURCES).importers[path])


@cache
def tree() -> Graph:
    """Of this tree: it takes seconds to read."""
    return read_graph(ROOT)


def test_a_file_is_imported_by_whoever_names_it_also_in_a_function() -> None:
    assert importers("ployz/ids.py") == {"ployz/plan/moves.py"}
    assert importers("ployz/plan/moves.py") == {"ployz/plan/late.py", "tests/unit/plan/test_moves.py"}


def test_what_is_loaded_without_an_import_is_known() -> None:
    assert importers("ployz/cli/commands/machine/ls.py") == {"ployz/cli/tree.py"}
    assert "tests/unit/plan/test_moves.py" in importers("tests/unit/conftest.py")


def test_a_distance_is_the_number_of_imports_on_the_shortest_way() -> None:
    graph = graph_of(SOURCES)
    distances = graph.distances(["ployz/ids.py", "README.md"])
    assert distances == {
        "ployz/ids.py": 0,
        "ployz/plan/moves.py": 1,
        "ployz/plan/late.py": 2,
        "tests/unit/plan/test_moves.py": 2,
        "ployz/cli/commands/machine/ls.py": 3,
        "ployz/cli/tree.py": 4,
        "tests/unit/cli/test_tree.py": 5,
    }


def test_files_that_import_each_other_have_distances_too() -> None:
    graph = Graph({"a": frozenset({"b"}), "b": frozenset({"a", "c"}), "c": frozenset()})
    assert graph.distances(["a"]) == {"a": 0, "b": 1, "c": 2}


@pytest.mark.parametrize(
    ("changed", "test"),
    [
        ("ployz/ids.py", "tests/unit/manifest/test_reading.py"),
        ("ployz/cli/commands/machine/ls.py", "tests/unit/cli/test_golden.py"),
        ("tests/cluster/cluster.py", "tests/unit/actors/test_migrate.py"),
        ("tests/contracts/conftest.py", "tests/contracts/test_zfs.py"),
        ("docs/told.py", "tests/unit/test_reference.py"),
    ],
)
def test_the_tests_of_this_tree_are_reached(changed: str, test: str) -> None:
    assert test in tree().distances([changed])
