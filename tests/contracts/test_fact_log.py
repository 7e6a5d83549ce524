"""What every fact log does: memory, embedded and etcd."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count, permutations
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint
from attrs import evolve, frozen

from ployz.errors import Code, Refused
from ployz.events.log import GENESIS_HASH
from ployz.events.types import OperationAborted
from ployz.facts import keys
from ployz.facts.chain import fact_hash
from ployz.facts.etcd.gateway import Gateway
from ployz.facts.etcd.log import EtcdFactLog, begin
from ployz.facts.keys import Decision, Verdict, VolumeOwnership, Vote
from ployz.facts.leases import TTL_S_MAX, Leases, check_ttl
from ployz.facts.memory import MemoryFactLog
from ployz.facts.port import (
    Absent,
    Applied,
    Conflict,
    Delete,
    FactLog,
    Held,
    Put,
    RevisionIs,
    SequencedFact,
    Transaction,
    ValueIs,
)
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from ployz.facts.transactions import abort, cast_vote, start_operation
from ployz.ids import OperationId
from tests.etcds import Etcd, etcd
from tests.real import need
from tests.unit.facts.clocks import HandClock
from tests.unit.facts.samples import (
    ABORTED,
    DATA,
    FINAL,
    FOUNDED,
    OP,
    PRODUCTION,
    A,
    B,
    applied,
    commit_of,
    joined,
    ready_to_commit,
    started,
    take_lock,
)

_serials = count()

TOO_LONG_S = 60.0
"""Ends a test that hangs; no test waits for it."""


@frozen
class Given:
    log: FactLog
    let_pass: Callable[[float], Awaitable[None]]
    """Time, on the clock by which the authority ends leases."""


@asynccontextmanager
async def memory(_: Path) -> AsyncIterator[Given]:
    clock = HandClock()
    yield Given(MemoryFactLog(clock), _advance(clock))


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[Given]:
    clock = HandClock()
    log = await EmbeddedFactLog.open(folder / "facts.db", clock)
    try:
        yield Given(log, _advance(clock))
    finally:
        await log.aclose()


@asynccontextmanager
async def on_etcd(server: Etcd) -> AsyncIterator[Given]:
    """Below a prefix of its own. Time passes on the test's clock: see `_Timed`."""
    clock = HandClock()
    async with Gateway(server.access(f"test-{next(_serials)}/")) as gateway:
        await begin(gateway)
        yield Given(_Timed(EtcdFactLog(gateway, clock), clock), _advance(clock))


class _Timed(EtcdFactLog):
    """Leases of an hour, which end when the test's clock says so, as etcd itself ends them: it revokes them. That etcd
    does so by itself, and in time, is tested in test_etcd.py.
    """

    def __init__(self, log: EtcdFactLog, clock: HandClock) -> None:
        super().__init__(log._gateway, clock)
        self._hand, self._leases = clock, Leases()

    async def grant(self, ttl_s: float) -> int:
        check_ttl(ttl_s)
        lease = await super().grant(TTL_S_MAX)
        self._leases.begin(lease, ttl_s, self._hand.now_s)
        return lease

    async def keep_alive(self, lease: int) -> bool:
        await self._end_due()
        self._leases.renew(lease, self._hand.now_s)
        return await super().keep_alive(lease)

    async def transact(self, transaction: Transaction) -> Applied | Conflict:
        await self._end_due()
        return await super().transact(transaction)

    async def read(self, key: str) -> Held | None:
        await self._end_due()
        return await super().read(key)

    async def list(self, prefix: str) -> Sequence[tuple[str, Held]]:
        await self._end_due()
        return await super().list(prefix)

    async def _end_due(self) -> None:
        for lease in self._leases.due(self._hand.now_s):
            self._leases.forget([lease])
            await super().revoke(lease)


def _advance(clock: HandClock) -> Callable[[float], Awaitable[None]]:
    async def let_pass(seconds: float) -> None:
        clock.now_s += seconds
        await checkpoint()

    return let_pass


Adapter = Callable[[Path], AbstractAsyncContextManager[Given]]
ON_FILES: Mapping[str, Adapter] = {"memory": memory, "embedded": embedded}
ETCD = pytest.param("etcd", marks=pytest.mark.real)
Run = Callable[[Callable[[Given], Awaitable[None]]], None]


