"""What the peer's recipes hold on to, and when the peer is left out of the benchmarks."""

from __future__ import annotations

import pytest

from ployz.errors import Code, Refused
from ployz.lab.bench import cli
from ployz.lab.bench.lxd.recipes import RECIPES, Recipe, best_of

CHOSEN_BY = "ployz.lab.bench.cli.lxd_daemon.refusal"


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_cuts_from_the_stop_to_the_start_and_leaves_nothing_here(recipe: Recipe) -> None:
    assert recipe.cut[0] == "stop writer"
    assert recipe.cut[-1] == "start {there}:writer"
    assert "move writer {there}:writer" in recipe.cut or "delete writer" in recipe.after


def test_each_snapshot_sorts_after_the_one_before_because_that_is_what_it_is_sent_since() -> None:
    expert = RECIPES[0]
    taken = [each.split()[-1] for each in (*expert.warm, *expert.cut) if each.startswith("snapshot ")]
    assert taken == sorted(set(taken))
    assert [each for each in expert.after if "/" in each] == [f"delete {{there}}:writer/{name}" for name in taken]


def test_a_script_names_the_other_machine() -> None:
    script = RECIPES[0].script(RECIPES[0].cut, "machine-b")
    assert script.splitlines()[-1] == "lxc --quiet start machine-b:writer"


def test_the_best_recipe_has_the_smallest_median() -> None:
    assert best_of({"steady": [20, 30, 40], "once quick": [1, 50, 60]}) == "steady"


def test_the_peer_is_left_out_with_its_reason_where_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CHOSEN_BY, lambda: Refused(Code.MISSING_PART, "lxd is not installed", "Install it."))
    said: list[str] = []
    assert "lxd" not in cli._chosen(["quick"], said.append)
    assert said == ["lxd is left out: lxd is not installed. Install it."]
    assert cli._chosen(["ls"], said.append) == ["ls"]
    with pytest.raises(Refused, match="lxd is not installed"):
        cli._chosen(["lxd"], said.append)


def test_the_peer_is_one_of_all_where_it_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CHOSEN_BY, lambda: None)
    assert cli._chosen([], print) == [name for name in cli.BENCHMARKS if name not in cli.BY_NAME_ALONE]


def test_what_runs_by_name_alone_is_no_part_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CHOSEN_BY, lambda: None)
    assert "mounts" not in cli._chosen(["quick"], print)
    assert cli._chosen(["mounts", "quick"], print) == ["mounts"]
