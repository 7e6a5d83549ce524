"""A commit against an abort on a real etcd of three members, a hundred times: one of them, and all are told which.

In a fifth of them the lease of the coordinator's lock is revoked first: then it is never the commit.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from attrs import define, evolve

from ployz.clock import SystemClock
from ployz.events.types import DeployCommitted, OperationAborted
from ployz.facts.decision import Aborted, Committed, NotCommitted, abort_or_read, commit_or_read
from ployz.facts.etcd.gateway import Gateway
from ployz.facts.etcd.log import EtcdFactLog, begin
from ployz.facts.keys import Decision, Verdict
from tests.etcds import Etcd, etcd
from tests.real import need
from tests.unit.facts.samples import ABORTED, B, Migration, commit_of, ready_to_commit

pytestmark = pytest.mark.real

RACES = 50
"""Beside the hundred of tests/contracts/test_fact_log.py, which has both on one member."""
REVOKED = 5
"""Every so many'th."""
HEAD_START_S = 0.02
"""At most, of the one before the other: several times what a transaction takes on an idle host."""
TOO_LONG_S = 240.0
BY_OTHER = evolve(ABORTED, by=B, reason="the lock lapsed")


@define
class Race:
    told_coordinator: Committed | NotCommitted | Aborted | None = None
    told_participant: Decision | None = None

    async def commit(self, log: EtcdFactLog, migration: Migration, after_s: float, *, revoked: bool) -> None:
        await anyio.sleep(after_s)
        if revoked:
            await log.revoke(migration.lease)
        self.told_coordinator = await commit_or_read(
            log, commit_of(migration.token), ABORTED, started_at=migration.started_at
        )

    async def abort(self, log: EtcdFactLog, after_s: float) -> None:
        await anyio.sleep(after_s)
        self.told_participant = await abort_or_read(log, BY_OTHER)


def test_of_a_commit_and_an_abort_exactly_one_happens_and_both_are_told_which(tmp_path: Path) -> None:
    need("etcd", "openssl")
    dice = random.Random(1)  # noqa: S311 - who starts when
    ended: Counter[tuple[bool, str]] = Counter()
    even_s = (
        0.0  # the head start with which they are as quick as each other: on a busy host both are slow, but not alike
    )

    async def main(server: Etcd) -> None:
        nonlocal even_s
        with anyio.fail_after(TOO_LONG_S):
            for number in range(RACES):
                revoked = number % REVOKED == 0
                head_start_s = even_s + dice.uniform(-1, 1) * HEAD_START_S
                how = await _race(server, number, head_start_s, revoked=revoked)
                if not revoked:
                    even_s += HEAD_START_S / 2 * (1 if how == "committed" else -1)
                ended[revoked, how] += 1

    with etcd(tmp_path, 3) as server:
        anyio.run(main, server, backend="trio")
    assert sum(ended.values()) == RACES
    assert ended[False, "committed"] > 0
    assert ended[False, "aborted"] > 0
    assert ended[True, "aborted"] == RACES // REVOKED


async def _race(server: Etcd, number: int, head_start_s: float, *, revoked: bool) -> str:
    """Each by another member, in a fact log of its own. `head_start_s`: of the abort; negative: of the commit."""
    async with AsyncExitStack() as stack:
        accesses = [server.access(f"race-{number}/", first=each) for each in range(3)]
        gateways = [await stack.enter_async_context(Gateway(each)) for each in accesses]
        await begin(gateways[0])
        coordinator, participant, reader = (EtcdFactLog(each, SystemClock()) for each in gateways)
        migration = await ready_to_commit(coordinator)
        race = Race()
        async with anyio.create_task_group() as tasks:
            commit_after_s, abort_after_s = max(head_start_s, 0), max(-head_start_s, 0)
            tasks.start_soon(lambda: race.commit(coordinator, migration, commit_after_s, revoked=revoked))
            tasks.start_soon(race.abort, participant, abort_after_s)
        (end,) = [each.fact for each in await reader.facts(migration.started_at, limit=99, wait_s=0)]
    assert race.told_participant is not None
    if isinstance(end, DeployCommitted):
        assert race.told_coordinator == Committed(migration.started_at + 1)
        assert race.told_participant.verdict is Verdict.COMMIT
        return "committed"
    assert isinstance(end, OperationAborted)
    assert race.told_participant == Decision(Verdict.ABORT, end.by, end.reason)
    assert race.told_coordinator == Aborted(race.told_participant) or isinstance(race.told_coordinator, NotCommitted)
    return "aborted"
