from __future__ import annotations

import pytest
from attrs import evolve

from ployz.events.types import (
    DeployCommitted,
    Fact,
    Lifecycle,
    MachineIdentified,
    MachineKeyAnnounced,
    MachineKeyRotated,
    MachineLifecycleChanged,
    MachineRemoved,
    MachineSettingChanged,
    OperationKind,
    SlotPlacement,
    SnapshotTaken,
    VolumePlacement,
    VolumeRemoved,
    VolumeTakenOver,
)
from ployz.ids import MachineId, OperationId, ServiceName, ServiceRef, SlotName, SlotRef
from ployz.projections.operations import Status
from ployz.projections.routing import Route, routes
from ployz.projections.settings import MachineSettings
from ployz.projections.view import ClusterView, fold
from ployz.wire.certificates import certificate_of, new_identity, private_key_of, vouch
from tests.unit.projections.examples import (
    DATA,
    DB,
    FIRST,
    FOUNDED,
    PRODUCTION,
    SECOND,
    SLOT,
    A,
    B,
    aborted,
    deployed,
    evidence,
    joined,
    migrated,
    started,
)

FACTS: tuple[Fact, ...] = (
    FOUNDED,
    joined(A, 1),
    joined(B, 2),
    started(),
    deployed(),
    started(SECOND, OperationKind.MIGRATE),
    migrated(),
)

TAKEN = VolumeTakenOver(
    operation_id=OperationId("op-taken"),
    namespace=PRODUCTION,
    by=A,
    from_machine=B,
    volumes=(VolumePlacement(DATA, A, 3),),
    snapshots=(SnapshotTaken(DATA, "ployz-op-1-2", 7),),
    slots=(evolve(SLOT, machine=A, operation_id=OperationId("op-taken")),),
)


def folded(*facts: Fact) -> ClusterView:
    return fold((position, position * 1000, fact) for position, fact in enumerate(facts, start=1))


def test_a_copy_is_the_same_and_stays_as_it_is() -> None:
    view = folded(*FACTS)
    before, again = view.copy(), folded(*FACTS)
    assert before == view
    for position, fact in enumerate((TAKEN, aborted(), MachineRemoved(B)), start=len(FACTS) + 1):
        view.apply(fact, position, 0)
    assert before == again != view


# ---------------------------------------------------------------- positions


def test_a_view_says_how_far_it_is() -> None:
    assert ClusterView().position == 0
    assert folded(*FACTS).position == len(FACTS)


@pytest.mark.parametrize("position", [1, 3, 0])
def test_a_fact_is_applied_once_and_in_its_order(position: int) -> None:
    view = folded(FOUNDED)
    with pytest.raises(AssertionError, match="applied to a view at 1"):
        view.apply(joined(A, 1), position, 0)


def test_a_view_of_the_past_is_a_fold_of_the_facts_up_to_it() -> None:
    then = folded(*FACTS[:5])
    assert then.placement.volumes[DATA].owner == A
    assert folded(*FACTS).placement.volumes[DATA].owner == B


# ---------------------------------------------------------------- machines


def test_a_wireguard_key_changes_only_to_one_that_the_machines_own_key_vouches_for() -> None:
    own, others = new_identity(A), new_identity(A)
    facts = (FOUNDED, joined(A, 1), MachineIdentified(A, certificate_of(own)))
    before = folded(*facts).machines[A]
    for forged in (
        MachineKeyAnnounced(A, "next", vouch(private_key_of(others), A, "next")),
        MachineKeyAnnounced(A, "next", vouch(private_key_of(own), A, "another")),
        MachineKeyAnnounced(A, "next", vouch(private_key_of(own), B, "next")),
        MachineKeyAnnounced(A, "next", "no base64"),
        MachineKeyRotated(A, "next"),
    ):
        assert folded(*facts, forged).machines[A] == before
        assert folded(*facts, forged, MachineKeyRotated(A, "next")).machines[A] == before
    announced = MachineKeyAnnounced(A, "next", vouch(private_key_of(own), A, "next"))
    assert folded(*facts, announced).machines[A] == evolve(before, next_key="next")
    assert folded(*facts, announced, MachineKeyRotated(A, "next")).machines[A] == evolve(before, public_key="next")


