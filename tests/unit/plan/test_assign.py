from __future__ import annotations

import random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from ployz.errors import Code
from ployz.events.types import Lifecycle
from ployz.ids import MachineId, ServiceName
from ployz.manifest import Manifest, parse
from ployz.plan.assign import Assignment, assign
from tests.unit.plan.bounds import BOUNDED
from tests.unit.plan.examples import (
    MOVE_DB,
    POSTGRES,
    A,
    B,
    C,
    World,
    cluster,
    intent,
    postgres,
    service,
    volumes,
)

HEAD = 'namespace = "production"\n'


def assigned(world: World, text: str, coordinator: MachineId = A) -> Assignment:
    return assign(parse(text), world.view, coordinator)


def homes(assignment: Assignment) -> dict[str, MachineId]:
    return {f"{each.service}/{each.slot}": each.machine for each in assignment.slots}


def told(assignment: Assignment) -> list[Code]:
    return [problem.code for problem in assignment.problems]


def replicas(count: int, *lines: str, name: str = "web") -> str:
    return service(name, f"placement = {{ replicated = {{ count = {count} }} }}", *lines)


# ---------------------------------------------------------------- staying and spreading


def test_a_slot_stays_where_it_is_although_another_machine_is_emptier() -> None:
    world = cluster(A)
    world.commit(HEAD + replicas(2))
    world.join(B)
    assert homes(assigned(world, HEAD + replicas(2))) == {"web/slot-1": A, "web/slot-2": A}


def test_new_slots_go_to_the_machines_with_the_fewest() -> None:
    assert homes(assigned(cluster(), HEAD + replicas(4))) == {
        "web/slot-1": A,
        "web/slot-2": B,
        "web/slot-3": C,
        "web/slot-4": A,
    }


def test_replicas_of_a_service_are_kept_apart_even_where_a_machine_is_busy_with_others() -> None:
    world = cluster(A, B)
    world.commit('namespace = "other"\n' + replicas(3, 'on = ["machine-a"]'))
    assert homes(assigned(world, HEAD + replicas(2))) == {"web/slot-1": B, "web/slot-2": A}


def test_a_slot_that_is_added_goes_where_its_service_is_not() -> None:
    world = cluster(A, B)
    world.commit(HEAD + replicas(1))
    assert homes(assigned(world, HEAD + replicas(2))) == {"web/slot-1": A, "web/slot-2": B}


def test_the_slots_with_the_highest_numbers_go_first() -> None:
    world = cluster()
    world.commit(HEAD + replicas(3))
    fewer = assigned(world, HEAD + replicas(1))
    assert [slot.slot for slot in fewer.removed] == ["slot-2", "slot-3"]


def test_a_slot_leaves_a_machine_that_on_excludes() -> None:
    world = cluster(A, B)
    world.commit(HEAD + replicas(1))
    assert homes(assigned(world, HEAD + replicas(1, 'on = ["machine-b"]'))) == {"web/slot-1": B}


def test_machines_in_on_that_do_not_exist_are_told() -> None:
    assert told(assigned(cluster(), HEAD + replicas(1, 'on = ["machine-x"]'))) == [
        Code.UNKNOWN_MACHINE,
        Code.NO_MACHINE,
    ]


def test_a_slot_that_has_no_machine_to_go_to_is_not_shown_as_removed() -> None:
    world = cluster(A, B)
    world.commit(HEAD + replicas(1))
    world.set_lifecycle(B, Lifecycle.STANDBY)
    nowhere = assigned(world, HEAD + replicas(1, 'on = ["machine-b"]'))
    assert told(nowhere) == [Code.NO_MACHINE]
    assert nowhere.removed == ()


# ---------------------------------------------------------------- lifecycle


def test_a_draining_machine_keeps_its_slots_and_gets_no_new_one() -> None:
    world = cluster(A, B)
    world.commit(HEAD + replicas(1))
    world.set_lifecycle(A, Lifecycle.DRAINING)
    more = assigned(world, HEAD + replicas(3))
    assert homes(more) == {"web/slot-1": A, "web/slot-2": B, "web/slot-3": B}
    assert more.problems == ()


