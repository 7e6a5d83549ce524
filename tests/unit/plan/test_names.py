from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ployz.host.ports import Keep
from ployz.ids import (
    MachineId,
    Namespace,
    OperationId,
    ServiceName,
    ServiceRef,
    SlotName,
    SlotRef,
    VolumeName,
    VolumeRef,
)
from ployz.plan import names
from tests.unit.plan.bounds import BOUNDED

LONG = "x" * 63
OPERATION = OperationId.make(1_700_000_000_000, b"random")
SLOT = SlotRef(ServiceRef(Namespace(LONG), ServiceName(LONG)), SlotName(LONG))

_DOCKER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")
_operations = st.builds(OperationId.make, st.integers(0, 2**47 - 1), st.binary(min_size=6, max_size=6))


@BOUNDED
@given(_operations, st.integers(1, 10**6))
def test_a_snapshot_tells_the_operation_that_took_it(operation_id: OperationId, round_number: int) -> None:
    assert names.operation_of_snapshot(names.snapshot(operation_id, round_number)) == operation_id


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ployz",
        "ployz-",
        "ployz-op-",
        "ployz-op--1",
        "ployz-op-1",
        "ployz-op-abc-",
        "ployz-op-abc-final",
        "ployz-op-ABC-1",
        "ployz-op-a_b-1",
        "ployz-op-abc-1\n",
        "ployz-op-" + "a" * 200 + "-1",
        "syncoid_host_2026-01-01",
        "autosnap-op-abc-1",
        "xployz-op-abc-1",
    ],
)
def test_a_snapshot_of_somebody_else_is_not_ours(name: str) -> None:
    assert names.operation_of_snapshot(name) is None
    assert not names.is_ours(name)


@BOUNDED
@given(st.text(st.sampled_from("ployz-op1a\n"), max_size=20))
def test_no_name_is_too_strange(text: str) -> None:
    found = names.operation_of_snapshot(text)
    assert found is None or text.startswith(f"ployz-{found}-")


def test_snapshots_of_two_operations_or_rounds_never_meet() -> None:
    other = OperationId.make(1_700_000_000_000, b"entrop")
    made = [names.snapshot(operation_id, number) for operation_id in (OPERATION, other) for number in (1, 2, 11)]
    assert len(set(made)) == len(made)


def test_the_longest_snapshot_fits_into_the_256_characters_of_zfs() -> None:
    volume = VolumeRef(Namespace(LONG), VolumeName(LONG))
    full = f"{names.dataset('a-pool-with-a-long-name/ployz', volume)}@{names.snapshot(OPERATION, 99)}"
    assert len(full) < 255


def test_the_longest_container_name_is_one_for_docker_and_for_a_file() -> None:
    name = names.container(SLOT, OPERATION)
    assert _DOCKER_NAME.match(name)
    assert len(name) <= 255


def test_containers_of_two_operations_of_one_slot_have_different_names() -> None:
    other = OperationId.make(1_700_000_000_001, b"random")
    assert names.container(SLOT, OPERATION) != names.container(SLOT, other)


def test_names_with_dashes_are_not_taken_for_each_other() -> None:
    one = SlotRef.parse("a-b/c/slot-1")
    other = SlotRef.parse("a/b-c/slot-1")
    assert names.container(one, OPERATION) != names.container(other, OPERATION)


def test_labels_say_what_the_container_is_for() -> None:
    found = names.labels(SlotRef.parse("production/db/slot-1"), OPERATION, "t")
    assert found == {
        "ployz.namespace": "production",
        "ployz.service": "db",
        "ployz.slot": "slot-1",
        "ployz.operation": OPERATION,
        "ployz.template": "t",
    }
    assert names.service_labels(ServiceRef.parse("production/db")).items() <= found.items()


def test_a_step_is_told_apart_by_what_it_is_about_and_by_its_round() -> None:
    volume = VolumeRef.parse("production/pgdata")
    assert names.step("send", volume, 3) == "send:production/pgdata:3"
    assert names.step("create", volume) == "create:production/pgdata"


def test_a_slot_of_a_global_service_is_named_after_its_machine() -> None:
    assert names.global_slot(MachineId("machine-a")) == "machine-a"
    assert names.replica(2) == "slot-2"


def test_a_hold_is_ours_by_its_tag_or_where_none_is_told_as_the_first_of_a_snapshot_of_ours() -> None:
    ours = names.snapshot(OperationId("op-1"), 1)
    assert names.is_our_hold(Keep(ours, tag=names.HOLD_TAG), ())
    assert not names.is_our_hold(Keep(ours, tag="backup"), ())
    assert not names.is_our_hold(Keep(ours, clone="tank/x"), ())
    assert names.is_our_hold(Keep(ours), ())
    assert not names.is_our_hold(Keep(ours), [Keep(ours)])
    assert not names.is_our_hold(Keep("hourly"), ())
