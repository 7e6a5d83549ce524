from __future__ import annotations

import pytest

from ployz.plan.model import Plan
from ployz.strict import make_converter, pack, structure, unpack
from tests.unit.plan.examples import MOVE_DB, POSTGRES, WEB, A, B, C, cluster, planned, postgres, service

HEAD = 'namespace = "production"\n'


@pytest.mark.parametrize("text", [POSTGRES, POSTGRES + WEB, POSTGRES + MOVE_DB, HEAD])
def test_a_plan_travels_as_it_is(text: str) -> None:
    plan = planned(postgres().view, text)
    converter = make_converter()
    stored = pack(converter.unstructure(plan, Plan))
    assert structure(converter, unpack(stored, limit_bytes=1 << 20), Plan) == plan


def test_participants_are_the_coordinator_and_wherever_something_changes() -> None:
    world = postgres()
    assert planned(world.view, POSTGRES, coordinator=C).participants == (C,)
    assert planned(world.view, POSTGRES + MOVE_DB, coordinator=C).participants == (A, B, C)


def test_a_machine_that_only_loses_a_slot_takes_part() -> None:
    world = cluster()
    world.commit(HEAD + service("web", 'on = ["machine-c"]'))
    assert planned(world.view, HEAD).participants == (A, C)


def test_the_epoch_rises_by_one_with_a_move_and_with_nothing_else() -> None:
    world = postgres()
    epochs = [planned(world.view, text).volumes[0].epoch for text in (POSTGRES, POSTGRES.replace("20G", "30G"))]
    assert epochs == [1, 1]
    assert planned(world.view, POSTGRES + MOVE_DB).volumes[0].epoch == 2
