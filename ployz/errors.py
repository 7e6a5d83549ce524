"""The error tree: what can go wrong, its stable code, and the exit code it ends a command with.

An error here is an operating error, made for the operator's eyes. Anything else that is raised is a bug.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from attrs import frozen


class Code(StrEnum):
    """Stable codes: scripts match on them, so a code is never renamed and never reused."""

    # Input
    USAGE = "usage"
    INVALID_NAME = "invalid-name"
    INVALID_MANIFEST = "invalid-manifest"
    INVALID_CONFIG = "invalid-config"
    MALFORMED_FRAME = "malformed-frame"
    MALFORMED_EVENT = "malformed-event"
    UNKNOWN_EVENT = "unknown-event"
    PROTOCOL_MISMATCH = "protocol-mismatch"
    UNKNOWN_MESSAGE = "unknown-message"
    NOT_ALLOWED = "not-allowed"
    DECLINED = "declined"
    INTERRUPTED = "interrupted"
    # Identity and membership
    NOT_A_MEMBER = "not-a-member"
    WRONG_ADDRESS = "wrong-address"
    NOT_FOUNDED = "not-founded"
    MACHINE_EXISTS = "machine-exists"
    UNKNOWN_MACHINE = "unknown-machine"
    MACHINE_NOT_ACTIVE = "machine-not-active"
    MACHINE_UNREACHABLE = "machine-unreachable"
    NODE_UNREACHABLE = "node-unreachable"
    # Things
    UNKNOWN_SERVICE = "unknown-service"
    UNKNOWN_VOLUME = "unknown-volume"
    UNKNOWN_DEPLOY = "unknown-deploy"
    NOT_HERE = "not-here"
    UNKNOWN_ACTOR = "unknown-actor"
    UNKNOWN_EVENT_SEQ = "unknown-event-seq"
    VOLUME_IN_USE = "volume-in-use"
    # Plans
    ALREADY_THERE = "already-there"
    OWNED_ELSEWHERE = "owned-elsewhere"
    BIND_MOUNT = "bind-mount"
    VOLUME_SHARED = "volume-shared"
    NO_SPACE = "no-space"
    DATASET_BUSY = "dataset-busy"
    DATASET_IN_THE_WAY = "dataset-in-the-way"
    IMAGE_MISSING = "image-missing"
    PORT_TAKEN = "port-taken"
    NO_ADDRESS = "no-address"
    NO_MACHINE = "no-machine"
    LOCK_HELD = "lock-held"
    LOCK_LOST = "lock-lost"
    PLAN_STALE = "plan-stale"
    NOT_MOVABLE = "not-movable"
    BLOCKED = "blocked"
    # Operations
    TIMED_OUT = "timed-out"
    STOPPED = "stopped"
    MAILBOX_FULL = "mailbox-full"
    FENCED = "fenced"
    DECIDED = "decided"
    CONFLICT = "conflict"
    NOT_READY = "not-ready"
    STREAM_FAILED = "stream-failed"
    GUID_MISMATCH = "guid-mismatch"
    CLEANUP_PENDING = "cleanup-pending"
    OUTCOME_UNKNOWN = "outcome-unknown"
    UNDONE = "undone"
    # Parts
    MISSING_PART = "missing-part"
    PART_FAILED = "part-failed"
    ZFS_FAILED = "zfs-failed"
    DOCKER_FAILED = "docker-failed"
    OVERLAY_FAILED = "overlay-failed"
    LAB_FAILED = "lab-failed"
    # Logs
    LOG_CORRUPT = "log-corrupt"
    LOG_NEWER = "log-newer"
    LOG_LOCKED = "log-locked"
    LOG_FAILED = "log-failed"
    FORKED = "forked"
    # Never meant to be seen
    BUG = "bug"


@frozen
class Problem:
    """An error as a value, the way it travels in replies and events."""

    code: Code
    text: str
    advice: str = ""
    """What to do next: a sentence or a command, or empty."""

    def __str__(self) -> str:
        return f"[{self.code}]: {self.text}"


class PloyzError(Exception):
    """Root of the tree. `exit_code` is what ployzctl ends with when this reaches it."""

    exit_code: ClassVar[int] = 1

    def __init__(self, code: Code, text: str, advice: str = "") -> None:
        super().__init__(code, text, advice)
        self.problem = Problem(code, text, advice)

    @property
    def code(self) -> Code:
        return self.problem.code

    def __str__(self) -> str:
        return str(self.problem)


class Refused(PloyzError):
    """Nothing was changed."""

    exit_code = 1


class Usage(PloyzError):
    """The command line itself is wrong."""

    exit_code = 2


class Failed(PloyzError):
    """An effect failed on the way. Before a commit the caller undoes it."""

    exit_code = 3


class CleanupPending(PloyzError):
    """The operation is committed; what remains is named, with the command that finishes it."""

    exit_code = 4


class Unreachable(PloyzError):
    """No answer. What was asked may or may not have happened: read before you act."""

    exit_code = 5


class Corrupt(PloyzError):
    """Stored or received bytes that are not what they must be. The process that finds this stops."""

    exit_code = 1