def test_a_new_service_is_not_pinned_to_a_draining_machine_unseen() -> None:
    """The commit would refuse it, after everything was done."""
    world = postgres()
    world.set_lifecycle(A, Lifecycle.DRAINING)
    reader = service("reader", mounts=["pgdata"], readonly=True)
    assert told(assigned(world, POSTGRES + reader)) == [Code.MACHINE_NOT_ACTIVE]


def test_a_slot_whose_machine_is_gone_is_placed_anew() -> None:
    world = cluster(A, B)
    world.commit(HEAD + replicas(2))
    world.lose(A)
    anew = assigned(world, HEAD + replicas(2), coordinator=B)
    assert homes(anew) == {"web/slot-1": B, "web/slot-2": B}
    assert anew.gone == {A}
    assert anew.problems == ()


def test_a_volume_whose_machine_is_gone_stands_in_the_way() -> None:
    world = postgres()
    world.lose(A)
    lost = assigned(world, POSTGRES.replace('on = ["machine-a", "machine-b"]', ""), coordinator=B)
    assert told(lost) == [Code.OWNED_ELSEWHERE]
    assert "no machine of the cluster any more" in lost.problems[0].text


# ---------------------------------------------------------------- global


def test_a_global_service_has_a_slot_on_each_active_machine_that_is_named_after_it() -> None:
    world = cluster()
    world.set_lifecycle(B, Lifecycle.STANDBY)
    assert homes(assigned(world, HEAD + service("agent", 'placement = "global"'))) == {
        "agent/machine-a": A,
        "agent/machine-c": C,
    }


def test_a_global_service_leaves_a_machine_that_drains() -> None:
    world = cluster(A, B)
    world.commit(HEAD + service("agent", 'placement = "global"'))
    world.set_lifecycle(B, Lifecycle.DRAINING)
    less = assigned(world, HEAD + service("agent", 'placement = "global"'))
    assert homes(less) == {"agent/machine-a": A}
    assert [slot.machine for slot in less.removed] == [B]


def test_a_global_service_goes_to_the_machines_of_on_alone() -> None:
    on = 'on = ["machine-c"]'
    assert homes(assigned(cluster(), HEAD + service("agent", 'placement = "global"', on))) == {"agent/machine-c": C}


def test_a_global_service_without_any_machine_is_told() -> None:
    world = cluster(A)
    world.set_lifecycle(A, Lifecycle.DRAINING)
    assert told(assigned(world, HEAD + service("agent", 'placement = "global"'))) == [Code.NO_MACHINE]


# ---------------------------------------------------------------- volumes


def test_a_service_goes_where_its_volume_is() -> None:
    world = postgres()
    reader = service("reader", mounts=["pgdata"], readonly=True)
    assert homes(assigned(world, POSTGRES + reader, coordinator=C))["reader/slot-1"] == A


def test_all_replicas_go_where_the_new_volume_of_the_first_one_is() -> None:
    text = HEAD + volumes("static") + service("web", "placement = { replicated = { count = 3 } }", mounts=["static"])
    text = text.replace('target = "/static"', 'target = "/static", readonly = true')
    assert set(homes(assigned(cluster(), text)).values()) == {A}


def test_a_new_volume_that_nobody_mounts_is_made_at_the_coordinator_if_it_is_active() -> None:
    world = cluster()
    world.set_lifecycle(B, Lifecycle.DRAINING)
    at_c, at_b = (assigned(world, HEAD + volumes("spare"), coordinator=each) for each in (C, B))
    assert [each.machine for each in at_c.volumes] == [C]
    assert [each.machine for each in at_b.volumes] == [A]


def test_a_service_with_volumes_of_two_machines_is_told() -> None:
    world = cluster(A, B)
    one, two = service("one", mounts=["x"]), service("two", mounts=["y"])
    world.commit(HEAD + volumes("x", "y") + one + two)
    both = assigned(world, HEAD + volumes("x", "y") + one + two + service("both", mounts=["x", "y"]))
    assert told(both) == [Code.OWNED_ELSEWHERE]
    assert "x on machine-a, y on machine-b" in both.problems[0].text


