"""What keeps a machine from being let go."""

from __future__ import annotations

import pytest

from ployz.errors import Code, Refused
from ployz.plan.holdings import Holdings, check_holds_nothing, check_removable, holdings
from tests.unit.plan.examples import PGDATA, POSTGRES, A, B, C, cluster


def test_a_machine_has_volumes_slots_and_what_it_takes_part_in() -> None:
    world = cluster()
    world.commit(POSTGRES)
    operation_id = world.start()
    held = holdings(world.view, A)
    assert (held.volumes, [str(each) for each in held.slots]) == ((PGDATA,), ["production/db/slot-1"])
    assert held.operations == (operation_id,)
    assert holdings(world.view, C) == Holdings((), (), ())
    world.abort(operation_id)
    assert holdings(world.view, B).nothing


def test_all_that_it_has_is_listed_with_what_to_do() -> None:
    world = cluster()
    world.commit(POSTGRES)
    world.start()
    with pytest.raises(Refused) as caught:
        check_holds_nothing(world.view, A)
    assert caught.value.code is Code.MACHINE_IN_USE
    assert [line.split()[0] for line in caught.value.problem.text.splitlines()[1:]] == [
        "volume",
        "service",
        "operation",
    ]
    assert "machine drain machine-a" in caught.value.problem.advice
    assert "operation watch" in caught.value.problem.advice
    check_holds_nothing(world.view, C)


def test_the_founding_machine_is_needed_whatever_it_has() -> None:
    world = cluster()
    with pytest.raises(Refused) as caught:
        check_removable(world.view, A)
    assert caught.value.code is Code.AUTHORITY
    assert check_removable(world.view, B).machine == B
