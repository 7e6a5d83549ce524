"""What `bin/check` runs for what was changed. It is a function: the same paths on the same tree give the same tests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.checking.costs import STEP_S, TABLE, read_costs, write_costs
from tests.checking.graph import Graph, graph_of, is_test, read_graph
from tests.checking.selection import (
    ALWAYS,
    BUDGET_S,
    EVERYTHING,
    HERE,
    READERS,
    Selection,
    named_after,
    readers,
    select,
)

ROOT = Path(__file__).parents[3]
SOURCES = {
    "ployz/ids.py": "",
    "ployz/host/zfs/parse.py": "from ployz.ids import Name\n",
    "tests/unit/host/test_zfs_parse.py": "",
    "tests/unit/host/test_near.py": "import ployz.host.zfs.parse\n",
    "tests/unit/host/test_near_and_dear.py": "import ployz.host.zfs.parse\n",
    "tests/unit/host/test_far.py": "import tests.unit.host.test_near\n",
    "tests/unit/test_other.py": "",
    "tests/unit/test_docs.py": "",
    "tests/e2e/test_migrate.py": "import ployz.host.zfs.parse\n",
}
COSTS = {"tests/unit/host/test_near_and_dear.py": 30.0, "tests/unit/host/test_near.py": 2.0}


def chosen(changed: Iterable[str], budget_s: float = 10.0, graph: Graph | None = None) -> dict[str, str]:
    return whys(select(changed, graph or graph_of(SOURCES), COSTS, budget_s))


def whys(selection: Selection) -> dict[str, str]:
    return {each.path: each.why for each in selection.chosen}


@pytest.fixture(scope="module")
def tree() -> Graph:
    return read_graph(ROOT)


@pytest.fixture(scope="module")
def costs() -> Mapping[str, float]:
    return read_costs(TABLE.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- what belongs to a change


def test_tests_named_after_a_file_come_first_and_then_the_nearest_until_the_budget_is_spent() -> None:
    selection = select(["ployz/host/zfs/parse.py"], graph_of(SOURCES), COSTS, 10.0)
    assert list(whys(selection).items()) == [
        ("tests/unit/host/test_zfs_parse.py", "named after it"),
        ("tests/unit/test_docs.py", "whatever was changed"),
        ("tests/unit/host/test_near.py", "1 import away"),
        ("tests/unit/host/test_far.py", "2 imports away"),
    ]
    assert selection.too_far == ("tests/unit/host/test_near_and_dear.py",)


def test_what_is_meant_runs_whatever_it_costs() -> None:
    assert chosen(["tests/unit/host/test_near_and_dear.py"])["tests/unit/host/test_near_and_dear.py"] == "changed"


def test_without_an_end_of_the_budget_nothing_is_too_far() -> None:
    assert "tests/unit/host/test_near_and_dear.py" in chosen(["ployz/ids.py"], math.inf)


def test_a_changed_test_that_needs_real_parts_is_named_and_not_run() -> None:
    selection = select(["tests/e2e/test_migrate.py"], graph_of(SOURCES), COSTS)
    assert selection.elsewhere == ("tests/e2e/test_migrate.py",)
    assert list(whys(selection)) == ["tests/unit/test_docs.py"]


def test_a_file_that_is_gone_still_has_the_tests_named_after_it() -> None:
    graph = graph_of({path: text for path, text in SOURCES.items() if path != "ployz/host/zfs/parse.py"})
    assert "tests/unit/host/test_zfs_parse.py" in chosen(["ployz/host/zfs/parse.py"], graph=graph)


def test_a_file_that_nobody_is_known_to_read_may_be_read_by_any_test() -> None:
    assert set(chosen(["ployz/new.data"])) == {path for path in SOURCES if path.startswith("tests/unit/")} - {
        "tests/unit/host/test_near_and_dear.py"
    }


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("ployz/plan/moves.py", "tests/unit/plan/test_moves.py"),
        ("ployz/plan/moves.py", "tests/unit/plan/test_moves_*.py"),
        ("ployz/host/zfs/parse.py", "tests/unit/host/test_zfs_parse.py"),
        ("ployz/strict/__init__.py", "tests/unit/test_strict.py"),
        ("tests/checking/graph.py", "tests/unit/checking/test_graph.py"),
    ],
)
def test_tests_are_named_after_files(path: str, pattern: str) -> None:
    assert pattern in named_after(path)


@pytest.mark.parametrize("path", ["docs/told.py", "README.md", "tests/cluster/machine.py"])
def test_after_some_files_no_test_is_named(path: str) -> None:
    assert named_after(path) == ()


# ---------------------------------------------------------------- in this tree


def test_no_change_of_one_file_costs_more_than_the_budget(tree: Graph, costs: Mapping[str, float]) -> None:
    """But for files whose own tests cost as much: those run."""
    for path in tree.importers:
        selection = select([path], tree, costs)
        meant = sum(costs.get(each.path, 0.0) for each in selection.chosen if " away" not in each.why)
        assert selection.cost_s <= max(BUDGET_S, meant + BUDGET_S / 2), path


def test_the_same_change_selects_the_same(tree: Graph, costs: Mapping[str, float]) -> None:
    assert select(["ployz/ids.py", "README.md"], tree, costs) == select(
        ["README.md", "ployz/ids.py"], read_graph(ROOT), costs
    )


def test_every_file_that_is_no_python_has_a_row_of_its_own() -> None:
    assert [path for path in _data() if readers(path) == (EVERYTHING,)] == ["pyproject.toml"]


def test_every_reader_is_there(tree: Graph) -> None:
    named = {path for _, paths in READERS for path in paths} - {EVERYTHING} | {*ALWAYS}
    assert sorted(named - tree.importers.keys()) == []


def test_every_row_of_readers_is_the_first_for_some_file() -> None:
    first = {next(pattern for pattern, _ in READERS if _matches(path, pattern)) for path in _data()}
    assert [pattern for pattern, _ in READERS if pattern not in first] == []


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern)


def _data() -> Iterator[str]:
    """Files of the project that are no Python; not what tools and builds leave in the work tree."""
    for path in sorted(ROOT.glob("*")):
        if path.is_file() and path.name != ".git":  # of a work tree beside the clone
            yield path.name
    for folder in ("bin", "docs", "ployz", "tests", ".ci"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix not in {".py", ".pyc"}:
                yield str(path.relative_to(ROOT))


# ---------------------------------------------------------------- costs


def test_the_table_of_costs_names_files_that_are_there(tree: Graph, costs: Mapping[str, float]) -> None:
    assert [
        path for path in costs if path not in tree.importers or not path.startswith(HERE) or not is_test(path)
    ] == []


def test_a_table_of_costs_is_read_back_in_steps() -> None:
    measured = {"tests/unit/test_b.py": 1.3, "tests/unit/test_a.py": 0.1, "tests/unit/test_c.py": 0.9}
    assert read_costs(write_costs(measured)) == {"tests/unit/test_b.py": 1.5, "tests/unit/test_c.py": 2 * STEP_S}