def test_members_stand_in_order_of_their_numbers() -> None:
    view = folded(FOUNDED, joined(B, 2), joined(A, 1))
    assert [member.machine for member in view.machines.in_order()] == [A, B]
    assert view.machines.cluster == FOUNDED


def test_a_lifecycle_changes_and_nothing_else_of_the_machine() -> None:
    view = folded(*FACTS, MachineLifecycleChanged(B, Lifecycle.DRAINING))
    assert view.machines[B] == evolve(folded(*FACTS).machines[B], lifecycle=Lifecycle.DRAINING)
    assert not view.machines[B].active
    assert view.machines[A].active


def test_a_setting_changes_and_nothing_else_of_the_machine() -> None:
    settings = [MachineSettingChanged(B, key, value) for key, value in (("gateway", "on"), ("label.zone", "cellar"))]
    view = folded(*FACTS, *settings)
    kept = MachineSettings(gateway=True, labels={"zone": "cellar"})
    assert view.machines[B] == evolve(folded(*FACTS).machines[B], settings=kept)
    assert not folded(*FACTS, *settings, MachineSettingChanged(B, "gateway", "off")).machines[B].settings.gateway


def test_a_machine_that_was_removed_is_no_member() -> None:
    view = folded(*FACTS, MachineRemoved(A))
    assert view.machines.get(A) is None
    assert view.machines.was_removed(A)
    assert not view.machines.was_removed(B)
    assert not folded(*FACTS, MachineRemoved(A), joined(A, 1)).machines.was_removed(A)
    assert set(view.machines.members) == {B}


# ---------------------------------------------------------------- placement


def test_only_a_commit_places_anything() -> None:
    view = folded(*FACTS[:4])
    assert view.placement.namespace(PRODUCTION) is None
    assert list(view.placement.slots()) == []
    assert view.placement.of_service(DB) == []


def test_a_commit_is_the_whole_of_its_namespace() -> None:
    empty = DeployCommitted(SECOND, OperationKind.DEPLOY, PRODUCTION, "empty", (), (), ())
    view = folded(*FACTS[:6], empty)
    assert list(view.placement.slots()) == []
    state = view.placement.namespace(PRODUCTION)
    assert state is not None
    assert (state.manifest, state.operation_id, state.position, state.committed_ms) == ("empty", SECOND, 7, 7000)


def test_a_volume_that_a_commit_does_not_name_keeps_its_owner() -> None:
    """Its service and its declaration are gone, and its data is not."""
    empty = DeployCommitted(SECOND, OperationKind.DEPLOY, PRODUCTION, "empty", (), (), ())
    assert folded(*FACTS[:6], empty).placement.volumes[DATA].owner == A


def test_a_migration_moves_the_slot_and_the_owner_and_raises_the_epoch() -> None:
    placement = folded(*FACTS).placement
    assert [(slot.machine, slot.ipv4) for slot in placement.of_service(DB)] == [(B, SLOT.ipv4)]
    assert [(each.owner, each.epoch) for each in placement.volumes_on(B)] == [(B, 2)]
    assert placement.volumes_on(A) == []


def test_the_base_is_the_final_snapshot_of_the_last_move_in_whatever_order_it_was_written() -> None:
    backwards = evolve(migrated(), evidence=(evidence(2), evidence(1)))
    for last in (migrated(), backwards):
        assert folded(*FACTS[:6], last).placement.base(DATA) == evidence(2)
    assert folded(*FACTS[:5]).placement.base(DATA) is None


def test_a_deploy_that_moves_nothing_keeps_the_base() -> None:
    third = OperationId("op-third")
    again = evolve(migrated(), operation_id=third, evidence=())
    assert folded(*FACTS, started(third), again).placement.base(DATA) == evidence(2)


def test_a_volume_that_was_removed_has_no_owner_and_no_base() -> None:
    placement = folded(*FACTS, VolumeRemoved(DATA)).placement
    assert DATA not in placement.volumes
    assert placement.base(DATA) is None