@pytest.fixture(scope="module")
def etcd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    need("etcd", "openssl")
    with etcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(params=[*ON_FILES, ETCD])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    def adapter() -> AbstractAsyncContextManager[Given]:
        if request.param == "etcd":
            return on_etcd(request.getfixturevalue("etcd_server"))
        return ON_FILES[request.param](tmp_path)

    def go(test: Callable[[Given], Awaitable[None]]) -> None:
        opened = adapter()

        async def main() -> None:
            with anyio.fail_after(TOO_LONG_S):
                async with opened as given:
                    await test(given)

        anyio.run(main, backend="trio")

    return go


def put(key: str, value: bytes, *compares: Absent | ValueIs | RevisionIs, lease: int = 0) -> Transaction:
    return Transaction(compares, (Put(key, value, lease),))


# ---------------------------------------------------------------- compares


def test_absent_holds_only_while_nothing_stands_there(run: Run) -> None:
    async def test(given: Given) -> None:
        await applied(given.log, put("k", b"1", Absent("k")))
        assert await given.log.transact(put("k", b"2", Absent("k"))) == Conflict(Absent("k"), b"1")
        await applied(given.log, Transaction((), (Delete("k"),)))
        await applied(given.log, put("k", b"3", Absent("k")))

    run(test)


def test_value_is_holds_only_for_exactly_this_value(run: Run) -> None:
    async def test(given: Given) -> None:
        assert await given.log.transact(put("k", b"", ValueIs("k", b""))) == Conflict(ValueIs("k", b""), None)
        await applied(given.log, put("k", b""))
        await applied(given.log, put("k", b"1", ValueIs("k", b"")))
        assert await given.log.transact(put("k", b"2", ValueIs("k", b"1\0"))) == Conflict(ValueIs("k", b"1\0"), b"1")

    run(test)


def test_revision_is_holds_only_for_the_last_writer(run: Run) -> None:
    async def test(given: Given) -> None:
        first = await applied(given.log, put("k", b"same"))
        second = await applied(given.log, put("k", b"same", RevisionIs("k", first.revision)))
        stale = RevisionIs("k", first.revision)
        assert await given.log.transact(put("k", b"x", stale)) == Conflict(stale, b"same")
        missing = RevisionIs("other", second.revision)
        assert await given.log.transact(put("k", b"x", missing)) == Conflict(missing, None)

    run(test)


def test_a_conflict_names_the_first_compare_that_fails(run: Run) -> None:
    async def test(given: Given) -> None:
        await applied(given.log, put("k", b"1"))
        holds, fails = ValueIs("k", b"1"), ValueIs("k", b"2")
        outcome = await given.log.transact(put("j", b"", holds, fails, Absent("k")))
        assert outcome == Conflict(fails, b"1")

    run(test)


# ---------------------------------------------------------------- transactions


def test_a_refused_transaction_changes_nothing(run: Run) -> None:
    async def test(given: Given) -> None:
        before = await applied(given.log, put("old", b"1"))
        refused = Transaction((Absent("old"),), (Put("new", b"1"), Delete("old")), (FOUNDED,))
        assert isinstance(await given.log.transact(refused), Conflict)
        assert await given.log.read("new") is None
        assert await given.log.read("old") == Held(b"1", before.revision)
        assert not await given.log.facts(0, limit=9, wait_s=0)

    run(test)


def test_an_applied_transaction_changes_everything_at_one_revision(run: Run) -> None:
    async def test(given: Given) -> None:
        await applied(given.log, put("old", b"1"))
        everything = Transaction((), (Put("a", b"1"), Put("b", b"2"), Delete("old")), (FOUNDED, joined(A, 1)))
        outcome = await applied(given.log, everything)
        assert await given.log.read("a") == Held(b"1", outcome.revision)
        assert await given.log.read("b") == Held(b"2", outcome.revision)
        assert await given.log.read("old") is None
        facts = await given.log.facts(0, limit=9, wait_s=0)
        assert [each.fact for each in facts] == [FOUNDED, joined(A, 1)]
        assert outcome.position == 2

    run(test)


def test_revisions_rise_and_are_never_used_again(run: Run) -> None:
    async def test(given: Given) -> None:
        seen = []
        for transaction in (put("k", b"1"), Transaction((), (Delete("k"),)), put("k", b"1"), Transaction(())):
            seen.append((await applied(given.log, transaction)).revision)
            await given.log.transact(put("k", b"", Absent("k"), ValueIs("k", b"")))
        assert seen == sorted(set(seen))

    run(test)


