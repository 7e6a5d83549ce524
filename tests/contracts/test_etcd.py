"""What only a real etcd does: members that die, freeze and come back empty; leases that lapse; tokens, certificates.

Every history of transactions is checked whole: what was acknowledged is there once, in order, and seen by reads after.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import anyio
import anyio.to_thread
import pytest
from attrs import Factory, define, evolve

from ployz.clock import SystemClock
from ployz.errors import Code, Refused, Unreachable
from ployz.events.log import GENESIS_HASH
from ployz.events.types import OperationAborted
from ployz.facts.chain import fact_hash
from ployz.facts.etcd import forms
from ployz.facts.etcd.gateway import HEARD_S, Gateway
from ployz.facts.etcd.log import TXN, EtcdFactLog, begin
from ployz.facts.port import Absent, Applied, FactLog, Put, RevisionIs, SequencedFact, Transaction
from ployz.ids import OperationId
from tests.etcds import PASSWORD, Etcd, etcd
from tests.real import need
from tests.unit.facts.samples import FOUNDED, PRODUCTION, A, applied

pytestmark = pytest.mark.real

T = TypeVar("T")

TOO_LONG_S = 240.0
ENOUGH = 8
"""Transactions that each writer gets acknowledged before, and again after, something is done to a member."""


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    need("etcd", "openssl")
    with etcd(tmp_path_factory.mktemp("single")) as server:
        yield server


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Etcd]:
    need("etcd", "openssl")
    with etcd(tmp_path, 3) as server:
        yield server


def go(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        with anyio.fail_after(TOO_LONG_S):
            await test()

    anyio.run(main, backend="trio")


# ---------------------------------------------------------------- histories


@define
class History:
    """What the writers were told."""

    acknowledged: dict[OperationId, int] = Factory(dict)
    """Position by what was committed."""
    unknown: set[OperationId] = Factory(set)

    def count(self, writer: int) -> int:
        return sum(each.startswith(f"op-{writer}-") for each in self.acknowledged)


async def write(log: FactLog, witness: FactLog, history: History, writer: int) -> None:
    """One transaction after the other, each with a fact and a record, until it is cancelled."""
    number = 0
    while True:
        number += 1
        operation = OperationId(f"op-{writer}-{number}")
        fact = OperationAborted(operation, PRODUCTION, A, "")
        key = f"done/{operation}"
        history.unknown.add(operation)
        try:
            outcome = await log.transact(Transaction((Absent(key),), (Put(key, b""),), (fact,)))
        except Unreachable:
            continue
        assert isinstance(outcome, Applied), outcome
        history.acknowledged[operation] = outcome.position
        history.unknown.remove(operation)
        seen = await patiently(partial(witness.facts, outcome.position - 1, limit=1, wait_s=0))
        assert [each.fact for each in seen] == [fact]


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await read()
        except Unreachable:
            await anyio.sleep(0.2)


async def whole(log: FactLog) -> list[SequencedFact]:
    found: list[SequencedFact] = []
    while page := await patiently(partial(log.facts, len(found), limit=100, wait_s=0)):
        found.extend(page)
    return found


def check(history: History, log: list[SequencedFact]) -> None:
    previous, positions = GENESIS_HASH, dict[OperationId, int]()
    for position, each in enumerate(log, 1):
        previous = fact_hash(previous, position, each.fact)
        assert (each.position, each.hash) == (position, previous)
        assert isinstance(each.fact, OperationAborted)
        assert each.fact.operation_id not in positions
        positions[each.fact.operation_id] = position
    assert history.acknowledged.items() <= positions.items()
    assert positions.keys() <= history.acknowledged.keys() | history.unknown
    for writer in range(3):
        own = [each for each in positions if each.startswith(f"op-{writer}-")]
        assert own == sorted(own, key=lambda each: int(each.rpartition("-")[2]))


async def freeze(server: Etcd, member: int) -> None:
    server.members[member].signal(signal.SIGSTOP)


async def thaw(server: Etcd, member: int) -> None:
    server.members[member].signal(signal.SIGCONT)


async def kill(server: Etcd, member: int) -> None:
    server.members[member].kill()


async def start(server: Etcd, member: int) -> None:
    server.members[member].start(server.cluster, state="existing")


FAULTS = {"kill": (kill, start), "freeze": (freeze, thaw)}


@pytest.mark.parametrize("whom", ["leader", "follower", "everybody"])
@pytest.mark.parametrize("how", FAULTS)
def test_what_was_acknowledged_is_there_once_and_in_order_after_a(three: Etcd, how: str, whom: str) -> None:
    do, undo = FAULTS[how]

    async def test() -> None:
        leader = await anyio.to_thread.run_sync(three.leader)
        followers = [each for each in range(3) if each != leader]
        victims = {"leader": [leader], "follower": followers[:1], "everybody": [leader, *followers]}[whom]
        history = History()
        async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
            gateways = [await stack.enter_async_context(Gateway(three.access(first=each))) for each in range(3)]
            await begin(gateways[0])
            logs = [EtcdFactLog(each, SystemClock()) for each in gateways]
            for writer, log in enumerate(logs):
                tasks.start_soon(write, log, logs[(writer + 1) % 3], history, writer)
            await _enough(history)
            for victim in victims:
                await do(three, victim)
            if whom != "everybody":
                await _enough(history)  # two of three go on
            for victim in victims:
                await undo(three, victim)
            await _enough(history)
            tasks.cancel_scope.cancel()
        async with Gateway(three.access()) as gateway:
            check(history, await whole(EtcdFactLog(gateway, SystemClock())))

    go(test)


async def _enough(history: History) -> None:
    goal = {writer: history.count(writer) + ENOUGH for writer in range(3)}
    while any(history.count(writer) < goal[writer] for writer in goal):  # noqa: ASYNC110 - the writers tell nobody
        await anyio.sleep(0.05)


def test_a_follower_that_lost_its_disk_is_replaced_and_nothing_is_lost(three: Etcd) -> None:
    async def test() -> None:
        history = History()
        async with Gateway(three.access()) as gateway:
            await begin(gateway)
            log = EtcdFactLog(gateway, SystemClock())
            async with anyio.create_task_group() as tasks:
                for writer in range(3):
                    tasks.start_soon(write, log, log, history, writer)
                await _enough(history)
                lost = (await anyio.to_thread.run_sync(three.leader) + 1) % 3
                await anyio.to_thread.run_sync(_replace, three, lost)
                await _enough(history)
                tasks.cancel_scope.cancel()
        async with Gateway(evolve(three.access(), endpoints=(three.members[lost].endpoint,))) as gateway:
            check(history, await whole(EtcdFactLog(gateway, SystemClock())))

    go(test)


def _replace(three: Etcd, lost: int) -> None:
    member = three.members[lost]
    member.kill()
    member.lose_disk()
    other = (lost + 1) % 3
    token = three.token(other)
    members = three.post("/v3/cluster/member/list", {}, member=other, token=token)["members"]
    (number,) = [each["ID"] for each in members if each["name"] == member.name]
    three.post("/v3/cluster/member/remove", {"ID": number}, member=other, token=token)
    while True:
        try:
            three.post("/v3/cluster/member/add", {"peerURLs": [member.peer_url]}, member=other, token=token)
            break
        except OSError:  # it adds nobody before the members that are left have found each other for a while
            time.sleep(0.2)
    member.start(three.cluster, state="existing")
    three.wait_until_up()


def test_a_commit_takes_at_most_three_times_as_long_as_a_bare_transaction_of_its_size(three: Etcd) -> None:
    async def test() -> None:
        async with Gateway(three.access()) as gateway:
            await begin(gateway)
            log = EtcdFactLog(gateway, SystemClock())
            fact = OperationAborted(OperationId("op-1"), PRODUCTION, A, "x" * 2_000)
            commits, bare = [], []
            for number in range(60):
                key = f"k/{number}"
                commit = Transaction((Absent(key),), (Put(key, b"x" * 100),), (fact,))
                puts = [forms.put(forms.encoded(f"ployz/bare/{key}/{each}".encode()), b"x" * 750) for each in range(3)]
                commits.append(await _took(partial(log.transact, commit)))
                bare.append(await _took(partial(gateway.write, TXN, {"success": puts})))
            print(f"median commit {median(commits):.4f} s, bare {median(bare):.4f} s")  # noqa: T201 - shown with -s
            assert median(commits) <= 3 * median(bare), (median(commits), median(bare))

    go(test)


async def _took(do: Callable[[], Awaitable[object]]) -> float:
    before_s = anyio.current_time()
    await do()
    return anyio.current_time() - before_s


# ---------------------------------------------------------------- one member


def test_a_lease_ends_by_itself_and_not_early(single: Etcd) -> None:
    async def test() -> None:
        async with Gateway(single.access("lease/")) as gateway:
            await begin(gateway)
            log = EtcdFactLog(gateway, SystemClock())
            before = anyio.current_time()
            lease = await log.grant(2.5)
            await applied(log, Transaction((), (Put("k", b"", lease),)))
            assert await log.keep_alive(lease)
            while await log.read("k") is not None:  # noqa: ASYNC110 - a lease that ends tells nobody
                await anyio.sleep(0.05)
            assert anyio.current_time() - before >= 2.5
            assert not await log.keep_alive(lease)

    go(test)


def test_a_member_that_was_started_anew_is_shown_a_new_token(single: Etcd) -> None:
    async def test() -> None:
        async with Gateway(single.access("token/")) as gateway:
            await begin(gateway)
            log = EtcdFactLog(gateway, SystemClock())
            await applied(log, Transaction((), (), (FOUNDED,)))
            await kill(single, 0)
            await start(single, 0)
            await anyio.to_thread.run_sync(single.wait_until_up)
            assert len(await log.facts(0, limit=9, wait_s=0)) == 1
            assert (await applied(log, Transaction((), (Put("k", b""),)))).position == 1

    go(test)


def test_a_member_that_is_frozen_leaves_the_outcome_unknown_and_it_is_not_sent_again(single: Etcd) -> None:
    async def test() -> None:
        async with Gateway(single.access("frozen/")) as gateway:
            await begin(gateway)
            log = EtcdFactLog(gateway, SystemClock())
            await applied(log, Transaction((), (), (FOUNDED,)))
            await freeze(single, 0)
            try:
                with pytest.raises(Unreachable) as unknown:
                    await log.transact(Transaction((), (), (FOUNDED,)))
                with pytest.raises(Unreachable):
                    await log.read("k")
            finally:
                await thaw(single, 0)
            assert unknown.value.code is Code.OUTCOME_UNKNOWN
            await anyio.to_thread.run_sync(single.wait_until_up)
            assert len(await log.facts(0, limit=9, wait_s=1)) <= 2

    go(test)


def test_a_lease_is_asked_for_at_the_next_member_when_the_first_says_nothing(three: Etcd) -> None:
    """As when a machine loses its power: connections to it stay open, and nobody answers on them."""

    async def test() -> None:
        async with Gateway(three.access()) as gateway:
            await begin(gateway)
            log = EtcdFactLog(gateway, SystemClock())
            lease = await log.grant(60)
            await freeze(three, 0)
            try:
                assert await log.grant(60) != lease
                assert await log.keep_alive(lease)
                await log.revoke(lease)
                assert not await log.keep_alive(lease)
            finally:
                await thaw(three, 0)

    go(test)


def test_a_member_that_fell_silent_is_given_nothing_whose_outcome_would_be_unknown(three: Etcd) -> None:
    async def test() -> None:
        follower = (await anyio.to_thread.run_sync(three.leader) + 1) % 3
        async with Gateway(three.access(first=follower)) as gateway:
            await begin(gateway)
            log = EtcdFactLog(gateway, SystemClock())
            await applied(log, Transaction((), (), (FOUNDED,)))
            await freeze(three, follower)
            try:
                await anyio.sleep(HEARD_S)
                assert (await applied(log, Transaction((), (), (FOUNDED,)))).position == 2
            finally:
                await thaw(three, follower)

    go(test)


def test_who_is_not_let_in_is_told_so_and_changes_nothing(single: Etcd) -> None:
    async def test() -> None:
        for wrong, code in (
            (evolve(single.access(), password=PASSWORD[:-1]), Code.NOT_ALLOWED),
            (evolve(single.access(), certificate_pem="", key_pem=""), Code.MACHINE_UNREACHABLE),
            (evolve(single.access(), ca_pem=""), Code.MACHINE_UNREACHABLE),
        ):
            async with Gateway(wrong) as gateway:
                with pytest.raises((Refused, Unreachable)) as refused:
                    await EtcdFactLog(gateway, SystemClock()).read("k")
                assert refused.value.code is code

    go(test)


def test_an_etcd_without_a_fact_log_is_not_taken_for_an_empty_one(single: Etcd) -> None:
    async def test() -> None:
        async with Gateway(single.access("nothing/")) as gateway:
            with pytest.raises(Refused, match="no fact log") as refused:
                await EtcdFactLog(gateway, SystemClock()).transact(Transaction((), (), (FOUNDED,)))
            assert refused.value.code is Code.NOT_FOUNDED

    go(test)


def test_revisions_go_on_where_the_log_was_moved_from(single: Etcd) -> None:
    async def test() -> None:
        async with Gateway(single.access("moved/")) as gateway:
            await begin(gateway, revision_base=1_000_000)
            log = EtcdFactLog(gateway, SystemClock())
            written = await applied(log, Transaction((), (Put("k", b""),)))
            held = await log.read("k")
            assert held is not None
            assert held.revision == written.revision > 1_000_000
            names = forms.Names("moved/")
            stale = forms.compare(names, RevisionIs("absent", 999), 1_000_000)
            assert stale["mod_revision"] == "-1"

    go(test)


def test_several_members_are_asked_in_turn_until_one_answers(single: Etcd) -> None:
    async def test() -> None:
        access = single.access("turns/")
        async with Gateway(evolve(access, endpoints=("https://127.0.0.1:1", *access.endpoints))) as gateway:
            await begin(gateway)
            log = EtcdFactLog(gateway, SystemClock())
            await applied(log, Transaction((), (), (FOUNDED,)))
            assert len(await log.facts(0, limit=9, wait_s=0)) == 1

    go(test)
