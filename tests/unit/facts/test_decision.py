from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import product

import anyio
import pytest
from attrs import evolve

from ployz.errors import Code, Refused, Unreachable
from ployz.events.types import OperationAborted
from ployz.facts import keys
from ployz.facts.decision import Aborted, Committed, NotCommitted, abort_or_read, commit_or_read
from ployz.facts.keys import Decision, Verdict, Vote
from ployz.facts.memory import MemoryFactLog
from ployz.facts.port import Applied, Conflict, Transaction
from ployz.facts.transactions import abort, cast_vote, start_operation
from ployz.ids import Namespace
from tests.unit.facts.bad_line import BadLine, Loss
from tests.unit.facts.clocks import SchedulerClock, virtual_time
from tests.unit.facts.samples import (
    ABORTED,
    FINAL,
    OP,
    PRODUCTION,
    A,
    B,
    Migration,
    applied,
    commit_of,
    committed,
    joined,
    ready_to_commit,
    started,
    take_lock,
)

BY_OTHER = OperationAborted(OP, PRODUCTION, B, "the lock lapsed")


def run(test: Callable[[MemoryFactLog, BadLine], Awaitable[None]]) -> None:
    async def main() -> None:
        log = MemoryFactLog(SchedulerClock())
        await test(log, BadLine(log))

    anyio.run(main, backend="trio", backend_options=virtual_time())


async def _try_commit(line: BadLine, migration: Migration) -> Committed | NotCommitted | Aborted:
    return await commit_or_read(line, commit_of(migration.token), ABORTED, started_at=migration.started_at)


async def _ends(log: MemoryFactLog, migration: Migration) -> list[object]:
    return [each.fact for each in await log.facts(migration.started_at, limit=99, wait_s=0)]


# ---------------------------------------------------------------- commit


def test_a_commit_that_is_answered_says_where_it_stands() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        migration = await ready_to_commit(log)
        assert await _try_commit(line, migration) == Committed(migration.started_at + 1)
        assert await _ends(log, migration) == [committed()]

    run(test)


def test_a_commit_whose_answer_was_lost_is_found_by_reading() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        migration = await ready_to_commit(log)
        for _ in range(150):  # other operations commit facts meanwhile: more than one page of them
            await applied(log, Transaction((), (), (joined(A, 1),)))
        line.losses = [Loss.ANSWER]
        assert await _try_commit(line, migration) == Committed(migration.started_at + 151)
        assert line.sent.count(commit_of(migration.token)) == 1

    run(test)


def test_a_commit_whose_request_was_lost_is_decided_as_an_abort_and_never_sent_again() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        migration = await ready_to_commit(log)
        line.losses = [Loss.REQUEST]
        assert await _try_commit(line, migration) == Aborted(Decision(Verdict.ABORT, A, ABORTED.reason))
        assert line.sent == [commit_of(migration.token), abort(ABORTED)]
        # The lost request was only late.
        assert isinstance(await log.transact(commit_of(migration.token)), Conflict)
        assert await _ends(log, migration) == [ABORTED]

    run(test)


def test_a_commit_after_an_abort_of_somebody_else_says_who_and_why() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        migration = await ready_to_commit(log)
        await applied(log, abort(BY_OTHER))
        assert await _try_commit(line, migration) == Aborted(Decision(Verdict.ABORT, B, "the lock lapsed"))

    run(test)


def test_a_commit_that_was_delivered_twice_is_one_commit() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        migration = await ready_to_commit(log)
        await applied(log, commit_of(migration.token))
        assert await _try_commit(line, migration) == Committed(migration.started_at + 1)
        assert await _ends(log, migration) == [committed()]

    run(test)


def test_a_refused_commit_leaves_the_operation_undecided_and_says_what_failed() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        migration = await ready_to_commit(log)
        other = Vote((evolve(FINAL, guid=78),))
        await applied(log, cast_vote(OP, B, other))
        outcome = await _try_commit(line, migration)
        assert outcome == NotCommitted(Conflict(keys.vote(OP, B).is_(Vote((FINAL,))), keys.vote(OP, B).encode(other)))
        assert await keys.decision(OP).read(log) is None

    run(test)


