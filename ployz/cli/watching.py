"""Watching an operation to its end: every line of its story, what it moved, and its exit code.

The operation belongs to the node. A watcher that goes away, or loses the node, changes nothing about it.
"""

from __future__ import annotations

from typing import Final, NoReturn

from ployz.actors.messages.operations import Accepted, Progress, WatchOperation
from ployz.cli.call import PLAN_S, Call, Interrupted
from ployz.cli.transfers import Transfers, describe
from ployz.cli.views.result import render
from ployz.errors import Code, PloyzError, Unreachable
from ployz.ids import OperationId
from ployz.wire.message import Message

POLL_S: Final = 20.0
"""How long the node waits for something to tell."""
POLL_GRACE_S: Final = 10.0


def apply(call: Call, message: Message[Accepted]) -> int:
    """Starts an operation and watches it. The exit code is the operation's."""
    try:
        accepted = call.node.ask("operations", message, timeout_s=PLAN_S)
    except KeyboardInterrupt:
        raise Interrupted(
            Code.INTERRUPTED,
            "interrupted before the node answered: it may have begun all the same",
            "`ployzctl operation ls` shows whether it did.",
        ) from None
    call.out.item("operation.accepted", accepted, f"operation {accepted.operation_id}")
    return watch(call, accepted.operation_id)


def watch(call: Call, operation_id: OperationId) -> int:
    """To the end of the operation. The exit code is the operation's."""
    after, result = 0, None
    try:
        with call.out.status() as area:
            transfers = Transfers(area)
            while result is None:
                message = WatchOperation(operation_id, after, POLL_S)
                page = call.node.ask("operations", message, timeout_s=POLL_S + POLL_GRACE_S)
                for progress in page.progress:
                    after = progress.seq
                    _tell(call, transfers, progress)
                result = page.result
            for line in transfers.finish():
                call.out.item("operation.progress", line, describe(line))
    except KeyboardInterrupt:
        raise Interrupted(
            Code.INTERRUPTED,
            f"operation {operation_id} goes on without you",
            f"Watch it again with `ployzctl operation watch {operation_id}`, or end it, and have undone what it did, "
            f"with `ployzctl operation abort {operation_id}`.",
        ) from None
    except Unreachable as error:
        _lost(operation_id, error)
    call.out.show("operation.result", result, render, problem=result.problem)
    return result.exit_code


def _tell(call: Call, transfers: Transfers, progress: Progress) -> None:
    for line in transfers.take(progress):
        call.out.item("operation.progress", line, describe(line))


def _lost(operation_id: OperationId, error: PloyzError) -> NoReturn:
    raise Unreachable(
        Code.OUTCOME_UNKNOWN,
        f"the node was lost while operation {operation_id} was going on; how it ends is not known here"
        f" ({error.problem.text})",
        f"It is finished or undone without you. Once ployzd answers: `ployzctl operation show {operation_id}`.",
    ) from error
