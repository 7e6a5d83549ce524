from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from ployz.events.types import SlotPlacement
from ployz.ids import MachineId, OperationId, ServiceName, SlotName, SlotRef
from ployz.plan import names
from ployz.plan.settle import ContainerAction, Create, FoundContainer, Gate, Keep, Remove, Start, settle_containers
from ployz.projections.operations import Status
from tests.unit.plan.bounds import BOUNDED

DONE, OLDER, ABORTED, RUNNING, UNKNOWN = (
    OperationId(f"op-{n}") for n in ("done", "older", "aborted", "running", "new")
)
STATUS = {
    DONE: Status.COMMITTED,
    OLDER: Status.COMMITTED,
    ABORTED: Status.ABORTED,
    RUNNING: Status.UNDECIDED,
}
OPEN, CLOSED = Gate(None), Gate(RUNNING)
ONE, TWO = SlotRef.parse("production/db/slot-1"), SlotRef.parse("production/db/slot-2")


def placed(slot: SlotRef = ONE, operation_id: OperationId = DONE) -> tuple[SlotRef, SlotPlacement]:
    number = int(slot.slot.removeprefix("slot-"))
    placement = SlotPlacement(
        service=ServiceName("db"),
        slot=SlotName(slot.slot),
        machine=MachineId("machine-a"),
        ipv6=f"fd00:1:0:1::{number}",
        ipv4=f"10.210.0.{number}",
        image_id="sha256:1",
        template_hash="t",
        operation_id=operation_id,
    )
    return slot, placement


def found(
    operation_id: OperationId = DONE, slot: SlotRef = ONE, *, running: bool = True, wanted: bool = True
) -> FoundContainer:
    return FoundContainer(names.container(slot, operation_id), slot, operation_id, running, wanted)


def settled(
    slots: Iterable[tuple[SlotRef, SlotPlacement]], containers: Iterable[FoundContainer], gate: Gate = OPEN
) -> list[ContainerAction]:
    return settle_containers(list(slots), containers, gate=gate, status_of=STATUS.get)


def name(operation_id: OperationId, slot: SlotRef = ONE) -> str:
    return names.container(slot, operation_id)


# ---------------------------------------------------------------- one slot


def test_the_container_of_the_commit_is_kept() -> None:
    assert settled([placed()], [found()]) == [Keep(name(DONE), ONE)]


def test_a_stopped_container_of_the_commit_is_started() -> None:
    assert settled([placed()], [found(running=False)]) == [Start(name(DONE), ONE)]


def test_a_container_that_ended_and_is_not_to_be_restarted_stays_ended() -> None:
    assert settled([placed()], [found(running=False, wanted=False)]) == []


def test_a_slot_without_a_container_gets_one() -> None:
    slot, placement = placed()
    assert settled([placed()], []) == [Create(slot, placement)]


def test_a_container_whose_slot_moved_away_is_removed() -> None:
    assert settled([], [found()]) == [Remove(name(DONE), ONE)]


def test_a_container_that_was_replaced_is_removed_before_its_successor_is_made() -> None:
    slot, placement = placed()
    assert settled([placed()], [found(OLDER)]) == [Remove(name(OLDER), ONE), Create(slot, placement)]


def test_a_candidate_of_an_aborted_operation_is_removed_and_the_old_container_started_again() -> None:
    containers = [found(ABORTED), found(DONE, running=False)]
    assert settled([placed()], containers) == [Remove(name(ABORTED), ONE), Start(name(DONE), ONE)]


def test_a_candidate_that_no_fact_names_is_removed() -> None:
    assert settled([], [found(UNKNOWN)]) == [Remove(name(UNKNOWN), ONE)]


def test_a_slot_of_another_one_is_settled_by_itself() -> None:
    slot, placement = placed(TWO)
    assert settled([placed(), placed(TWO)], [found()]) == [Keep(name(DONE), ONE), Create(slot, placement)]


# ---------------------------------------------------------------- while an operation is undecided


