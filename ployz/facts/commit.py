"""The commit of an operation: the one transaction that is its point of no return.

A pure builder. Everything the operation relied on is compared in the transaction itself, so that it does not matter
how late the request arrives, or who stopped believing in it meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from ployz.events.types import DeployCommitted, Lifecycle, SlotPlacement, SnapshotTaken, VolumePlacement
from ployz.facts import keys
from ployz.facts.keys import Decision, MachineRecord, Started, Verdict, VolumeOwnership, Vote
from ployz.facts.port import Compare, Transaction, ValueIs
from ployz.ids import MachineId, ServiceRef, SlotRef, VolumeRef


@frozen
class Seen:
    """What the plan was made from: the namespace as it was."""

    volumes: Mapping[VolumeRef, VolumeOwnership]
    slots: tuple[SlotPlacement, ...]


def commit(
    committed: DeployCommitted,
    *,
    by: MachineId,
    lock_token: int,
    seen: Seen,
    final_snapshots: tuple[SnapshotTaken, ...],
) -> Transaction:
    """Compares, in this order:

    - undecided: an abort that was written first has won;
    - the lock token is current: a coordinator that lost its lock changes nothing, even when its request was delayed;
    - it was started, under this namespace;
    - each volume is owned as the plan saw it, at the same epoch; a new one is absent;
    - source and target of each moved volume voted for exactly `final_snapshots` of theirs: only the owner gives away,
      and what the target has is what the source had last;
    - machines that get a slot or a volume are active;
    - addresses that are new to their slot are absent.

    ValueError: the arguments contradict each other (an epoch that does not rise by one, a move without a snapshot).
    """
    addresses_before, addresses_after = _addresses(committed, seen.slots), _addresses(committed, committed.slots)
    decided = Decision(Verdict.COMMIT, by)
    return Transaction(
        compares=(
            keys.decision(committed.operation_id).absent(),
            keys.lock(committed.namespace).written_by(lock_token),
            keys.started(committed.operation_id).is_(Started(committed.namespace)),
            *(_owned_as_seen(each, seen) for each in committed.volumes),
            *_votes(committed, seen, final_snapshots),
            *(keys.machine(each).is_(MachineRecord(Lifecycle.ACTIVE)) for each in _receivers(committed, seen)),
            *(keys.address(ip).absent() for ip in addresses_after if ip not in addresses_before),
        ),
        puts=(
            keys.decision(committed.operation_id).put(decided),
            *(
                keys.volume(each.volume).put(VolumeOwnership(each.owner, each.epoch))
                for each in committed.volumes
                if _changes_owner(each, seen)
            ),
            *(keys.address(ip).put(slot) for ip, slot in addresses_after.items() if ip not in addresses_before),
            *(keys.address(ip).delete() for ip in addresses_before if ip not in addresses_after),
        ),
        facts=(committed,),
    )


def _owned_as_seen(placement: VolumePlacement, seen: Seen) -> Compare:
    record = keys.volume(placement.volume)
    ownership = seen.volumes.get(placement.volume)
    return record.absent() if ownership is None else record.is_(ownership)


def _changes_owner(placement: VolumePlacement, seen: Seen) -> bool:
    """New or moved. The epoch proves which of two datasets is older, so it rises by one, and only then."""
    ownership = seen.volumes.get(placement.volume)
    changes = ownership is None or ownership.owner != placement.owner
    epoch = (0 if ownership is None else ownership.epoch) + changes
    if placement.epoch != epoch:
        raise ValueError(f"{placement.volume} is committed at epoch {placement.epoch}, and {epoch} is due")
    return changes


def _votes(committed: DeployCommitted, seen: Seen, final_snapshots: tuple[SnapshotTaken, ...]) -> Iterator[ValueIs]:
    """One compare for each machine that gives volumes away or takes them: that it voted for these very guids."""
    final = {each.volume: each for each in final_snapshots}
    ballots: dict[MachineId, list[SnapshotTaken]] = {}
    for placement in committed.volumes:
        ownership = seen.volumes.get(placement.volume)
        if ownership is None or ownership.owner == placement.owner:
            continue
        if placement.volume not in final:
            raise ValueError(f"{placement.volume} moves without a final snapshot")
        for voter in (ownership.owner, placement.owner):
            ballots.setdefault(voter, []).append(final[placement.volume])
    for voter, ballot in sorted(ballots.items()):
        yield keys.vote(committed.operation_id, voter).is_(Vote(tuple(ballot)))


def _receivers(committed: DeployCommitted, seen: Seen) -> list[MachineId]:
    """Machines that get a slot or a volume which they did not have. Those that only keep theirs may be draining."""
    slots_before = {(each.service, each.slot, each.machine) for each in seen.slots}
    slots = {each.machine for each in committed.slots if (each.service, each.slot, each.machine) not in slots_before}
    volumes = {each.owner for each in committed.volumes if _changes_owner(each, seen)}
    return sorted(slots | volumes)


def _addresses(committed: DeployCommitted, slots: tuple[SlotPlacement, ...]) -> dict[str, SlotRef]:
    return {
        ip: SlotRef(ServiceRef(committed.namespace, each.service), each.slot)
        for each in slots
        for ip in (each.ipv6, each.ipv4)
    }
