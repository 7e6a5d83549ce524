"""What one machine says about itself when it is examined, as values that travel."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from attrs import frozen

from ployz.errors import Problem
from ployz.ids import MachineId, SlotRef, VolumeRef
from ployz.plan.reports import PacketReport

TROUBLES_MAX: Final = 100
UNREACHED_MAX: Final = 100
HANDSHAKE_OLD_MS: Final = 180_000
"""WireGuard shakes hands every 2 minutes while anything is sent, and every peer sends; after 3, its keys have ended."""


class Look(StrEnum):
    """What a machine looks at. One that fails or hangs keeps no other from its answer."""

    REQUIREMENTS = "requirements"
    POOL = "pool"
    OVERLAY = "overlay"
    LOG = "log"
    STATE = "state folder"
    CERTIFICATES = "certificates"
    CONTAINERS = "containers"
    DATASETS = "datasets"
    MOUNTS = "mounts"
    GUARDS = "guards"
    DOORS = "doors"
    TAKEN = "what was taken away"
    SLOTS = "slots"
    REACH = "what is reached"
    NAMES = "names"
    PACKETS = "packets"


@frozen
class FailedLook:
    look: Look
    problem: Problem


@frozen
class PoolReading:
    pool: str
    size_bytes: int
    free_bytes: int
    works: bool
    """It reads and writes, degraded or not."""
    health: str
    """`ONLINE`, `DEGRADED`, `SUSPENDED`, …"""


@frozen
class HangingReading:
    """A mount or an unmount that does not end."""

    command: str
    age_s: int
    by_daemon: bool
    """A zfs-fuse does the mounts, and not the kernel."""


@frozen
class PeerReading:
    machine: MachineId
    handshake_age_ms: int | None
    """`None`: there never was one."""

    @property
    def is_old(self) -> bool:
        return self.handshake_age_ms is None or self.handshake_age_ms >= HANDSHAKE_OLD_MS


@frozen
class LogReading:
    head: int
    wrong: tuple[str, ...]
    """`event 17: …`, the first ones."""


@frozen
class StateReading:
    """The file system that the state folder is on."""

    folder: str
    mount: str
    size_bytes: int
    free_bytes: int
    files: int
    """Inodes. 0: there is no limit of them."""
    files_free: int


@frozen
class CertificateReading:
    """One that expires: of a gateway."""

    path: str
    not_after_ms: int
    problem: str = ""
    """Why it cannot be read."""


@frozen
class Leftover:
    """Something of an operation that is over, or that no fact names."""

    kind: str
    """`container`, `dataset`, `snapshot`, `hold`, `guard`, `door`, `gate` or `route`."""
    name: str
    why: str
    """Ends the sentence that begins with its name."""
    remedy: str


@frozen
class Trouble:
    """A slot that the machine should run for its users, and does not."""

    kind: str
    """`paused`, `crash-loop`, `unready`, `exited` or `stopped`."""
    slot: SlotRef
    text: str
    """Ends the sentence that begins with its name."""
    remedy: str


@frozen
class UnsettledReading:
    """What the machine tries again and again to make agree with the facts."""

    subject: str
    """`volume production/pgdata`, `service production/db`."""
    age_ms: int
    """Since it failed first."""
    problem: Problem


@frozen
class VolumeReading:
    """A volume that the machine owns."""

    volume: VolumeRef
    quota_bytes: int
    """Of its data. 0: none."""
    total_quota_bytes: int
    """Of data and snapshots together. 0: none, as ployz has it."""
    referenced_bytes: int
    """Its data."""
    snapshots_bytes: int
    """What only its snapshots hold on to."""


@frozen
class ContestReading:
    """A kind of thing of ployz's own that somebody else takes away or changes (plan/struggles)."""

    kind: str
    wrong: tuple[str, ...]
    """Now. Empty: it was put back."""
    repairs: int
    """How often it was put back since this began."""
    since_ms: int
    """How long ago that was."""
    wait_ms: int
    """Until it may be put back again."""


@frozen
class UnreachedReading:
    """A slot anywhere that accepts no connection from this machine."""

    slot: SlotRef
    why: str


@frozen
class ReachReading:
    """Which slots of the cluster the machine reaches by their addresses."""

    unreached: tuple[UnreachedReading, ...] = ()
    """UNREACHED_MAX at most."""
    untold: int = 0
    """Slots of which it does not say whether it reaches them: so many did not answer that its time was over."""


@frozen
class NameReading:
    """A service's name that the machine's own name server does not answer as the facts do."""

    name: str
    answered: tuple[str, ...]
    expected: tuple[str, ...]


@frozen
class Readings:
    machine: MachineId
    version: str
    position: int
    """How far it follows the facts, after it was given a moment to catch up."""
    removed: bool
    """It has read the fact that it is no member any more."""
    missing: tuple[str, ...]
    """Of what ployz requires: `NAME: what to do`."""
    pool: PoolReading | None
    peers: tuple[PeerReading, ...]
    log: LogReading | None
    identity: str
    """What is wrong with the key by which the others know it; empty: nothing."""
    certificates: tuple[CertificateReading, ...]
    leftovers: tuple[Leftover, ...]
    failed: tuple[FailedLook, ...]
    slots: tuple[Trouble, ...] = ()
    """Of those that the facts place on it, TROUBLES_MAX at most."""
    hanging: tuple[HangingReading, ...] = ()
    """Of its pool, oldest first."""
    volumes: tuple[VolumeReading, ...] = ()
    unsettled: tuple[UnsettledReading, ...] = ()
    contests: tuple[ContestReading, ...] = ()
    state: StateReading | None = None
    serving: tuple[SlotRef, ...] = ()
    """Of those that the facts place on it: they run, have for a while, and nothing is known to be wrong with them."""
    reach: ReachReading | None = None
    names: tuple[NameReading, ...] = ()
    packets: tuple[PacketReport, ...] = ()
    """Of the machines to which not all arrive that may be sent."""


@frozen
class Clock:
    """What the wall clock of another machine says, against the one of the machine that asks."""

    offset_ms: int
    """Positive: it is ahead."""
    doubt_ms: int
    """Half of the time that the question took: the offset is known no better."""


@frozen
class Examined:
    """One machine, as the one that asked found it."""

    machine: MachineId
    readings: Readings | None
    clock: Clock | None
    problem: Problem | None
    """Why there are no readings."""


@frozen
class Authority:
    """Whoever orders the facts, as the machine found it that asked."""

    position: int | None
    """Of the last fact. None: nothing can be committed now."""
    problem: Problem | None
    """Why there is none."""
    concerns: tuple[str, ...] = ()
    """About its members, in words."""