def test_deleting_what_is_not_there_is_done(run: Run) -> None:
    async def test(given: Given) -> None:
        await applied(given.log, Transaction((), (Delete("k"), Put("j", b"1"))))
        assert await given.log.read("j") is not None

    run(test)


def test_a_transaction_that_writes_a_key_twice_is_refused(run: Run) -> None:
    async def test(given: Given) -> None:
        with pytest.raises(Refused, match="writes each key once"):
            await given.log.transact(Transaction((), (Put("k", b"1"), Delete("k"))))
        assert await given.log.read("k") is None
        await applied(given.log, put("k", b"2"))

    run(test)


def test_a_prefix_lists_its_records_by_key_and_is_no_pattern(run: Run) -> None:
    async def test(given: Given) -> None:
        for key in ("v/b", "v/a", "v_x", "V/a", "v/", "w"):
            await applied(given.log, put(key, key.encode()))
        assert [key for key, _ in await given.log.list("v/")] == ["v/", "v/a", "v/b"]
        assert [held.value for _, held in await given.log.list("v_")] == [b"v_x"]
        assert not await given.log.list("v%")
        assert len(await given.log.list("")) == 6

    run(test)


# ---------------------------------------------------------------- facts


def test_facts_are_gapless_and_chained_from_the_first(run: Run) -> None:
    async def test(given: Given) -> None:
        for transaction in (Transaction((), (), (FOUNDED, joined(A, 1))), Transaction((), (), (joined(B, 2),))):
            await applied(given.log, transaction)
        previous = GENESIS_HASH
        facts = await given.log.facts(0, limit=9, wait_s=0)
        for position, each in enumerate(facts, 1):
            previous = fact_hash(previous, position, each.fact)
            assert (each.position, each.hash) == (position, previous)
        assert len(facts) == 3

    run(test)


def test_facts_begin_after_a_position_and_end_at_the_limit(run: Run) -> None:
    async def test(given: Given) -> None:
        await applied(given.log, Transaction((), (), tuple(joined(A, number) for number in range(1, 6))))
        assert [each.position for each in await given.log.facts(1, limit=2, wait_s=0)] == [2, 3]
        assert [each.position for each in await given.log.facts(4, limit=2, wait_s=0)] == [5]

    run(test)


@pytest.mark.parametrize(
    ("after", "limit", "positions"),
    [(-5, 2, [1, 2]), (0, -1, []), (0, 0, []), (0, 2**64 - 1, [1, 2, 3]), (2**64 - 1, 9, [])],
)
def test_absurd_questions_for_facts_have_answers(run: Run, after: int, limit: int, positions: list[int]) -> None:
    async def test(given: Given) -> None:
        await applied(given.log, Transaction((), (), tuple(joined(A, number) for number in (1, 2, 3))))
        assert [each.position for each in await given.log.facts(after, limit=limit, wait_s=0)] == positions

    run(test)


def test_everybody_who_waits_gets_the_next_fact_when_it_is_committed(run: Run) -> None:
    async def test(given: Given) -> None:
        got: list[SequencedFact] = []

        async def wait() -> None:
            got.extend(await given.log.facts(0, limit=1, wait_s=TOO_LONG_S))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            await applied(given.log, put("no fact", b""))
            await anyio.wait_all_tasks_blocked()
            assert not got
            await applied(given.log, Transaction((), (), (FOUNDED,)))
        assert [each.fact for each in got] == [FOUNDED] * 3

    run(test)


def test_waiting_for_a_fact_that_does_not_come_ends_with_nothing(run: Run) -> None:
    async def test(given: Given) -> None:
        assert not await given.log.facts(0, limit=1, wait_s=0.01)

    run(test)


# ---------------------------------------------------------------- leases


def test_a_record_goes_when_its_lease_ends_and_not_before(run: Run) -> None:
    async def test(given: Given) -> None:
        lease = await given.log.grant(30)
        await applied(given.log, put("k", b"1", lease=lease))
        await given.let_pass(29.9)
        assert await given.log.read("k") is not None
        await given.let_pass(0.1)
        assert await given.log.read("k") is None
        assert not await given.log.list("k")

    run(test)


