"""Events of a node: its start, the facts that reach it, and the steps of the operations that it takes part in."""

from __future__ import annotations

from attrs import frozen

from ployz.errors import Code
from ployz.events.types.base import Event, Fact, event
from ployz.events.types.values import Cutover
from ployz.events.words import OperationKind
from ployz.ids import MachineId, Namespace, OperationId


@event("node.started", 1)
@frozen
class NodeStarted(Event):
    machine: MachineId
    version: str


@event("command.given", 2)
@frozen
class CommandGiven(Event):
    """An operator of this machine asked for a change. Appended before anything of it is done; refused or not."""

    uid: int
    """By the kernel's word, as `pid`."""
    pid: int
    command: str
    """The message: `migrate.apply`."""
    about: str
    """The names in it, `production/db, machine-b`; of a manifest, its namespace. Never anything else of it."""
    user: str
    """The name of `uid` on this machine when it was given; empty: it had none."""
    message: str
    """Why, in the operator's words: `--message`."""


@event("fact.mirrored", 1)
@frozen
class FactMirrored(Event):
    """A fact, as the cluster's log has it. `position` is gapless; `hash` chains over the fact log."""

    position: int
    hash: bytes
    fact: Fact


@event("operation.ordered", 1)
@frozen
class OperationOrdered(Event):
    """What its coordinator was asked to do: what an operator's `resume` begins again from."""

    purpose: str
    manifest: str
    """Canonical JSON, with its intent."""


@event("operation.step_begun", 1)
@frozen
class StepBegun(Event):
    """Intent: appended before the effect. Without an outcome of the same operation, look at the world."""

    step: str
    detail: str


@event("operation.step_failed", 1)
@frozen
class StepFailed(Event):
    step: str
    code: Code
    text: str


@event("operation.finished", 3)
@frozen
class OperationFinished(Event):
    """The coordinator's own closing word: what `deploy show` prints beside the fact."""

    operation_id: OperationId
    kind: OperationKind
    namespace: Namespace
    committed: bool
    code: str
    """Empty when all went well, else the code of the problem."""
    text: str
    cutover_ms: int
    """From the last write the source could accept to the candidate's readiness and commit; 0: no service stopped."""
    duration_ms: int
    cutover: Cutover | None
    """None: no service was stopped for a move, or that was undone. What the next one is predicted from."""
