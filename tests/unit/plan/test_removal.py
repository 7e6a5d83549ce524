from __future__ import annotations

import pytest

from ployz.errors import Code, Refused
from ployz.plan.removal import NAMED_MAX, removals, removed_slots, require_consent
from tests.unit.plan.examples import POSTGRES, WEB, cluster, planned, postgres, service

HEAD = 'namespace = "production"\n'
THREE = "placement = { replicated = { count = 3 } }"


def test_a_service_that_a_manifest_leaves_out_ends_and_its_volumes_are_said_to_stay() -> None:
    world = postgres()
    plan = planned(world.view, HEAD + WEB)
    (ended,) = removals(plan)
    assert (ended.service, len(ended.slots)) == ("db", 1)
    assert str(ended).endswith("; production/pgdata stays")
    with pytest.raises(Refused, match="stops and removes 1 slot of production") as refused:
        require_consent(plan)
    assert refused.value.code is Code.REMOVES
    assert "--remove" in refused.value.problem.advice


def test_a_service_that_is_scaled_down_goes_on_and_nobody_is_asked() -> None:
    world = cluster()
    world.commit(HEAD + service("web", THREE))
    plan = planned(world.view, HEAD + service("web"))
    assert len(removed_slots(plan)) == 2
    assert removals(plan) == ()
    require_consent(plan)


def test_a_service_that_is_scaled_to_nothing_by_leaving_it_out_names_every_machine_that_it_is_on() -> None:
    world = cluster()
    world.commit(HEAD + service("web", THREE))
    (ended,) = removals(planned(world.view, HEAD))
    assert str(ended) == "web, 3 slots on machine-a, machine-b, machine-c"


def test_what_changes_in_place_needs_no_consent() -> None:
    require_consent(planned(postgres().view, POSTGRES.replace("postgres:17", "postgres:18")))


def test_what_is_listed_is_bounded() -> None:
    world = cluster()
    world.commit(HEAD + "".join(service(f"s{number}") for number in range(NAMED_MAX + 2)))
    with pytest.raises(Refused, match=r"removes 22 slots .*and 2 more"):
        require_consent(planned(world.view, HEAD))