def test_a_lease_lives_a_whole_ttl_from_its_last_renewal(run: Run) -> None:
    async def test(given: Given) -> None:
        lease = await given.log.grant(30)
        await applied(given.log, put("k", b"1", lease=lease))
        for _ in range(3):
            await given.let_pass(20)
            assert await given.log.keep_alive(lease)
        await given.let_pass(30)
        assert await given.log.read("k") is None

    run(test)


def test_an_ended_lease_cannot_be_renewed(run: Run) -> None:
    async def test(given: Given) -> None:
        lapsed, revoked = await given.log.grant(30), await given.log.grant(3000)
        await given.log.revoke(revoked)
        await given.let_pass(30)
        for lease in (lapsed, revoked, lapsed, *NEVER_GRANTED):
            assert not await given.log.keep_alive(lease)

    run(test)


NEVER_GRANTED = (12345, 2**64 - 1, -1)


@pytest.mark.parametrize("how", ["lapsed", "revoked", *NEVER_GRANTED])
def test_nothing_is_put_under_an_ended_lease(run: Run, how: str | int) -> None:
    async def test(given: Given) -> None:
        lease = how if isinstance(how, int) else await given.log.grant(30)
        if how == "revoked":
            await given.log.revoke(lease)
        await given.let_pass(30)
        with pytest.raises(Refused, match="lease") as refused:
            await given.log.transact(Transaction((), (Put("j", b"1"), Put("k", b"1", lease)), (FOUNDED,)))
        assert refused.value.code is Code.CONFLICT
        assert await given.log.read("j") is None
        assert not await given.log.facts(0, limit=1, wait_s=0)

    run(test)


def test_a_revoked_lease_takes_its_records_and_no_others(run: Run) -> None:
    async def test(given: Given) -> None:
        mine, other = await given.log.grant(30), await given.log.grant(30)
        for key, lease in (("mine", mine), ("mine too", mine), ("other", other), ("for ever", 0)):
            await applied(given.log, put(key, b"", lease=lease))
        await given.log.revoke(mine)
        await given.log.revoke(mine)
        for other_number in (0, *NEVER_GRANTED):
            await given.log.revoke(other_number)
        assert [key for key, _ in await given.log.list("")] == ["for ever", "other"]

    run(test)


def test_a_record_that_was_put_again_without_a_lease_stays(run: Run) -> None:
    async def test(given: Given) -> None:
        lease = await given.log.grant(30)
        await applied(given.log, put("k", b"1", lease=lease))
        await applied(given.log, put("k", b"2"))
        await given.let_pass(31)
        held = await given.log.read("k")
        assert held is not None
        assert held.value == b"2"

    run(test)


def test_leases_have_numbers_that_are_never_used_again(run: Run) -> None:
    async def test(given: Given) -> None:
        leases = []
        for _ in range(4):
            leases.append(await given.log.grant(1))
            await given.let_pass(1)
            await given.log.keep_alive(leases[-1])
        assert 0 not in leases
        assert len(set(leases)) == 4

    run(test)


@pytest.mark.parametrize("ttl_s", [0, -1, 3601, float("nan")])
def test_a_lease_has_a_sensible_length(run: Run, ttl_s: float) -> None:
    async def test(given: Given) -> None:
        with pytest.raises(Refused, match="a lease lasts"):
            await given.log.grant(ttl_s)

    run(test)


# ---------------------------------------------------------------- what an operation relies on


def test_commit_and_abort_never_both_in_a_hundred_races(run: Run) -> None:
    async def test(given: Given) -> None:
        wins = {Verdict.COMMIT: 0, Verdict.ABORT: 0}
        migration = await ready_to_commit(given.log)
        await applied(given.log, abort(ABORTED))
        for seed in range(100):
            # One volume, owned by machine-a at epoch 1 again before each race.
            await applied(given.log, Transaction((), (keys.volume(DATA).put(VolumeOwnership(A, 1)),)))
            winner = await _race(given.log, migration.token, OperationId(f"op-race-{seed}"), random.Random(seed))  # noqa: S311 - a seeded race, no secret
            wins[winner] += 1
        assert min(wins.values()) > 0, wins

    run(test)