def test_a_takeover_gives_the_volume_and_its_slots_to_another_machine_and_keeps_the_rest() -> None:
    view = folded(*FACTS, TAKEN)
    assert view.placement.volumes[DATA] == TAKEN.volumes[0]
    assert view.placement.of_service(ServiceRef.parse("production/db")) == list(TAKEN.slots)
    assert view.placement.namespaces.keys() == folded(*FACTS).placement.namespaces.keys()
    base, taken = view.placement.base(DATA), view.placement.takeover(DATA)
    assert base is not None
    assert taken is not None
    assert (base.snapshot, base.guid, taken.from_machine, taken.epoch) == ("ployz-op-1-2", 7, B, 3)
    operation = view.operations.all[TAKEN.operation_id]
    assert (operation.kind, operation.status, operation.participants) == ("takeover", Status.COMMITTED, (A,))


def test_a_takeover_is_over_with_the_next_move_and_not_with_the_next_deploy() -> None:
    kept = evolve(migrated(), operation_id=TAKEN.operation_id, volumes=TAKEN.volumes, evidence=())
    assert folded(*FACTS, TAKEN, kept).placement.takeover(DATA) is not None
    moved = evolve(kept, volumes=(evolve(TAKEN.volumes[0], owner=B, epoch=4),))
    assert folded(*FACTS, TAKEN, moved).placement.takeover(DATA) is None
    assert folded(*FACTS, TAKEN, VolumeRemoved(DATA)).placement.takeover(DATA) is None


def test_slots_stand_in_order_of_their_names_in_whatever_order_they_were_committed() -> None:
    def slot(service: str, name: str) -> SlotPlacement:
        return evolve(SLOT, service=ServiceName(service), slot=SlotName(name))

    slots = (slot("web", "slot-2"), slot("db", "slot-1"), slot("web", "slot-1"))
    view = folded(*FACTS[:4], evolve(deployed(), slots=slots))
    assert [str(ref) for ref, _ in view.placement.slots()] == [
        "production/db/slot-1",
        "production/web/slot-1",
        "production/web/slot-2",
    ]
    assert [each.slot for each in view.placement.of_service(ServiceRef.parse("production/web"))] == ["slot-1", "slot-2"]


# ---------------------------------------------------------------- operations


def test_an_operation_is_undecided_until_a_fact_decides_it() -> None:
    view = folded(*FACTS[:6])
    assert view.operations.status(FIRST) is Status.COMMITTED
    assert [each.operation_id for each in view.operations.undecided()] == [SECOND]
    assert view.operations.status(OperationId("op-other")) is None


def test_a_commit_says_where_and_when_and_with_what_evidence() -> None:
    operation = folded(*FACTS).operations.all[SECOND]
    assert (operation.status, operation.position, operation.decided_ms) == (Status.COMMITTED, 7, 7000)
    assert operation.started_ms == 6000
    assert operation.evidence == (evidence(1), evidence(2))
    assert operation.kind is OperationKind.MIGRATE


def test_an_abort_says_by_whom_and_why_and_places_nothing() -> None:
    view = folded(*FACTS[:6], aborted())
    operation = view.operations.all[SECOND]
    assert (operation.status, operation.reason) == (Status.ABORTED, "machine-b: the target is full")
    assert view.placement.volumes[DATA].owner == A
    assert view.operations.undecided() == []


def test_operations_stand_in_the_order_in_which_they_were_started() -> None:
    assert list(folded(*FACTS).operations.all) == [FIRST, SECOND]


# ---------------------------------------------------------------- routing


def test_a_route_names_the_owner_of_the_last_commit_and_the_kept_address() -> None:
    slot = SlotRef(DB, SlotName("slot-1"))
    assert routes(folded(*FACTS[:6]).placement) == [Route(slot, A, SLOT.ipv6, SLOT.ipv4)]
    assert routes(folded(*FACTS).placement) == [Route(slot, B, SLOT.ipv6, SLOT.ipv4)]
    assert routes(folded(*FACTS[:6], aborted()).placement) == [Route(slot, A, SLOT.ipv6, SLOT.ipv4)]


def test_a_machine_that_is_no_member_is_unknown() -> None:
    assert folded(*FACTS).machines.get(MachineId("machine-x")) is None
