"""A machine with a place among the members of etcd: it keeps it, and has one only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
import trio.testing
from attrs import evolve

from ployz.actors.etcd import LOOK_S, EtcdActor, seating_path
from ployz.actors.messages.etcd import AskSeat, LeaveSeat, TakeSeat
from ployz.actors.system import ActorSystem
from ployz.errors import Code, Refused
from ployz.host.fakes.etcd import FakeEtcd
from ployz.host.ports.seats import Seat
from ployz.ids import MachineId

A = MachineId("machine-a")
SEAT = Seat("machine-a", "fd00::1", (("machine-a", "fd00::1"),), True, "an authority", "a certificate", "a key")
ASK_S = 5.0

Test = Callable[[ActorSystem, FakeEtcd], Awaitable[None]]


def go(folder: Path, test: Test, etcd: FakeEtcd | None = None) -> None:
    made = etcd or FakeEtcd()

    async def main() -> None:
        async with ActorSystem(A) as system:
            system.spawn("etcd", lambda: EtcdActor(folder, made))
            await test(system, made)

    anyio.run(main, backend="trio", backend_options={"clock": trio.testing.MockClock(autojump_threshold=0)})


def test_a_machine_that_took_a_place_keeps_it_whatever_ends(tmp_path: Path) -> None:
    async def take(system: ActorSystem, etcd: FakeEtcd) -> None:
        assert (await system.ref("etcd").ask(AskSeat(), timeout_s=ASK_S)).version == "3.5.28"
        await system.ref("etcd").ask(TakeSeat(SEAT, "all members"), timeout_s=ASK_S)
        assert etcd.seat == SEAT
        etcd.runs = False
        await anyio.sleep(LOOK_S + 1)
        assert etcd.runs

    go(tmp_path, take)
    assert seating_path(tmp_path).read_text() == "all members"

    async def come_back(_: ActorSystem, etcd: FakeEtcd) -> None:
        await anyio.sleep(LOOK_S + 1)
        assert (etcd.runs, etcd.seat) == (True, SEAT)

    go(tmp_path, come_back, FakeEtcd(has_data=True, begun=True))


def test_a_place_that_was_begun_stays_as_it_was_begun_and_hears_of_other_members(tmp_path: Path) -> None:
    async def test(system: ActorSystem, etcd: FakeEtcd) -> None:
        await system.ref("etcd").ask(TakeSeat(SEAT, "all members"), timeout_s=ASK_S)
        await system.ref("etcd").ask(TakeSeat(evolve(SEAT, founds=False), "other members"), timeout_s=ASK_S)
        assert etcd.seat == SEAT
        etcd.runs = False
        await anyio.sleep(LOOK_S + 1)
        assert etcd.seat == SEAT
        assert seating_path(tmp_path).read_text() == "other members"

    go(tmp_path, test)


def test_a_machine_has_a_place_in_one_etcd_only(tmp_path: Path) -> None:
    async def test(system: ActorSystem, etcd: FakeEtcd) -> None:
        await system.ref("etcd").ask(TakeSeat(SEAT, "all members"), timeout_s=ASK_S)
        with pytest.raises(Refused) as refused:
            await system.ref("etcd").ask(TakeSeat(evolve(SEAT, ca_pem="another"), "others"), timeout_s=ASK_S)
        assert refused.value.code is Code.CONFLICT
        assert etcd.seat == SEAT
        assert seating_path(tmp_path).read_text() == "all members"

    go(tmp_path, test)


def test_a_machine_that_gave_its_place_away_keeps_nothing_and_starts_nothing(tmp_path: Path) -> None:
    async def test(system: ActorSystem, etcd: FakeEtcd) -> None:
        await system.ref("etcd").ask(TakeSeat(SEAT, "all members"), timeout_s=ASK_S)
        for _ in range(2):
            await system.ref("etcd").ask(LeaveSeat(), timeout_s=ASK_S)
        await anyio.sleep(LOOK_S + 1)
        assert (etcd.runs, etcd.seat) == (False, None)

    go(tmp_path, test)
    assert list(tmp_path.iterdir()) == []
