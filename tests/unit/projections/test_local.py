from __future__ import annotations

import pytest

from ployz.events.log import Record
from ployz.events.types import (
    AddressClaimed,
    AddressReserved,
    ContainerRemoved,
    ContainerRestarted,
    ContainerStarted,
    ContainerStopped,
    Event,
    NodeStarted,
    ReceivePrepared,
    ServiceFenced,
    ServiceUnfenced,
    VolumeCreated,
    VolumeDestroyed,
)
from ployz.ids import OperationId, SlotName, SlotRef
from ployz.projections.local import LocalView, Touch
from tests.unit.projections.examples import DATA, DB, FIRST, SECOND, A

SLOT = SlotRef(DB, SlotName("slot-1"))
CONTAINER = "production.db.slot-1.op-first"


def folded(*events: tuple[Event, OperationId | None]) -> LocalView:
    view = LocalView()
    for seq, (event, operation_id) in enumerate(events, start=1):
        view.apply(record(seq, event, operation_id))
    return view


def record(seq: int, event: Event, operation_id: OperationId | None) -> Record:
    return Record(
        seq=seq, at_ms=seq, stream="s", event=event, operation_id=operation_id, step=None, previous_hash=b"", hash=b""
    )


def of(*events: Event, by: OperationId | None = FIRST) -> LocalView:
    return folded(*((event, by) for event in events))


# ---------------------------------------------------------------- gates


def test_a_gate_is_closed_by_a_fence_and_opened_by_its_end_alone() -> None:
    fenced = ServiceFenced(DB, SECOND)
    assert of(fenced).fences == {DB: SECOND}
    assert of(fenced, NodeStarted(A, "1")).fences == {DB: SECOND}
    assert of(fenced, ServiceUnfenced(DB, SECOND)).fences == {}


def test_a_gate_that_is_closed_again_is_closed_by_the_later_operation() -> None:
    assert of(ServiceFenced(DB, FIRST), ServiceUnfenced(DB, FIRST), ServiceFenced(DB, SECOND)).fences == {DB: SECOND}


# ---------------------------------------------------------------- datasets


def test_a_dataset_is_known_by_who_made_it() -> None:
    assert of(VolumeCreated(DATA, "d")).touch(DATA) == Touch(FIRST, None)
    assert of(ReceivePrepared(DATA, None, None, rolled_back=False)).touch(DATA) == Touch(FIRST, None)
    assert of().touch(DATA) is None


def test_the_first_receive_of_an_operation_says_what_it_began_from() -> None:
    rounds = [ReceivePrepared(DATA, base, 1, rolled_back=True) for base in ("old", "round-1", "round-2")]
    assert of(*rounds).touch(DATA) == Touch(FIRST, "old")


def test_a_later_operation_begins_anew() -> None:
    view = folded(
        (ReceivePrepared(DATA, "old", 1, rolled_back=True), FIRST),
        (ReceivePrepared(DATA, "new", 2, rolled_back=True), SECOND),
    )
    assert view.touch(DATA) == Touch(SECOND, "new")


def test_a_dataset_that_was_destroyed_is_touched_by_nobody() -> None:
    assert of(VolumeCreated(DATA, "d"), VolumeDestroyed(DATA, "d", "why")).touch(DATA) is None


def test_a_receive_in_full_after_a_destroyed_copy_made_the_dataset() -> None:
    view = folded(
        (VolumeCreated(DATA, "d"), FIRST),
        (VolumeDestroyed(DATA, "d", "stale"), None),
        (ReceivePrepared(DATA, None, None, rolled_back=False), SECOND),
    )
    assert view.touch(DATA) == Touch(SECOND, None)


# ---------------------------------------------------------------- containers


def test_a_container_that_ployz_stopped_did_not_end_by_itself() -> None:
    assert of(ContainerStopped(SLOT, CONTAINER)).stopped_by_us(CONTAINER)
    assert not of().stopped_by_us(CONTAINER)


@pytest.mark.parametrize(
    "event",
    [
        ContainerStarted(SLOT, CONTAINER),
        ContainerRestarted(SLOT, CONTAINER, "exited with 1"),
        ContainerRemoved(SLOT, CONTAINER),
    ],
)
def test_from_its_next_start_on_its_exit_is_its_own(event: Event) -> None:
    assert not of(ContainerStopped(SLOT, CONTAINER), event).stopped_by_us(CONTAINER)


def test_an_address_is_held_by_a_container_of_its_operation_until_that_is_removed() -> None:
    ours = ContainerRemoved(SLOT, f"production.db.slot-1.{FIRST}")
    earlier = ContainerRemoved(SLOT, f"production.db.slot-1.{SECOND}")
    reserved = AddressReserved(SLOT, "fd00:1:0:1::10", "10.210.0.16")
    claimed = AddressClaimed(SLOT, "fd00:1:0:1::10", "10.210.0.16")
    assert [list(of(reserved, each).reserved) for each in (earlier, ours)] == [[SLOT], []]
    assert [list(of(reserved, claimed, each).claims) for each in (earlier, ours)] == [[SLOT], []]
    assert not of(reserved, claimed).reserved
