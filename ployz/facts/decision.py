"""Ending an operation in exactly one way, whatever is lost on the way to the authority and back.

A transaction is never sent twice. What is not known is read; what nobody decided is decided as an abort.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import anyio
from attrs import frozen

from ployz.errors import Code, Corrupt, Refused, Unreachable
from ployz.events.types import DeployCommitted, OperationAborted
from ployz.facts import keys
from ployz.facts.keys import Decision, Verdict
from ployz.facts.port import Applied, Conflict, FactLog, Transaction
from ployz.facts.transactions import abort, forestall
from ployz.ids import OperationId

READS_MAX: Final = 6
READ_PAUSE_FIRST_S: Final = 0.25
"""Doubles with each read that got no answer: about 8 s in all."""
PAGE: Final = 100

T = TypeVar("T")


@frozen
class Committed:
    """The point of no return is behind us. `position` is that of the DeployCommitted fact."""

    position: int


@frozen
class NotCommitted:
    """Refused, and still undecided: the caller aborts."""

    conflict: Conflict


@frozen
class Aborted:
    decision: Decision


async def commit_or_read(
    log: FactLog, transaction: Transaction, otherwise: OperationAborted, *, started_at: int
) -> Committed | NotCommitted | Aborted:
    """Sends a commit once. Without an answer, `otherwise` is written unless the commit did arrive.

    `started_at`: the position of the operation's OperationStarted fact. `Unreachable` (OUTCOME_UNKNOWN): the
    authority did not say how it ended; call `abort_or_read` until it does.
    """
    undecided = keys.decision(otherwise.operation_id)
    try:
        outcome = await log.transact(transaction)
    except Unreachable:
        decided = await abort_or_read(log, otherwise)
    else:
        if isinstance(outcome, Applied):
            return Committed(outcome.position)
        if outcome.failed != undecided.absent() or outcome.found is None:
            return NotCommitted(outcome)
        decided = undecided.decode(outcome.found)
    if decided.verdict is Verdict.ABORT:
        return Aborted(decided)
    return Committed(await _position_of_commit(log, otherwise.operation_id, started_at))


async def abort_or_read(log: FactLog, aborted: OperationAborted) -> Decision:
    """Aborts the operation unless it is decided, and says how it was decided.

    For every unknown outcome and every recovery. It may be called again, by anybody: the first decision stays.
    `Unreachable` (OUTCOME_UNKNOWN): no answer; it may be decided or not.
    """
    undecided = keys.decision(aborted.operation_id)
    # A start that arrives between the first two makes both miss; then it is there, and the third cannot.
    for transaction in (abort(aborted), forestall(aborted), abort(aborted)):
        try:
            outcome = await log.transact(transaction)
        except Unreachable:
            break
        if isinstance(outcome, Applied):
            return Decision(Verdict.ABORT, aborted.by, aborted.reason)
        if outcome.failed == undecided.absent() and outcome.found is not None:
            return undecided.decode(outcome.found)
    else:
        text = f"operation {aborted.operation_id} was started, but not in the namespace {aborted.namespace}"
        raise Refused(Code.CONFLICT, text, "name the namespace of the operation")
    standing = await _patiently(partial(undecided.read, log))
    if standing is None:
        raise _unknown(aborted.operation_id)
    return standing.value


async def _position_of_commit(log: FactLog, operation_id: OperationId, after: int) -> int:
    """The decision says that it is there: the log does not end before this loop finds it."""
    while page := await _patiently(partial(log.facts, after, limit=PAGE, wait_s=0)):
        for each in page:
            if isinstance(each.fact, DeployCommitted) and each.fact.operation_id == operation_id:
                return each.position
        after = page[-1].position
    raise Corrupt(Code.LOG_CORRUPT, f"operation {operation_id} is decided as committed, and its fact is not there")


async def _patiently(question: Callable[[], Awaitable[T]]) -> T:
    """Asks until there is an answer, READS_MAX times at most: a question changes nothing."""
    pause_s = READ_PAUSE_FIRST_S
    for _ in range(READS_MAX - 1):
        try:
            return await question()
        except Unreachable:
            await anyio.sleep(pause_s)
            pause_s *= 2
    return await question()


def _unknown(operation_id: OperationId) -> Unreachable:
    return Unreachable(
        Code.OUTCOME_UNKNOWN,
        f"it is not known how operation {operation_id} was decided: the authority gave no answer",
        f"wait until it is back; then `ployzctl operation show {operation_id}` says it",
    )