def test_on_does_not_tear_a_service_from_its_volume() -> None:
    torn = assigned(postgres(), POSTGRES.replace('on = ["machine-a", "machine-b"]', 'on = ["machine-c"]'))
    assert told(torn) == [Code.OWNED_ELSEWHERE]
    assert "ployzctl migrate apply production/db --to machine-c" in torn.problems[0].advice


# ---------------------------------------------------------------- moves


def test_an_intent_moves_the_service_and_its_volume() -> None:
    moved = assigned(postgres(), POSTGRES + MOVE_DB)
    assert homes(moved) == {"db/slot-1": B}
    assert [each.machine for each in moved.volumes] == [B]
    assert moved.problems == ()


def test_without_an_intent_nothing_moves() -> None:
    assert homes(assigned(postgres(), POSTGRES, coordinator=B)) == {"db/slot-1": A}


def test_what_is_there_already_does_not_move_again() -> None:
    world = postgres()
    world.commit(POSTGRES + MOVE_DB)
    assert set(told(assigned(world, POSTGRES + MOVE_DB))) == {Code.ALREADY_THERE}


def test_a_volume_that_has_moved_on_is_told() -> None:
    world = postgres()
    away = intent("db", of={"pgdata": (C, B)})
    stale = assigned(world, POSTGRES + away)
    assert told(stale) == [Code.OWNED_ELSEWHERE]
    assert "owned by machine-a, not by machine-c" in stale.problems[0].text


def test_a_target_that_is_unknown_or_not_active_is_told() -> None:
    world = postgres()
    anywhere = POSTGRES.replace('on = ["machine-a", "machine-b"]', "")
    nowhere = anywhere + intent("db", of={"pgdata": (A, MachineId("machine-x"))}, to=MachineId("machine-x"))
    assert told(assigned(world, nowhere)) == [Code.UNKNOWN_MACHINE]
    world.set_lifecycle(B, Lifecycle.DRAINING)
    assert told(assigned(world, POSTGRES + MOVE_DB)) == [Code.MACHINE_NOT_ACTIVE]


def test_a_volume_that_does_not_exist_does_not_move() -> None:
    text = HEAD + volumes("ghost") + intent(of={"ghost": (A, B)})
    assert told(assigned(cluster(), text)) == [Code.UNKNOWN_VOLUME]


# ---------------------------------------------------------------- for any cluster

_counts = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def _committed(order: list[MachineId], counts: list[int], shuffle: random.Random | None) -> tuple[World, Manifest]:
    """The same cluster whatever order its facts' slots stand in."""
    world = cluster()
    text = HEAD + "".join(replicas(count, name=f"s{at}") for at, count in enumerate(counts))
    world.commit(text)
    state = world.view.placement.namespace(parse(text).namespace)
    assert state is not None
    slots = list(state.slots.items())
    if shuffle is not None:
        shuffle.shuffle(slots)
    shuffled = evolve(state, slots=dict(slots))
    world.view.placement._namespaces = {shuffled.namespace: shuffled}
    members = dict(world.view.machines.members)
    world.view.machines._members = {machine: members[machine] for machine in order}
    return world, parse(text)


@BOUNDED
@given(_counts, _counts, st.permutations([A, B, C]), st.randoms(use_true_random=False))
def test_the_order_in_which_facts_are_held_decides_nothing(
    before: list[int], after: list[int], order: list[MachineId], shuffle: random.Random
) -> None:
    plain, _ = _committed([A, B, C], before, None)
    shuffled, _ = _committed(order, before, shuffle)
    wanted = HEAD + "".join(replicas(count, name=f"s{at}") for at, count in enumerate(after))
    assert assigned(plain, wanted) == assigned(shuffled, wanted)


@BOUNDED
@given(_counts)
def test_a_deploy_that_changes_nothing_moves_nothing(counts: list[int]) -> None:
    world = cluster()
    text = HEAD + "".join(replicas(count, name=f"s{at}") for at, count in enumerate(counts))
    world.commit(text)
    again = assigned(world, text)
    assert all(slot.previous is not None and slot.previous.machine == slot.machine for slot in again.slots)
    assert again.removed == ()
    assert {slot.service for slot in again.slots} == {ServiceName(f"s{at}") for at in range(len(counts))}
