"""To the actor `operations`: plans, deploys and migrations, as an operator asks for them."""

from __future__ import annotations

from attrs import frozen

from ployz.errors import Problem
from ployz.events.types import Cutover, CutoverParts, OperationKind, RoundEvidence
from ployz.ids import MachineId, Namespace, OperationId, ServiceRef
from ployz.plan.drain import Departure
from ployz.plan.model import Plan
from ployz.projections.operations import Status
from ployz.wire.message import OPERATOR, PEER, READER, Message, message


@frozen
class PhaseText:
    """A phase of the plan and what is done in it, in words."""

    name: str
    effects: tuple[str, ...]


@frozen
class Previewed:
    plan: Plan
    phases: tuple[PhaseText, ...]


@message("deploy.preview", senders=READER)
@frozen
class PreviewDeploy(Message[Previewed]):
    text: str
    """TOML or JSON."""


@message("migrate.preview", senders=READER)
@frozen
class PreviewMigration(Message[Previewed]):
    service: ServiceRef
    to_machine: MachineId
    verify: bool = False
    """Also compare the digests of every file."""
    bandwidth_bytes_s: int | None = None
    max_cutover_s: float | None = None


@frozen
class Accepted:
    operation_id: OperationId


@message("deploy.apply", senders=OPERATOR)
@frozen
class ApplyDeploy(Message[Accepted]):
    """Answered at once; the operation goes on, watched or not."""

    text: str
    """TOML or JSON."""
    remove: bool = False
    """Services that it leaves out may be removed. Without this, a plan that would is refused (REMOVES)."""
    message: str = ""
    """Why, for whoever reads the log; as in the other commands that begin an operation."""
    operation_id: OperationId | None = None
    """Given by the node that takes the command, never by who sends it."""


@message("migrate.apply", senders=OPERATOR)
@frozen
class ApplyMigration(Message[Accepted]):
    service: ServiceRef
    to_machine: MachineId
    verify: bool = False
    bandwidth_bytes_s: int | None = None
    max_cutover_s: float | None = None
    message: str = ""
    operation_id: OperationId | None = None


@message("drain.apply", senders=OPERATOR)
@frozen
class ApplyDeparture(Message[Accepted]):
    """One departure of a drain that was previewed. It is rendered anew: the namespace may have been deployed since."""

    machine: MachineId
    departure: Departure
    message: str = ""
    operation_id: OperationId | None = None


@frozen
class Rendered:
    toml: str


@message("migrate.render", senders=READER)
@frozen
class RenderMigration(Message[Rendered]):
    service: ServiceRef
    to_machine: MachineId
    verify: bool = False
    bandwidth_bytes_s: int | None = None
    max_cutover_s: float | None = None


@message("service.remove", senders=OPERATOR)
@frozen
class RemoveService(Message[Accepted]):
    """Deploys the committed manifest of its namespace without the service. Its volumes stay."""

    service: ServiceRef
    message: str = ""
    operation_id: OperationId | None = None


# ---------------------------------------------------------------- watching


@frozen
class Progress:
    """One line of an operation's story, with the numbers of a transfer where it is one."""

    seq: int
    """From 1, in this operation."""
    at_ms: int
    phase: str
    text: str
    round: int = 0
    sent_bytes: int = 0
    total_bytes: int = 0
    """Expected; 0: not a transfer."""
    elapsed_ms: int = 0
    """Of the transfer."""


@frozen
class Result:
    """How it ended. `exit_code` is what a command that waited for it ends with."""

    exit_code: int
    problem: Problem | None
    committed: bool
    position: int
    """Of the fact that decided it; 0: it ended before it was started."""
    cutover_ms: int
    predicted_cutover_ms: int
    predicted_bytes: int
    """Of the last round."""
    last_bytes: int
    """What the last round sent; 0: it did not come to it."""
    duration_ms: int
    parts: CutoverParts
    rounds: tuple[RoundEvidence, ...]
    plan: Plan | None


@frozen
class WatchPage:
    progress: tuple[Progress, ...]
    result: Result | None
    """None while it goes on."""


@message("operation.watch", senders=READER | PEER)
@frozen
class WatchOperation(Message[WatchPage]):
    """A long poll: answered when there is progress after `after`, at the end, or after `wait_s`. From an operator on
    another machine than the coordinator it is passed on there.
    """

    operation_id: OperationId
    after: int
    wait_s: float


# ---------------------------------------------------------------- history


@frozen
class DeployRow:
    operation_id: OperationId
    kind: OperationKind
    namespace: Namespace
    coordinator: MachineId
    status: Status
    started_ms: int
    decided_ms: int
    position: int
    reason: str


@frozen
class DeployList:
    deploys: tuple[DeployRow, ...]


@message("deploy.list", senders=READER)
@frozen
class ListDeploys(Message[DeployList]):
    """Newest first."""

    limit: int


@frozen
class DeployDetail:
    row: DeployRow
    participants: tuple[MachineId, ...]
    evidence: tuple[RoundEvidence, ...]
    cutover_ms: int
    """By its coordinator's log; 0 when that cannot be asked, or nothing was stopped."""
    cutover: Cutover | None = None
    """Its prediction and its parts, by the same log."""
    now: str = ""
    """What goes on while it is undecided: its phase, or who decides it when its coordinator is gone."""


@message("deploy.show", senders=READER | PEER)
@frozen
class ShowDeploy(Message[DeployDetail]):
    """From an operator on another machine than the coordinator it is passed on there: its log has the cut-over."""

    operation_id: OperationId


# ---------------------------------------------------------------- what is going on


@frozen
class PhaseNow:
    phase: str
    """Empty: its coordinator does not carry it out any more."""


@message("operation.phase", senders=PEER)
@frozen
class AskPhase(Message[PhaseNow]):
    """To the machine that coordinates it."""

    operation_id: OperationId


@frozen
class OperationRow:
    deploy: DeployRow
    phase: str
    """Of an undecided one; `unknown` where its coordinator does not answer, `abandoned` where it has ended."""


@frozen
class OperationList:
    operations: tuple[OperationRow, ...]


@message("operation.list", senders=READER)
@frozen
class ListOperations(Message[OperationList]):
    """Undecided ones first, then the newest."""

    limit: int


@frozen
class AbortedNow:
    row: DeployRow


@message("operation.abort", senders=OPERATOR)
@frozen
class AbortOperation(Message[AbortedNow]):
    """Decides it as an abort, unless it is decided. What was done is undone after the answer."""

    operation_id: OperationId


@frozen
class Resumed:
    """What a resume turned out to mean."""

    row: DeployRow
    again: OperationId | None
    """The operation that does the same anew; None: this one was committed, and its clean-up was finished now."""
    again_on: MachineId | None
    """Who coordinates that one."""


@message("operation.resume", senders=OPERATOR | PEER)
@frozen
class ResumeOperation(Message[Resumed]):
    """Committed: finishes its clean-up. Aborted, or abandoned and then aborted by this: the same is begun anew, by the
    machine that coordinated it, which alone knows what was ordered.
    """

    operation_id: OperationId