async def _race(
    log: FactLog, token: int, operation_id: OperationId, dice: random.Random, lease: int | None = None
) -> Verdict:
    """`lease`: what the lock stands under; it is revoked in the middle of it all."""
    start = await applied(log, start_operation(started(token, operation_id)))
    for machine in (A, B):
        await applied(log, cast_vote(operation_id, machine, Vote((FINAL,))))
    aborted = OperationAborted(operation_id, PRODUCTION, B, "the lock lapsed")
    contenders = [commit_of(token, operation_id), abort(aborted), abort(evolve(aborted, by=A))]
    dice.shuffle(contenders)
    won: list[Transaction] = []

    async def contend(transaction: Transaction, delay: int) -> None:
        for _ in range(delay):
            await checkpoint()
        if isinstance(await log.transact(transaction), Applied):
            won.append(transaction)

    async with anyio.create_task_group() as tasks:
        for transaction in contenders:
            tasks.start_soon(contend, transaction, dice.randrange(4))
        if lease is not None:
            tasks.start_soon(log.revoke, lease)
    ends = await log.facts(start.position, limit=9, wait_s=0)
    standing = await keys.decision(operation_id).read(log)
    owner = await keys.volume(DATA).read(log)
    assert len(won) == 1
    assert [each.fact for each in ends] == list(won[0].facts)
    assert standing is not None
    assert owner is not None
    assert owner.value.owner == (B if standing.value.verdict is Verdict.COMMIT else A)
    return standing.value.verdict


def test_commit_and_abort_never_both_while_the_lock_ends_in_between(run: Run) -> None:
    """Twenty races; the end of the lock races with both."""

    async def test(given: Given) -> None:
        migration = await ready_to_commit(given.log)
        await applied(given.log, abort(ABORTED))
        await given.log.revoke(migration.lease)
        for seed in range(20):
            await applied(given.log, Transaction((), (keys.volume(DATA).put(VolumeOwnership(A, 1)),)))
            operation_id = OperationId(f"op-lapse-{seed}")
            lease, token = await take_lock(given.log, operation_id=operation_id)
            winner = await _race(given.log, token, operation_id, random.Random(seed), lease)  # noqa: S311 - a seeded race, no secret
            late = await given.log.transact(commit_of(token, operation_id))
            assert isinstance(late, Conflict)
            standing = await keys.decision(operation_id).read(given.log)
            assert standing is not None
            assert standing.value.verdict is winner

    run(test)


def test_a_commit_with_the_token_of_a_stolen_lock_is_refused(run: Run) -> None:
    async def test(given: Given) -> None:
        migration = await ready_to_commit(given.log)
        await given.let_pass(30)
        _, stolen = await take_lock(given.log, operation_id=OperationId("op-2"))
        assert stolen > migration.token
        outcome = await given.log.transact(commit_of(migration.token))
        assert isinstance(outcome, Conflict)
        assert outcome.failed == keys.lock(PRODUCTION).written_by(migration.token)

    run(test)


def test_a_vote_after_the_decision_is_refused(run: Run) -> None:
    async def test(given: Given) -> None:
        await ready_to_commit(given.log)
        await applied(given.log, abort(ABORTED))
        outcome = await given.log.transact(cast_vote(OP, A, Vote((evolve(FINAL, guid=78),))))
        assert outcome == Conflict(
            keys.decision(OP).absent(), keys.decision(OP).encode(Decision(Verdict.ABORT, A, ABORTED.reason))
        )
        assert (standing := await keys.vote(OP, A).read(given.log)) is not None
        assert standing.value == Vote((FINAL,))

    run(test)


@pytest.mark.parametrize("order", list(permutations(["lapse", "steal", "abort"])), ids="-".join)
def test_after_a_lost_lock_a_commit_is_refused_whatever_else_happens_in_which_order(
    run: Run, order: tuple[str, ...]
) -> None:
    async def test(given: Given) -> None:
        migration = await ready_to_commit(given.log)
        lock = keys.lock(PRODUCTION)
        for what in order:
            if what == "lapse":
                await given.let_pass(30)
            elif what == "steal":
                other = await given.log.grant(3000)
                await given.log.transact(Transaction((), (lock.put(_thief(), other),)))
            else:
                await given.log.transact(abort(ABORTED))
            assert isinstance(await given.log.transact(commit_of(migration.token)), Conflict)
        ownership = await keys.volume(DATA).read(given.log)
        assert ownership is not None
        assert ownership.value == VolumeOwnership(A, 1)

    run(test)


def _thief() -> keys.LockHolder:
    return keys.LockHolder(B, OperationId("op-2"), "deploy production", 0, "root")
