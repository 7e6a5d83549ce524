"""A conflict in an operator's words: what changed since the plan was made, and what to do about it.

One case for each kind of record. Refusal or failure is for the caller to say, who knows what was done before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from ployz.errors import Code, Problem, Refused
from ployz.facts.keys import (
    Cluster,
    Decision,
    InviteRecord,
    Key,
    LockHolder,
    MachineRecord,
    SecretRecord,
    VolumeOwnership,
)
from ployz.facts.port import Absent, Applied, Conflict, RevisionIs

V = TypeVar("V")


def accepted(outcome: Applied | Conflict) -> Applied:
    """`Refused`, in an operator's words, where a condition did not hold: nothing was changed."""
    if isinstance(outcome, Conflict):
        problem = explain(outcome)
        raise Refused(problem.code, problem.text, problem.advice)
    return outcome


def explain(conflict: Conflict) -> Problem:
    kind, _, name = conflict.failed.key.partition("/")
    words = _WORDS.get(kind)
    if words is None:
        return Problem(Code.CONFLICT, f"{conflict.failed.key} is not as it was expected", "run it again")
    return words(conflict, name)


def held_by(namespace: str, holder: LockHolder) -> str:
    """Who holds a lock, since when, for what."""
    since = datetime.fromtimestamp(holder.since_ms / 1000, UTC)
    return (
        f"{namespace} is locked since {since:%Y-%m-%d %H:%M:%S} UTC by {holder.operator} on {holder.machine}: "
        f"{holder.purpose} ({holder.operation_id})"
    )


def _found(conflict: Conflict, kind: type[V]) -> V | None:
    return None if conflict.found is None else Key(conflict.failed.key, kind).decode(conflict.found)


def _decided(conflict: Conflict, operation: str) -> Problem:
    found = _found(conflict, Decision)
    how = f"{found.verdict} by {found.by}: {found.reason}".removesuffix(": ") if found else "not at all"
    return Problem(Code.DECIDED, f"operation {operation} is decided: {how}", f"ployzctl operation show {operation}")


def _lock_lost(conflict: Conflict, namespace: str) -> Problem:
    holder = _found(conflict, LockHolder)
    now = held_by(namespace, holder) if holder else "nobody holds it now"
    return Problem(Code.LOCK_LOST, f"the lock of {namespace} was lost: {now}", "run it again")


def _volume_changed(conflict: Conflict, volume: str) -> Problem:
    found = _found(conflict, VolumeOwnership)
    now = f"{found.owner} owns it, at epoch {found.epoch}" if found else "it does not exist"
    return Problem(Code.PLAN_STALE, f"volume {volume} changed since the plan: now {now}", "preview it again")


def _secret_changed(conflict: Conflict, secret: str) -> Problem:
    found = _found(conflict, SecretRecord)
    now = f"it has version {found.version} now" if found else "it is not set now"
    return Problem(Code.CONFLICT, f"secret {secret} was changed meanwhile: {now}", "ployzctl secret ls")


def _vote_differs(conflict: Conflict, operation_and_voter: str) -> Problem:
    voter = operation_and_voter.rpartition("/")[2]
    did = "did not vote" if conflict.found is None else "voted for other snapshots"
    return Problem(Code.GUID_MISMATCH, f"{voter} {did}: source and target are not proven equal", "run it again")


def _machine_differs(conflict: Conflict, machine: str) -> Problem:
    if isinstance(conflict.failed, Absent):
        return Problem(Code.MACHINE_EXISTS, f"there is a machine {machine} in this cluster", "choose another name")
    found = _found(conflict, MachineRecord)
    if found is None:
        return Problem(Code.UNKNOWN_MACHINE, f"{machine} is no machine of this cluster", "ployzctl machine ls")
    if isinstance(conflict.failed, RevisionIs):
        return Problem(Code.CONFLICT, f"machine {machine} was made {found.lifecycle} meanwhile", "ployzctl machine ls")
    return Problem(Code.MACHINE_NOT_ACTIVE, f"machine {machine} is {found.lifecycle} now", "ployzctl machine ls")


def _invite_closed(conflict: Conflict, invite: str) -> Problem:
    found = _found(conflict, InviteRecord)
    now = f"is {found.state} now" if found else "does not exist"
    return Problem(Code.INVITE, f"invitation {invite} {now}", "ployzctl machine invite")


def _number_taken(_: Conflict, number: str) -> Problem:
    return Problem(Code.CONFLICT, f"another machine joined as number {number} meanwhile", "run it again")


def _address_taken(_: Conflict, address: str) -> Problem:
    return Problem(Code.PLAN_STALE, f"address {address} was taken since the plan", "preview it again")


def _other_cluster(conflict: Conflict, _: str) -> Problem:
    found = _found(conflict, Cluster)
    text = f"the cluster is {found.name}" if found else "no cluster was founded here"
    return Problem(Code.CONFLICT, text, "ployzctl machine ls")


_WORDS: Mapping[str, Callable[[Conflict, str], Problem]] = {
    "decision": _decided,
    "lock": _lock_lost,
    "volume": _volume_changed,
    "secret": _secret_changed,
    "vote": _vote_differs,
    "machine": _machine_differs,
    "invite": _invite_closed,
    "number": _number_taken,
    "address": _address_taken,
    "cluster": _other_cluster,
}
