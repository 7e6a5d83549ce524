"""The records of a fact log: which keys there are, and the typed value that stands under each.

Values are canonical msgpack: equal values have equal bytes, so that a compare by value means what it says.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Generic, TypeVar

from attrs import field, frozen, validators

from ployz.errors import Code, Corrupt
from ployz.events.types import Lifecycle, SnapshotTaken
from ployz.facts.port import Absent, Delete, FactLog, Put, RevisionIs, ValueIs
from ployz.ids import ClusterName, InviteId, MachineId, Namespace, OperationId, SecretRef, SlotRef, VolumeRef
from ployz.strict import Malformed, make_converter, pack, structure, unpack

VALUE_BYTES_MAX: Final = 1 << 20
"""The largest is a vote: some hundred bytes for each volume that moves."""

_YEAR_10000_MS: Final = 253_402_300_800_000
"""No calendar has a later time, and this one is shown as a date."""

V = TypeVar("V")


# ---------------------------------------------------------------- values


@frozen
class Cluster:
    name: ClusterName


class Verdict(StrEnum):
    COMMIT = "commit"
    ABORT = "abort"


@frozen
class Decision:
    """How an operation ended. Written once, kept for ever: a commit that was delayed may still arrive."""

    verdict: Verdict
    by: MachineId
    reason: str = ""
    """Why it was aborted."""


@frozen
class Started:
    """There is an OperationStarted fact, so a decision has something to end."""

    namespace: Namespace


@frozen
class LockHolder:
    """Who changes a namespace now: what everybody else is told."""

    machine: MachineId
    operation_id: OperationId
    purpose: str
    """`migrate production/db to machine-b`."""
    since_ms: int = field(validator=[validators.ge(0), validators.lt(_YEAR_10000_MS)])
    operator: str


@frozen
class VolumeOwnership:
    owner: MachineId
    epoch: int
    """1 for a new volume; rises by one with each committed move."""


@frozen
class SecretRecord:
    version: int


@frozen
class MachineRecord:
    lifecycle: Lifecycle


@frozen
class Move:
    """In an embedded fact log: that it is being moved, or was, and where to. It orders nothing from then on."""

    access: str
    """How the etcd is reached: the text of an EtcdAccess."""
    log_id: bytes
    """What that etcd's log is known by."""
    done: bool


class InviteState(StrEnum):
    OPEN = "open"
    USED = "used"
    REVOKED = "revoked"


@frozen
class InviteRecord:
    state: InviteState
    secret_hash: str


def _by_volume(snapshots: tuple[SnapshotTaken, ...]) -> tuple[SnapshotTaken, ...]:
    return tuple(sorted(snapshots, key=lambda each: (each.volume, each.snapshot)))


@frozen
class Vote:
    """One machine's word on the final snapshots of the volumes that it gives away or takes.

    Source and target vote the same value exactly when they hold the same data.
    """

    snapshots: tuple[SnapshotTaken, ...] = field(converter=_by_volume)


@frozen
class Candidates:
    """A machine may run candidates of an operation, for as long as the lease under which this stands."""

    machine: MachineId


# ---------------------------------------------------------------- keys


@frozen
class Standing(Generic[V]):
    """What stands under a key, and the revision that wrote it."""

    value: V
    revision: int


@frozen
class Key(Generic[V]):
    """Where one kind of value stands; makes the compares and writes of a transaction about it."""

    text: str
    kind: type[V]

    def absent(self) -> Absent:
        return Absent(self.text)

    def is_(self, value: V) -> ValueIs:
        return ValueIs(self.text, self.encode(value))

    def written_by(self, revision: int) -> RevisionIs:
        return RevisionIs(self.text, revision)

    def put(self, value: V, lease: int = 0) -> Put:
        return Put(self.text, self.encode(value), lease)

    def delete(self) -> Delete:
        return Delete(self.text)

    def encode(self, value: V) -> bytes:
        return pack(_converter.unstructure(value, self.kind))

    def decode(self, data: bytes) -> V:
        """`Corrupt` (LOG_CORRUPT): these bytes are no such value."""
        try:
            return structure(_converter, unpack(data, limit_bytes=VALUE_BYTES_MAX), self.kind)
        except Malformed as error:
            raise Corrupt(
                Code.LOG_CORRUPT,
                f"the fact log's record {self.text} is no {self.kind.__name__}: {error}",
                "a newer ployz may have written it: run the same version on every machine",
            ) from error

    async def read(self, log: FactLog) -> Standing[V] | None:
        held = await log.read(self.text)
        return None if held is None else Standing(self.decode(held.value), held.revision)


_converter = make_converter()

CLUSTER: Final = Key("cluster", Cluster)
MOVE: Final = Key("move", Move)
LOCKS: Final = "lock/"
"""What the key of every lock begins with."""


def decision(operation_id: OperationId) -> Key[Decision]:
    return Key(f"decision/{operation_id}", Decision)


def started(operation_id: OperationId) -> Key[Started]:
    return Key(f"started/{operation_id}", Started)


def vote(operation_id: OperationId, machine: MachineId) -> Key[Vote]:
    return Key(f"vote/{operation_id}/{machine}", Vote)


def candidates(operation_id: OperationId, machine: MachineId) -> Key[Candidates]:
    return Key(f"candidates/{operation_id}/{machine}", Candidates)


def lock(namespace: Namespace) -> Key[LockHolder]:
    return Key(f"{LOCKS}{namespace}", LockHolder)


def volume(ref: VolumeRef) -> Key[VolumeOwnership]:
    return Key(f"volume/{ref}", VolumeOwnership)


def secret(ref: SecretRef) -> Key[SecretRecord]:
    return Key(f"secret/{ref}", SecretRecord)


def machine(machine_id: MachineId) -> Key[MachineRecord]:
    return Key(f"machine/{machine_id}", MachineRecord)


def invite(invite_id: InviteId) -> Key[InviteRecord]:
    return Key(f"invite/{invite_id}", InviteRecord)


def number(value: int) -> Key[MachineId]:
    """A membership number, from which a machine's overlay addresses follow: taken by one machine, once."""
    return Key(f"number/{value}", MachineId)


def address(ip: str) -> Key[SlotRef]:
    """An overlay address of a workload: belongs to one slot of the whole cluster."""
    return Key(f"address/{ip}", SlotRef)
