"""The transactions of membership, of operations up to their abort, and of volumes; `commit.py` has the other end.

Pure builders: each says which compares it makes and why. The first compare that fails is the one that is reported,
so they stand in the order in which they explain most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ployz.events.types import (
    ClusterFounded,
    ClusterSettingChanged,
    Lifecycle,
    MachineIdentified,
    MachineJoined,
    MachineKeyAnnounced,
    MachineKeyRotated,
    MachineLifecycleChanged,
    MachineRemoved,
    MachineSettingChanged,
    OperationAborted,
    OperationStarted,
    VolumeRemoved,
    VolumeTakenOver,
)
from ployz.facts import keys
from ployz.facts.keys import Candidates, Cluster, Decision, MachineRecord, Started, Verdict, VolumeOwnership, Vote
from ployz.facts.port import Delete, Put, Transaction
from ployz.ids import ClusterName, MachineId, OperationId, VolumeRef


def found_cluster(founded: ClusterFounded, founder: MachineJoined, identified: MachineIdentified) -> Transaction:
    """Only in an empty fact log: a cluster is founded once, and its founder is its first machine."""
    return Transaction(
        compares=(keys.CLUSTER.absent(), keys.machine(founder.machine).absent()),
        puts=(keys.CLUSTER.put(Cluster(founded.cluster)), *_membership(founder)),
        facts=(founded, founder, identified),
    )


def join_machine(cluster: ClusterName, joined: MachineJoined, identified: MachineIdentified) -> Transaction:
    """The cluster is the one that the machine was invited to. Its name and its number are free.

    Its overlay addresses follow from the number, so that they are free too.
    """
    return Transaction(
        compares=(
            keys.CLUSTER.is_(Cluster(cluster)),
            keys.machine(joined.machine).absent(),
            keys.number(joined.number).absent(),
        ),
        puts=_membership(joined),
        facts=(joined, identified),
    )


def change_lifecycle(machine: MachineId, before: Lifecycle, after: Lifecycle) -> Transaction:
    """It still is as the operator saw it: of two changes at once, the second is told of the first."""
    record = keys.machine(machine)
    return Transaction(
        compares=(record.is_(MachineRecord(before)),),
        puts=(record.put(MachineRecord(after)),),
        facts=(MachineLifecycleChanged(machine, after),),
    )


def rest_machine(machine: MachineId, revision: int) -> Transaction:
    """Its record is the very one that said it was not active when it was looked at: it got nothing since then."""
    record = keys.machine(machine)
    return Transaction(
        compares=(record.written_by(revision),),
        puts=(record.put(MachineRecord(Lifecycle.STANDBY)),),
        facts=(MachineLifecycleChanged(machine, Lifecycle.STANDBY),),
    )


def remove_machine(machine: MachineId, number: int, revision: int) -> Transaction:
    """Its record is the one that was looked at. Its name and its number are free again, and its addresses with that."""
    record = keys.machine(machine)
    return Transaction(
        compares=(record.written_by(revision), keys.number(number).is_(machine)),
        puts=(record.delete(), keys.number(number).delete()),
        facts=(MachineRemoved(machine),),
    )


def set_machine(seen: Lifecycle, changes: Sequence[MachineSettingChanged]) -> Transaction:
    """The machine is a member, as the operator saw it. Of two changes of one setting the later one counts."""
    machines = sorted({each.machine for each in changes})
    return Transaction(
        compares=tuple(keys.machine(each).is_(MachineRecord(seen)) for each in machines),
        puts=(),
        facts=tuple(changes),
    )


def set_cluster(changed: ClusterSettingChanged) -> Transaction:
    """Of two changes the later one counts."""
    return Transaction(compares=(), puts=(), facts=(changed,))


def announce_key(announced: MachineKeyAnnounced, seen: Lifecycle) -> Transaction:
    """It is a member. Announced twice, the later key counts."""
    return Transaction(
        compares=(keys.machine(announced.machine).is_(MachineRecord(seen)),), puts=(), facts=(announced,)
    )


def rotate_key(rotated: MachineKeyRotated, seen: Lifecycle) -> Transaction:
    """It is a member. Said twice, the second says nothing."""
    return Transaction(compares=(keys.machine(rotated.machine).is_(MachineRecord(seen)),), puts=(), facts=(rotated,))


def start_operation(started: OperationStarted) -> Transaction:
    """Undecided: whoever was unsure whether this arrived may have aborted it by now. The lock token is current:
    one operation at a time changes a namespace. Not started yet: an operation id is used once.
    """
    record = keys.started(started.operation_id)
    return Transaction(
        compares=(
            keys.decision(started.operation_id).absent(),
            keys.lock(started.namespace).written_by(started.lock_token),
            record.absent(),
        ),
        puts=(record.put(Started(started.namespace)),),
        facts=(started,),
    )


def cast_vote(operation_id: OperationId, machine: MachineId, vote: Vote) -> Transaction:
    """Undecided: after an abort a source runs again, and a vote about its data from before would be a lie.

    Voting the same again changes nothing; the commit compares with what stands then.
    """
    return Transaction(
        compares=(keys.decision(operation_id).absent(),),
        puts=(keys.vote(operation_id, machine).put(vote),),
    )


def run_candidates(operation_id: OperationId, machine: MachineId, lease: int) -> Transaction:
    """Undecided: after an abort no candidate starts any more, and whoever finds no such record needs to wait for none.

    The record goes when the lease ends, which is later than any candidate that was started under it.
    """
    return Transaction(
        compares=(keys.decision(operation_id).absent(),),
        puts=(keys.candidates(operation_id, machine).put(Candidates(machine), lease),),
    )


def abort(aborted: OperationAborted) -> Transaction:
    """Undecided: commit and abort exclude each other by this one key. Started: every fact of an end has one of a
    beginning. No lock token: participants abort what a dead coordinator left.
    """
    return Transaction(
        compares=(
            keys.decision(aborted.operation_id).absent(),
            keys.started(aborted.operation_id).is_(Started(aborted.namespace)),
        ),
        puts=(_abort_decision(aborted),),
        facts=(aborted,),
    )


def forestall(aborted: OperationAborted) -> Transaction:
    """Aborts what never started, without a fact: the delayed start can arrive no more. Undecided and not started,
    else it is `abort` that is needed.
    """
    return Transaction(
        compares=(
            keys.decision(aborted.operation_id).absent(),
            keys.started(aborted.operation_id).absent(),
        ),
        puts=(_abort_decision(aborted),),
    )


def remove_volume(volume: VolumeRef, seen: VolumeOwnership, lock_token: int) -> Transaction:
    """The lock token is current: no operation is moving it. Its ownership is what the operator was shown."""
    record = keys.volume(volume)
    return Transaction(
        compares=(keys.lock(volume.namespace).written_by(lock_token), record.is_(seen)),
        puts=(record.delete(),),
        facts=(VolumeRemoved(volume),),
    )


def take_over(taken: VolumeTakenOver, seen: Mapping[VolumeRef, VolumeOwnership], lock_token: int) -> Transaction:
    """The lock token is current, so that no operation of the namespace can commit beside it. Each volume is owned as
    the operator was shown. The new owner is active. Undecided: an answer that is lost is asked for by its id.
    """
    owners = sorted({each.owner for each in taken.volumes})
    return Transaction(
        compares=(
            keys.decision(taken.operation_id).absent(),
            keys.lock(taken.namespace).written_by(lock_token),
            *(keys.volume(each.volume).is_(seen[each.volume]) for each in taken.volumes),
            *(keys.machine(each).is_(MachineRecord(Lifecycle.ACTIVE)) for each in owners),
        ),
        puts=(
            keys.decision(taken.operation_id).put(Decision(Verdict.COMMIT, taken.by)),
            *(keys.volume(each.volume).put(VolumeOwnership(each.owner, each.epoch)) for each in taken.volumes),
        ),
        facts=(taken,),
    )


def _membership(joined: MachineJoined) -> tuple[Put | Delete, ...]:
    return (
        keys.machine(joined.machine).put(MachineRecord(joined.lifecycle)),
        keys.number(joined.number).put(joined.machine),
    )


def _abort_decision(aborted: OperationAborted) -> Put:
    decided = Decision(Verdict.ABORT, aborted.by, aborted.reason)
    return keys.decision(aborted.operation_id).put(decided)
