"""The error tree: what can go wrong, its stable code, and the exit code it ends a command with.

An error here is an operating error, made for the operator's eyes. Anything else that is raised is a bug.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from attrs import frozen

from ployz.printable import printable


class Code(StrEnum):
    """Stable codes: scripts match on them, so a code is never renamed and never reused.

    The line below each one is its entry in docs/reference/errors.md.
    """

    # Input
    USAGE = "usage"
    """The command line, an argument or an option is wrong."""
    INVALID_NAME = "invalid-name"
    """A name or an id is not spelled as names are: a-z, 0-9 and '-', at most 63 characters."""
    INVALID_MANIFEST = "invalid-manifest"
    """The manifest has mistakes; every one is listed with its path."""
    INVALID_CONFIG = "invalid-config"
    """The machine's configuration file is missing, or is not one."""
    MALFORMED_FRAME = "malformed-frame"
    """Bytes on a connection are no frame or no message. The connection is closed, the node goes on."""
    MALFORMED_EVENT = "malformed-event"
    """A stored event does not have the fields of its kind."""
    UNKNOWN_EVENT = "unknown-event"
    """A stored event has a name or a version that this ployz does not know: a newer one wrote it."""
    PROTOCOL_MISMATCH = "protocol-mismatch"
    """The two sides speak different versions of the protocol: run one ployz on all machines."""
    UNKNOWN_MESSAGE = "unknown-message"
    """The other side does not know the message, or the actor does not take it."""
    NOT_ALLOWED = "not-allowed"
    """Whoever asks may not ask that: it is for machines, for operators, or for those who may change things."""
    DECLINED = "declined"
    """The operator was asked and did not confirm."""
    INTERRUPTED = "interrupted"
    """Ctrl-C. An operation that was begun goes on; `operation watch` shows it again, `operation abort` ends it."""
    # Identity and membership
    NOT_A_MEMBER = "not-a-member"
    """Whoever connects is no machine of this cluster, by the facts."""
    WRONG_ADDRESS = "wrong-address"
    """A machine connects from, or answers on, an overlay address that is not its own."""
    IDENTITY = "identity"
    """A machine's key or certificate is missing, damaged, readable by others, or not the one that the facts name; or
    its configuration, log and identity are not of one machine."""
    SSH_FAILED = "ssh-failed"
    """A machine is not reached by ssh, or what was run there failed; the text has its words."""
    INVITE = "invite"
    """The invitation is none, or it was used, revoked, or has expired."""
    NOT_FOUNDED = "not-founded"
    """This machine is in no cluster, or does not know its cluster yet."""
    MACHINE_EXISTS = "machine-exists"
    """A machine of that name is in the cluster, with another key or endpoint."""
    UNKNOWN_MACHINE = "unknown-machine"
    """No machine of the cluster has that name."""
    MACHINE_NOT_ACTIVE = "machine-not-active"
    """The machine is standby or draining: it takes nothing new."""
    INVALID_SETTING = "invalid-setting"
    """A machine has no such setting, or it takes no such value; the text lists what there is."""
    MACHINE_IN_USE = "machine-in-use"
    """The machine owns volumes, runs services or takes part in an operation; the text lists all of it."""
    MACHINE_ANSWERS = "machine-answers"
    """The machine is alive: by force only one is removed that is gone."""
    AUTHORITY = "authority"
    """The machine keeps the cluster's facts, and nothing can be committed without it."""
    MACHINE_UNREACHABLE = "machine-unreachable"
    """A machine that takes part does not answer."""
    NODE_UNREACHABLE = "node-unreachable"
    """No ployzd answers on the socket of this machine."""
    # Things
    UNKNOWN_SERVICE = "unknown-service"
    """No service has that name, or not on this machine."""
    UNKNOWN_VOLUME = "unknown-volume"
    """No volume has that name, or its owner has no dataset that is proven to be it."""
    UNKNOWN_DEPLOY = "unknown-deploy"
    """No operation has that id."""
    NOT_HERE = "not-here"
    """The operation's progress is known at its coordinator only."""
    UNKNOWN_ACTOR = "unknown-actor"
    """A message was addressed to an actor that does not exist."""
    UNKNOWN_EVENT_SEQ = "unknown-event-seq"
    """The log has no event of that number."""
    VOLUME_IN_USE = "volume-in-use"
    """The volume is still declared, owned, or used by a container that runs."""
    UNKNOWN_SECRET = "unknown-secret"  # noqa: S105 - a code
    """No secret of that name is set."""
    SECRET_IN_USE = "secret-in-use"  # noqa: S105 - a code
    """The secret is declared in the manifest of its namespace."""
    SECRET_NOT_SET = "secret-not-set"  # noqa: S105 - a code
    """The manifest declares a secret that nobody has set."""
    SECRET_UNREADABLE = "secret-unreadable"  # noqa: S105 - a code
    """A machine that needs the secret cannot decrypt it, and none that can has encrypted it for that one."""
    # Plans
    ALREADY_THERE = "already-there"
    """What should move is where it should go."""
    OWNED_ELSEWHERE = "owned-elsewhere"
    """The volume's owner is not the machine that the manifest or the plan needs it to be."""
    OWNER_ANSWERS = "owner-answers"
    """The volume's owner is alive: a volume is taken over only from a machine that is off."""
    NO_COPY = "no-copy"
    """The machine has no snapshot of the volume to go on from."""
    BIND_MOUNT = "bind-mount"
    """The service binds a folder of its host, which does not move."""
    DATA_UNCOVERED = "data-uncovered"
    """The container has written to a VOLUME of its image that no mount covers: one in its place would find it empty."""
    VOLUME_SHARED = "volume-shared"
    """The volume is also mounted by a service that would stay."""
    NO_SPACE = "no-space"
    """The pool or the quota cannot take what would be written."""
    DATASET_BUSY = "dataset-busy"
    """A process that is not the service uses the dataset; the text names it."""
    DATASET_IN_THE_WAY = "dataset-in-the-way"
    """The machine has a dataset of that name which nothing proves to be an older copy."""
    IMAGE_MISSING = "image-missing"
    """The image is nowhere to be had, or what a tag names now is another image."""
    PORT_TAKEN = "port-taken"
    """A published port is in use on that machine."""
    NO_SUCH_ADDRESS = "no-such-address"
    """A service is published at an address that the machine does not have."""
    ROUTE_TAKEN = "route-taken"
    """Another service has that host name and path, or that listen port of the gateways."""
    NO_GATEWAY = "no-gateway"
    """The machine is not set to be a gateway."""
    NO_ADDRESS = "no-address"
    """The cluster has no overlay address left."""
    NO_MACHINE = "no-machine"
    """No active machine may run the service."""
    LOCK_HELD = "lock-held"
    """Another operation changes the namespace; the text says who, since when, for what."""
    LOCK_LOST = "lock-lost"
    """The lock could not be renewed in time, or somebody else has it now."""
    PLAN_STALE = "plan-stale"
    """What the plan was made from has changed; the text says what."""
    NOT_MOVABLE = "not-movable"
    """The service is global, or its manifest does not allow that machine."""
    BLOCKED = "blocked"
    """Several things stand in the way; all of them are listed, each with its code."""
    REMOVES = "removes"
    """The manifest leaves out services that run, and nobody has agreed that they are removed; the text lists them."""
    # Operations
    TIMED_OUT = "timed-out"
    """No answer within the deadline. What was asked may have happened."""
    STOPPED = "stopped"
    """The part of ployzd that was asked has stopped."""
    MAILBOX_FULL = "mailbox-full"
    """Too much is queued for that part of ployzd: try again in a moment."""
    FENCED = "fenced"
    """The service's start gate is closed here by an undecided operation."""
    DECIDED = "decided"
    """The operation is committed or aborted already; nothing more is done for it."""
    CONFLICT = "conflict"
    """Something else is there already: another record, container, network or configuration."""
    NOT_READY = "not-ready"
    """The new container ended, or was not ready in the time that its manifest gives it."""
    HOOK_FAILED = "hook-failed"
    """A hook of the service, run before it would have been stopped, failed; the text has its words."""
    STREAM_FAILED = "stream-failed"
    """A volume or image stream broke off, stalled, or was refused; the text has both programs' words."""
    LINK_LOST = "link-lost"
    """The link between two machines was gone for longer than a stream waits for it."""
    RECEIVER_GONE = "receiver-gone"
    """Nobody takes that stream any more: the ployzd that received it was restarted, or has given up."""
    GUID_MISMATCH = "guid-mismatch"
    """What arrived is not the snapshot that was sent, or source and target voted differently."""
    DIGEST_MISMATCH = "digest-mismatch"
    """A snapshot has the right guid and other content than its source: what arrived is damaged."""
    CUTOVER_TOO_LONG = "cutover-too-long"
    """The cut-over would take longer than was previewed or asked for: nothing was stopped."""
    CLEANUP_PENDING = "cleanup-pending"
    """It is committed; the machines that have not finished are named, and finish by themselves."""
    OUTCOME_UNKNOWN = "outcome-unknown"
    """It is not known whether it happened. Read before you act."""
    UNHEALTHY = "unhealthy"
    """The doctor found something wrong; each finding says what to do. Nothing was changed."""
    VERSIONS_DIFFER = "versions-differ"
    """The machines run versions of ployz that cannot work together; the text says which, and why."""
    # Parts
    MISSING_PART = "missing-part"
    """A program, a service or a right that ployz needs is missing on this machine."""
    PART_FAILED = "part-failed"
    """A program, a file or a folder of this machine failed."""
    ZFS_FAILED = "zfs-failed"
    """ZFS refused or failed; the text has its words."""
    MOUNT_HANGS = "mount-hangs"
    """A mount or an unmount of a dataset did not end in time; the text says of which. No restart of ployzd helps."""
    DOCKER_FAILED = "docker-failed"
    """Docker refused or failed; the text has its words."""
    OVERLAY_FAILED = "overlay-failed"
    """WireGuard, or the routes and rules around it, could not be set."""
    LAB_FAILED = "lab-failed"
    """A lab could not be brought to the state that was asked for."""
    # Logs
    LOG_CORRUPT = "log-corrupt"
    """The log is not what was written: changed, incomplete, or out of order."""
    LOG_NEWER = "log-newer"
    """A newer ployz wrote the log's file format."""
    LOG_LOCKED = "log-locked"
    """Another process has the log open: one ployzd a machine."""
    LOG_FAILED = "log-failed"
    """The log cannot be read or written. ployzd takes no further step."""
    STATE_FULL = "state-full"
    """The file system of the state folder is full. Nothing was changed; reads go on, and all that runs."""
    FORKED = "forked"
    """The authority's history is not the one that this machine has. It stops following."""
    FACTS_MOVING = "facts-moving"
    """The fact log is being moved to etcd; nothing is committed until `cluster promote` has ended."""
    FACTS_MOVED = "facts-moved"
    """The fact log is in etcd now, and the founding machine orders nothing any more."""
    # Never meant to be seen
    BUG = "bug"
    """A mistake in ployz itself: report it."""


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
        """`text` and `advice` may quote what anybody said: they become facts, lines of a log and of a terminal."""
        text, advice = printable(text), printable(advice)
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