@pytest.mark.parametrize("losses", list(product([Loss.REQUEST, Loss.ANSWER], repeat=3)), ids=str)
def test_whatever_is_lost_the_answer_is_what_the_log_has(losses: tuple[Loss, ...]) -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        migration = await ready_to_commit(log)
        line.losses = list(losses)
        expected: list[object]
        try:
            outcome = await _try_commit(line, migration)
        except Unreachable:
            expected = []
        else:
            expected = [ABORTED if isinstance(outcome, Aborted) else committed()]
        assert await _ends(log, migration) == expected

    run(test)


def test_an_authority_that_stays_away_leaves_the_outcome_unknown_within_bounds() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        migration = await ready_to_commit(log)
        line.losses = [Loss.ANSWER]
        line.down = True
        begun_s = anyio.current_time()
        with pytest.raises(Unreachable) as unknown:
            await _try_commit(line, migration)
        assert unknown.value.code is Code.OUTCOME_UNKNOWN
        assert anyio.current_time() - begun_s < 10
        assert len(line.sent) == 2

    run(test)


# ---------------------------------------------------------------- abort


def test_an_abort_ends_an_undecided_operation() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        migration = await ready_to_commit(log)
        assert await abort_or_read(line, ABORTED) == Decision(Verdict.ABORT, A, "the target is full")
        assert await _ends(log, migration) == [ABORTED]

    run(test)


def test_an_abort_of_a_committed_operation_reads_the_commit_and_changes_nothing() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        migration = await ready_to_commit(log)
        await applied(log, commit_of(migration.token))
        assert await abort_or_read(line, ABORTED) == Decision(Verdict.COMMIT, A)
        assert await _ends(log, migration) == [committed()]

    run(test)


def test_an_abort_run_twice_equals_once() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        migration = await ready_to_commit(log)
        first = await abort_or_read(line, ABORTED)
        assert await abort_or_read(line, BY_OTHER) == first
        assert await _ends(log, migration) == [ABORTED]

    run(test)


def test_an_abort_whose_answer_was_lost_is_read() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        await ready_to_commit(log)
        line.losses = [Loss.ANSWER, Loss.REQUEST, Loss.ANSWER]  # the abort, and two questions
        assert await abort_or_read(line, ABORTED) == Decision(Verdict.ABORT, A, ABORTED.reason)
        assert len(line.sent) == 1

    run(test)


def test_an_operation_that_never_started_is_forestalled_without_a_fact() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        _, token = await take_lock(log)
        assert await abort_or_read(line, ABORTED) == Decision(Verdict.ABORT, A, ABORTED.reason)
        assert not await log.facts(0, limit=9, wait_s=0)
        # The delayed start arrives now.
        outcome = await log.transact(start_operation(started(token)))
        assert isinstance(outcome, Conflict)
        assert outcome.failed == keys.decision(OP).absent()

    run(test)


def test_an_abort_meets_a_start_that_arrives_in_between() -> None:
    class LateStart(BadLine):
        async def transact(self, transaction: Transaction) -> Applied | Conflict:
            outcome = await super().transact(transaction)
            if len(self.sent) == 1:
                await applied(self.log, start_operation(started(token)))
            return outcome

    token = 0

    async def test(log: MemoryFactLog, _: BadLine) -> None:
        nonlocal token
        token = (await take_lock(log))[1]
        assert (await abort_or_read(LateStart(log), ABORTED)).verdict is Verdict.ABORT
        assert [each.fact for each in await log.facts(0, limit=9, wait_s=0)] == [started(token), ABORTED]

    run(test)


def test_an_abort_in_the_wrong_namespace_is_refused() -> None:
    async def test(log: MemoryFactLog, line: BadLine) -> None:
        await ready_to_commit(log)
        with pytest.raises(Refused) as refused:
            await abort_or_read(line, evolve(ABORTED, namespace=Namespace("staging")))
        assert refused.value.code is Code.CONFLICT
        assert await keys.decision(OP).read(log) is None

    run(test)
