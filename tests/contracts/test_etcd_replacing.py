"""The place of a member of a real etcd goes to another machine, and everything that was acknowledged is still there."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import anyio
import pytest
from attrs import define, evolve

from ployz.actors.core import Home
from ployz.actors.etcd import EtcdActor, seating_path
from ployz.actors.messages.etcd import TakeSeat
from ployz.actors.parts import Parts
from ployz.actors.ref import Ref
from ployz.actors.replacing import replace
from ployz.actors.system import ActorSystem
from ployz.actors.together import together
from ployz.clock import SystemClock
from ployz.errors import Code, Failed, Refused
from ployz.events.types import Lifecycle, MachineJoined
from ployz.facts.etcd.admission import close_doors
from ployz.facts.etcd.certificates import issue
from ployz.facts.etcd.gateway import Gateway
from ployz.facts.etcd.log import EtcdFactLog, begin
from ployz.facts.etcd.members import endpoints, look
from ployz.facts.etcd.seating import Seating
from ployz.facts.port import Put, Transaction
from ployz.host.etcd import SystemEtcd
from ployz.host.etcd.text import client_url, data_option, peer_url
from ployz.host.outliving import Outliving
from ployz.host.ports.seats import Seat
from ployz.ids import MachineId
from ployz.projections.view import ClusterView
from tests.etcds import own_address
from tests.real import need
from tests.unit.facts.samples import FOUNDED, applied

pytestmark = [
    pytest.mark.real,
    # httpcore leaves a socket to the collector where a deadline ends its TLS handshake, as on a busy host.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning"),
]

LOOPBACK = "127.0.0.1"
ADDRESSES = {MachineId(f"machine-{name}"): own_address(number) for number, name in enumerate("abcd", start=81)}
A, B, C, D = ADDRESSES
TOO_LONG_S = 420.0
ASK_S = 60.0


class LoopbackEtcd(SystemEtcd):
    """A member is believed from its address alone, and on loopback all connections come from one."""

    authority: Seating

    async def serve(self, seat: Seat) -> None:
        pair = await issue(self.authority.authority, seat.name, [seat.address, LOOPBACK])
        await super().serve(evolve(seat, certificate_pem=pair.certificate_pem, key_pem=pair.key_pem))


@define
class Machines:
    """Four machines on loopback, three of which are an etcd with a fact in it."""

    folder: Path
    seating: Seating
    systems: dict[MachineId, ActorSystem]

    def remote(self, machine: MachineId, address: str) -> Ref:
        return self.systems[machine].ref(address)

    def parts(self) -> Parts:
        view = ClusterView()
        for number, (machine, address) in enumerate(ADDRESSES.items(), start=1):
            view.apply(MachineJoined(machine, number, address, "", "", "", Lifecycle.ACTIVE), number, 0)
        return cast("Parts", SimpleNamespace(view=view))

    async def replace(self, old: MachineId, new: MachineId) -> Seating:
        return await replace(self.parts(), cast("Home", self), self.seating, old, new)

    async def let_lead(self, machine: MachineId) -> None:
        """Whoever leads them now."""
        async with Gateway(self.seating.as_operator()) as gateway:
            listed = await gateway.read("/v3/cluster/member/list", {})
            number = next(each["ID"] for each in listed["members"] if peer_url(ADDRESSES[machine]) in each["peerURLs"])
            (leader,) = [each.endpoint for each in await look(gateway) if each.leads]
        if leader != client_url(ADDRESSES[machine]):
            async with Gateway(evolve(self.seating.as_operator(), endpoints=(leader,))) as gateway:
                await gateway.write("/v3/maintenance/transfer-leadership", {"targetID": number})

    def has_member(self, machine: MachineId) -> bool:
        return self._program(machine).pid() is not None

    def lose(self, machine: MachineId) -> None:
        """Its power: nobody starts its member again."""
        (self.folder / machine / "seat.json").unlink()
        self._program(machine).signal(signal.SIGKILL)

    def _program(self, machine: MachineId) -> Outliving:
        folder = self.folder / machine
        return Outliving("etcd", folder / "run", (), data_option(folder))


@asynccontextmanager
async def machines(folder: Path) -> AsyncIterator[Machines]:
    seating = await Seating.make(tuple((str(each), ADDRESSES[each]) for each in (A, B, C)), "a test")
    LoopbackEtcd.authority = seating
    programs = {each: LoopbackEtcd(folder / each, folder / each / "run") for each in ADDRESSES}
    try:
        async with AsyncExitStack() as stack:
            systems = {each: await stack.enter_async_context(ActorSystem(each)) for each in ADDRESSES}
            for each, system in systems.items():
                system.spawn("etcd", partial(EtcdActor, folder / each, programs[each]))
            made = Machines(folder, seating, systems)

            async def take(machine: MachineId) -> None:
                seat = await seating.seat(machine, founds=True)
                await made.remote(machine, "etcd").ask(TakeSeat(seat, seating.text()), timeout_s=ASK_S)

            await together(*(partial(take, each) for each in (A, B, C)))
            await close_doors(seating)
            async with Gateway(seating.access) as gateway:
                await begin(gateway)
                await applied(EtcdFactLog(gateway, SystemClock()), Transaction((), (Put("k", b"v"),), (FOUNDED,)))
            yield made
    finally:
        with anyio.CancelScope(shield=True):
            for program in programs.values():
                await program.end()


def go(folder: Path, test: Callable[[Machines], Awaitable[None]]) -> None:
    need("etcd", "openssl")

    async def main() -> None:
        with anyio.fail_after(TOO_LONG_S):
            async with machines(folder) as made:
                await test(made)

    anyio.run(main, backend="trio")


async def check(after: Seating, expected: set[MachineId]) -> None:
    assert set(after.machines()) == expected
    async with Gateway(after.access) as gateway:
        assert set(await endpoints(gateway)) == {client_url(ADDRESSES[each]) for each in expected}
        assert [each.answers for each in await look(gateway)] == [True, True, True]
        log = EtcdFactLog(gateway, SystemClock())
        assert [each.fact for each in await log.facts(0, limit=9, wait_s=0)] == [FOUNDED]
        held = await log.read("k")
        assert held is not None
        assert held.value == b"v"


@pytest.mark.parametrize("leader", [A, B])
def test_a_member_that_answers_leaves_when_the_new_one_has_a_vote(tmp_path: Path, leader: MachineId) -> None:
    async def test(made: Machines) -> None:
        await made.let_lead(leader)
        after = await made.replace(A, D)
        await check(after, {B, C, D})
        assert [made.has_member(each) for each in ADDRESSES] == [False, True, True, True]

        # What they all know makes it done already, on any of them.
        made.seating = Seating.parse(seating_path(tmp_path / B).read_text())
        assert (await made.replace(A, D)).members == after.members
        with pytest.raises(Refused) as refused:
            await made.replace(B, C)
        assert refused.value.code is Code.USAGE

    go(tmp_path, test)


def test_a_member_that_is_lost_leaves_first(tmp_path: Path) -> None:
    async def test(made: Machines) -> None:
        made.lose(C)
        await check(await made.replace(C, D), {A, B, D})

    go(tmp_path, test)


def test_a_replacement_that_was_interrupted_is_gone_on_with(tmp_path: Path) -> None:
    async def test(made: Machines) -> None:
        for seconds in (0.5, 3.0, 7.0):
            with anyio.move_on_after(seconds):
                await made.replace(A, D)
        after = None
        while after is None:
            with suppress(Failed):  # on a busy host: it says to run it again
                after = await made.replace(A, D)
        await check(after, {B, C, D})

    go(tmp_path, test)
