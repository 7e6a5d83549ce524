"""Limits on what leaves a machine: kept over all streams together, in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable

import anyio
import pytest

from ployz.wire.pacing import Pace, piece_bytes
from tests.cluster.virtual_time import run_seeded

MIB = 1 << 20


async def sent_within(seconds: float, senders: list[list[Pace]]) -> list[int]:
    """The bytes that each sender got away, each as fast as its paces let it."""
    sent = [0] * len(senders)

    async def send(index: int) -> None:
        while True:
            size = piece_bytes(senders[index], MIB // 2)
            for pace in senders[index]:
                await pace.take(size)
            sent[index] += size

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            for index in range(len(senders)):
                tasks.start_soon(send, index)
    return sent


def limit(bytes_per_s: int | None) -> Callable[[], int | None]:
    return lambda: bytes_per_s


@pytest.mark.parametrize("streams", [1, 3, 16])
def test_streams_under_one_limit_keep_it_together_and_share_it(streams: int) -> None:
    async def body(_: random.Random) -> None:
        pace = Pace(limit(20 * MIB))
        sent = await sent_within(60, [[pace]] * streams)
        assert sum(sent) == pytest.approx(60 * 20 * MIB, rel=0.05)
        assert min(sent) == pytest.approx(sum(sent) / streams, rel=0.05)

    run_seeded(body, seed=0)


def test_an_operation_keeps_its_own_limit_within_that_of_its_machine() -> None:
    async def body(_: random.Random) -> None:
        machine, slow = Pace(limit(20 * MIB)), Pace(limit(5 * MIB))
        ours = [[machine, slow], [machine, slow]]
        sent = await sent_within(60, [*ours, [machine]])
        assert sent[0] + sent[1] == pytest.approx(60 * 5 * MIB, rel=0.05)
        assert sum(sent) == pytest.approx(60 * 20 * MIB, rel=0.05)

    run_seeded(body, seed=0)


def test_what_was_not_used_is_not_saved_up() -> None:
    async def body(_: random.Random) -> None:
        pace = Pace(limit(MIB))
        await pace.take(1)
        await anyio.sleep(3600)
        assert sum(await sent_within(10, [[pace]])) == pytest.approx(10 * MIB, rel=0.05)

    run_seeded(body, seed=0)


def test_a_limit_that_is_changed_holds_from_then_on() -> None:
    async def body(_: random.Random) -> None:
        now = MIB
        pace = Pace(lambda: now)
        assert sum(await sent_within(10, [[pace]])) == pytest.approx(10 * MIB, rel=0.05)
        now = 4 * MIB
        assert sum(await sent_within(10, [[pace]])) == pytest.approx(40 * MIB, rel=0.05)

    run_seeded(body, seed=0)


def test_pieces_are_small_enough_to_leave_several_times_a_second() -> None:
    assert piece_bytes([], 512) == 512
    assert piece_bytes([Pace(limit(None))], 512 * 1024) == 512 * 1024
    assert piece_bytes([Pace(limit(64 * 1024)), Pace(limit(None))], 512 * 1024) == 8 * 1024
