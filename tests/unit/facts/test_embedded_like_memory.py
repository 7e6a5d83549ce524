"""Two adapters, one meaning: whatever is done to both, they answer alike, also when one is restarted in between."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from ployz.errors import Refused
from ployz.facts.memory import MemoryFactLog
from ployz.facts.port import Absent, Compare, Delete, FactLog, Put, RevisionIs, Transaction, ValueIs
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from tests.unit.facts.clocks import HandClock
from tests.unit.facts.samples import FOUNDED, A, joined

STEPS = 80
KEYS = ("a", "a/b", "a_b", "b")
VALUES = (b"", b"1", b"2")
TTL_S = 10.0

Question = Callable[[FactLog], Awaitable[object]]


@pytest.mark.parametrize("seed", range(20))
def test_both_answer_alike_whatever_is_asked(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - a seeded walk, no secret
    clock = HandClock()
    path = tmp_path / "facts.db"

    async def main() -> None:
        memory = MemoryFactLog(clock)
        embedded = await EmbeddedFactLog.open(path, clock)
        try:
            for _ in range(STEPS):
                clock.now_s += dice.choice((0, 0, 0, 1, 4))
                if dice.random() < 0.05:
                    # A restart gives each lease one more ttl: let all have ended, so that both agree again.
                    clock.now_s += TTL_S
                    assert await _answer(memory, lambda log: log.list("")) == await _answer(
                        embedded, lambda log: log.list("")
                    )
                    await embedded.aclose()
                    embedded = await EmbeddedFactLog.open(path, clock)
                question = _question(dice)
                assert await _answer(memory, question) == await _answer(embedded, question)
            for question in (lambda log: log.list(""), lambda log: log.facts(0, limit=1000, wait_s=0)):
                assert await _answer(memory, question) == await _answer(embedded, question)
        finally:
            await embedded.aclose()

    anyio.run(main, backend="trio")


async def _answer(log: FactLog, question: Question) -> object:
    try:
        answer = await question(log)
    except Refused as refused:
        return refused.problem
    return list(answer) if isinstance(answer, list | tuple) else answer


def _question(dice: random.Random) -> Question:
    number, key = dice.randrange(12), dice.choice(KEYS)
    transaction = _transaction(dice)
    after, limit = dice.randrange(-1, 20), dice.randrange(-1, 5)
    return dice.choice(
        (
            lambda log: log.transact(transaction),
            lambda log: log.transact(transaction),
            lambda log: log.transact(transaction),
            lambda log: log.read(key),
            lambda log: log.list(key),
            lambda log: log.facts(after, limit=limit, wait_s=0),
            lambda log: log.grant(TTL_S),
            lambda log: log.keep_alive(number),
            lambda log: log.revoke(number),
        )
    )


def _transaction(dice: random.Random) -> Transaction:
    def compare() -> Compare:
        key = dice.choice(KEYS)
        return dice.choice((Absent(key), ValueIs(key, dice.choice(VALUES)), RevisionIs(key, dice.randrange(40))))

    def write() -> Put | Delete:
        key = dice.choice(KEYS)
        lease = dice.choice((0, 0, dice.randrange(12)))
        return dice.choice((Put(key, dice.choice(VALUES), lease), Delete(key)))

    return Transaction(
        tuple(compare() for _ in range(dice.choice((0, 0, 1, 2)))),
        tuple(write() for _ in range(dice.randrange(3))),
        tuple(dice.choice((FOUNDED, joined(A, 1))) for _ in range(dice.randrange(2))),
    )
