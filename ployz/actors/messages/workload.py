"""To the actors `workload/NAMESPACE`: the containers of a namespace on one machine, and the start gate; and one
message to `workloads`.

`position` as in messages/storage.
"""

from __future__ import annotations

from attrs import frozen

from ployz.events.types import SnapshotTaken
from ployz.ids import MachineId, Namespace, OperationId, ServiceName, SlotName, SlotRef, VolumeRef
from ployz.plan.hooks import HookCall, Moment
from ployz.wire.message import LOCAL, PEER, Done, Message, message


@frozen
class Candidate:
    """A slot's container of an operation in flight."""

    service: ServiceName
    slot: SlotName
    ipv6: str
    ipv4: str
    image_id: str
    template_hash: str
    ended: int | None = None
    """What it runs ended with this elsewhere: it is made, and stays so."""


@message("workload.create", senders=PEER)
@frozen
class CreateCandidate(Message[Done]):
    """From a coordinator: made, not started. `manifest`: canonical JSON of the whole namespace."""

    operation_id: OperationId
    position: int
    manifest: str
    candidate: Candidate


@message("workload.keep_images", senders=PEER)
@frozen
class KeepImages(Message[Done]):
    """From a coordinator, before anything stops: what these slots run from here stays in use until it is decided, so
    that an undo finds it, whatever is pruned meanwhile.
    """

    operation_id: OperationId
    position: int
    slots: tuple[SlotRef, ...]


@message("workload.recheck", senders=PEER)
@frozen
class RecheckCandidate(Message[Done]):
    """From a coordinator, in the last moment before anything stops: its container, its network and its image are there.
    What is not is made again; what cannot be ends the operation while the service runs. Fields as of `CreateCandidate`.
    """

    operation_id: OperationId
    position: int
    manifest: str
    candidate: Candidate


@frozen
class FencedReport:
    snapshots: tuple[SnapshotTaken, ...]
    stop_ms: int
    unmount_ms: int
    snapshot_ms: int


@message("workload.fence", senders=PEER)
@frozen
class Fence(Message[FencedReport]):
    """From a coordinator to the source: close the gate, stop, unmount, final snapshot of all volumes, vote."""

    operation_id: OperationId
    position: int
    slots: tuple[SlotRef, ...]
    """Every slot that leaves this machine."""
    volumes: tuple[VolumeRef, ...]
    """Every volume that leaves with them: one instant, and one vote."""
    round: int


@message("workload.vote", senders=PEER)
@frozen
class CastVote(Message[Done]):
    """From a coordinator to the target, which has compared the guids of all of them."""

    operation_id: OperationId
    position: int
    snapshots: tuple[SnapshotTaken, ...]


@frozen
class HooksRan:
    problems: tuple[str, ...]
    """What went wrong, a sentence each. Empty: nothing."""


@message("workload.hooks", senders=PEER)
@frozen
class RunHooks(Message[HooksRan]):
    """From a coordinator to the source: commands in the containers that leave, around the snapshot of a round."""

    operation_id: OperationId
    position: int
    moment: Moment
    round: int
    calls: tuple[HookCall, ...]


@frozen
class ReadyReport:
    mount_ms: int
    start_ms: int
    ready_ms: int
    attempts: int


@message("workload.start", senders=PEER)
@frozen
class StartCandidate(Message[ReadyReport]):
    """From a coordinator: mount, start, wait until it is ready.

    A slot that is replaced where it is: its old container is stopped first, and kept until the commit.
    """

    operation_id: OperationId
    position: int
    manifest: str
    candidate: Candidate


@message("workload.settle", senders=LOCAL | PEER)
@frozen
class Settle(Message[Done]):
    """Agree with the facts as of `position`: from this machine itself, or a coordinator that waits for it."""

    position: int


@message("workload.withdraw", senders=PEER)
@frozen
class Withdraw(Message[Done]):
    """To the actor `workloads`, from a machine that fenced a service for this operation, which was aborted at
    `position`: answered when no container of it is left here.

    Not to `workload/NAMESPACE`, which may be waiting for a start, or for the withdrawal of the asker itself.
    """

    operation_id: OperationId
    position: int


@message("workload.died", senders=LOCAL)
@frozen
class ContainerDied(Message[Done]):
    """From the watch on Docker's events."""

    container: str
    exit_code: int


@message("workload.reconnect", senders=LOCAL)
@frozen
class Reconnect(Message[Done]):
    """From the look at Docker: this container runs, and is on no network any more. It is made anew, or
    stopped and given another network where it has written what must not be lost.
    """

    container: str


@message("workloads.look", senders=LOCAL)
@frozen
class LookNow(Message[Done]):
    """To the actor `workloads`, before a candidate is made: the network that it will be on, and who else is there."""


@frozen
class LogText:
    text: str


@message("workload.logs", senders=PEER)
@frozen
class ReadLogs(Message[LogText]):
    service: ServiceName
    slot: SlotName
    tail: int


@frozen
class SlotState:
    service: ServiceName
    slot: SlotName
    container: str
    """Empty: there is none."""
    running: bool
    exit_code: int | None
    fenced_by: OperationId | None
    paused: bool = False
    unready: bool = False
    """It runs, and its readiness was lost."""
    why: str = ""
    """Of an unready one, what the last look said; of one that ended, why it could not be started again."""
    since_ms: int = 0
    """When it became what it is, by its machine's clock; 0: not known."""
    restarts: int = 0
    """Since ployzd began to look after it."""
    restarts_lately: int = 0
    """Of these, those of the last five minutes."""


@frozen
class WorkloadState:
    machine: MachineId
    namespace: Namespace
    slots: tuple[SlotState, ...]


@message("workload.show", senders=PEER)
@frozen
class ShowWorkload(Message[WorkloadState]):
    """What runs here of the namespace, by Docker's own word."""
