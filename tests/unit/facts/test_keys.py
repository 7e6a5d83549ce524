from __future__ import annotations

from typing import Any

import anyio
import pytest

from ployz.errors import Code, Corrupt
from ployz.events.types import Lifecycle, SnapshotTaken
from ployz.facts import keys
from ployz.facts.keys import Cluster, Decision, Key, MachineRecord, Started, Verdict, VolumeOwnership, Vote
from ployz.facts.memory import MemoryFactLog
from ployz.facts.port import Put, Transaction
from ployz.ids import SlotRef, VolumeRef
from ployz.strict import pack
from tests.unit.facts.clocks import HandClock
from tests.unit.facts.samples import DATA, FINAL, HOME, OP, PRODUCTION, A, B, applied, holder

EVERY_KEY: list[tuple[Key[Any], str, Any]] = [
    (keys.CLUSTER, "cluster", Cluster(HOME)),
    (keys.decision(OP), "decision/op-1", Decision(Verdict.ABORT, A, "the target is full")),
    (keys.started(OP), "started/op-1", Started(PRODUCTION)),
    (keys.vote(OP, B), "vote/op-1/machine-b", Vote((FINAL,))),
    (keys.lock(PRODUCTION), "lock/production", holder()),
    (keys.volume(DATA), "volume/production/data", VolumeOwnership(A, 2**40)),
    (keys.machine(A), "machine/machine-a", MachineRecord(Lifecycle.DRAINING)),
    (keys.number(7), "number/7", A),
    (keys.address("fd00:1:0:1::5"), "address/fd00:1:0:1::5", SlotRef.parse("production/db/slot-1")),
]
each_key = pytest.mark.parametrize(("key", "text", "value"), EVERY_KEY, ids=[text for _, text, _ in EVERY_KEY])


@each_key
def test_a_record_stands_under_its_key_and_is_read_back_as_it_was(key: Key[Any], text: str, value: object) -> None:
    assert key.text == text
    assert key.decode(key.encode(value)) == value


@each_key
def test_a_record_of_another_shape_is_refused_with_its_key(key: Key[Any], text: str, value: object) -> None:
    for data in (b"", b"\xc1", b"\xc0", b"\x81\xa1x\x01", key.encode(value) + b"\0", key.encode(value)[:-1]):
        with pytest.raises(Corrupt, match=text) as corrupt:
            key.decode(data)
        assert corrupt.value.code is Code.LOG_CORRUPT


@pytest.mark.parametrize("since_ms", [-1, 253_402_300_800_000, 2**63])
def test_a_lock_was_taken_at_a_time_that_has_a_date(since_ms: int) -> None:
    data = pack({"machine": "a", "operation_id": "op-1", "purpose": "", "since_ms": since_ms, "operator": "root"})
    with pytest.raises(Corrupt, match="since_ms"):
        keys.lock(PRODUCTION).decode(data)


def test_votes_for_the_same_snapshots_are_equal_bytes_in_any_order() -> None:
    other = SnapshotTaken(VolumeRef.parse("production/logs"), "op-1-final", 2**64 - 1)
    key = keys.vote(OP, A)
    assert key.encode(Vote((FINAL, other))) == key.encode(Vote((other, FINAL)))
    assert key.encode(Vote((FINAL,))) != key.encode(Vote((FINAL, other)))


def test_reading_a_key_gives_the_value_and_the_revision_that_wrote_it() -> None:
    async def main() -> None:
        log = MemoryFactLog(HandClock())
        assert await keys.CLUSTER.read(log) is None
        done = await applied(log, Transaction((), (keys.CLUSTER.put(Cluster(HOME)),)))
        assert await keys.CLUSTER.read(log) == keys.Standing(Cluster(HOME), done.revision)
        await applied(log, Transaction((), (Put("cluster", b"\xc0"),)))
        with pytest.raises(Corrupt):
            await keys.CLUSTER.read(log)

    anyio.run(main, backend="trio")