def test_a_candidate_of_an_undecided_operation_is_left_to_its_coordinator() -> None:
    assert settled([], [found(RUNNING)]) == []
    assert settled([], [found(RUNNING, running=False)]) == []


def test_an_old_container_is_not_started_beside_the_candidate_that_replaces_it() -> None:
    """They would have one address, and one volume."""
    assert settled([placed()], [found(DONE, running=False), found(RUNNING)]) == []


def test_an_old_container_is_started_while_the_candidate_is_not() -> None:
    containers = [found(DONE, running=False), found(RUNNING, running=False)]
    assert settled([placed()], containers) == [Start(name(DONE), ONE)]


def test_no_container_is_made_beside_a_running_candidate() -> None:
    assert settled([placed()], [found(RUNNING)]) == []


def test_behind_a_closed_gate_nothing_starts() -> None:
    assert settled([placed()], [found(running=False)], CLOSED) == []
    assert settled([placed()], [], CLOSED) == []


def test_behind_a_closed_gate_what_runs_is_left_and_what_is_left_over_goes() -> None:
    assert settled([placed()], [found(), found(ABORTED, running=False)], CLOSED) == [
        Remove(name(ABORTED), ONE),
        Keep(name(DONE), ONE),
    ]


# ---------------------------------------------------------------- for any world


@frozen
class World:
    slots: tuple[tuple[SlotRef, SlotPlacement], ...]
    containers: tuple[FoundContainer, ...]

    def after(self, actions: Iterable[ContainerAction]) -> World:
        """What is there when the actions were carried out, in order."""
        there = {each.name: each for each in self.containers}
        for action in actions:
            match action:
                case Remove(container):
                    del there[container]
                case Start(container):
                    there[container] = evolve(there[container], running=True)
                case Create(slot, placement):
                    made = found(placement.operation_id, slot)
                    assert made.name not in there
                    there[made.name] = made
                case Keep():
                    pass
        return evolve(self, containers=tuple(there.values()))


_operations = st.sampled_from([DONE, OLDER, ABORTED, RUNNING, UNKNOWN])
_slots = st.sampled_from([ONE, TWO])
_worlds = st.builds(
    World,
    slots=st.dictionaries(_slots, st.sampled_from([DONE, OLDER])).map(
        lambda each: tuple(placed(slot, operation_id) for slot, operation_id in each.items())
    ),
    containers=st.dictionaries(st.tuples(_operations, _slots), st.tuples(st.booleans(), st.booleans())).map(
        lambda each: tuple(
            found(operation_id, slot, running=running, wanted=wanted)
            for (operation_id, slot), (running, wanted) in each.items()
        )
    ),
)


@BOUNDED
@given(_worlds, st.sampled_from([OPEN, CLOSED]))
def test_settling_twice_equals_settling_once(world: World, gate: Gate) -> None:
    after = world.after(settled(world.slots, world.containers, gate))
    again = settled(after.slots, after.containers, gate)
    assert all(isinstance(action, Keep) for action in again)


@BOUNDED
@given(_worlds, st.sampled_from([OPEN, CLOSED]))
def test_no_action_is_about_a_container_of_an_undecided_operation(world: World, gate: Gate) -> None:
    about = [each for each in settled(world.slots, world.containers, gate) if not isinstance(each, Create)]
    assert not {name(RUNNING), name(RUNNING, TWO)} & {each.container for each in about}


@BOUNDED
@given(_worlds)
def test_never_two_containers_of_one_slot_are_running_that_the_facts_have_decided(world: World) -> None:
    after = world.after(settled(world.slots, world.containers))
    decided = [each.slot for each in after.containers if each.running and each.operation_id != RUNNING]
    assert len(decided) == len(set(decided))


@BOUNDED
@given(_worlds)
def test_behind_a_closed_gate_no_world_starts_anything(world: World) -> None:
    assert not any(isinstance(each, Start | Create) for each in settled(world.slots, world.containers, CLOSED))
