"""Every machine looks whether it reaches every slot, by address and by name: found, bounded, and told of once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import anyio
import trio.testing
from attrs import define, field

from ployz.actors.messages.doctor import Diagnose
from ployz.actors.parts import Parts
from ployz.actors.reaching import AT_ONCE, REACH_S, TRY_S, what_is_reached
from ployz.host.fakes.names import FakeNameServer
from ployz.host.ports import HostRecord, Looks
from ployz.ids import MachineId
from ployz.plan.doctor.findings import findings
from ployz.plan.doctor.reach import BEGUN_MS
from ployz.plan.doctor.readings import UNREACHED_MAX, ReachReading, UnreachedReading
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.manifests import A, B, C, manifest, service
from tests.cluster.scenes import deployed
from tests.unit.actors.test_doctor import told, well
from tests.unit.plan.doctor.examples import NOW_MS, WELL, examined
from tests.unit.plan.examples import cluster as facts_of
from tests.unit.plan.examples import service as declared

SERVICES = 100
HEAD = 'namespace = "production"\n'
ONE = manifest(service("web", on="machine-b"))


class Everything:
    """Is reached."""

    async def tcp_answers(self, address: str, port: int, *, timeout_s: float) -> str | None:
        await anyio.lowlevel.checkpoint()
        return None

    async def http_answers(self, address: str, port: int, path: str, *, timeout_s: float) -> str | None:
        raise NotImplementedError


@define
class Counted:
    """What one machine looks at, with nothing behind some addresses."""

    looks: Looks
    lost: set[str] = field(factory=set)
    now: int = 0
    most: int = 0
    total: int = 0

    async def tcp_answers(self, address: str, port: int, *, timeout_s: float) -> str | None:
        self.total, self.now = self.total + 1, self.now + 1
        self.most = max(self.most, self.now)
        try:
            if address in self.lost:
                await anyio.sleep(timeout_s)
                return "no answer"
            return await self.looks.tcp_answers(address, port, timeout_s=timeout_s)
        finally:
            self.now -= 1

    async def http_answers(self, address: str, port: int, path: str, *, timeout_s: float) -> str | None:
        return await self.looks.http_answers(address, port, path, timeout_s=timeout_s)


class Stubborn(FakeNameServer):
    """It goes on saying what it said."""

    async def serve(self, records: Sequence[HostRecord]) -> None:
        pass


@contextmanager
def counted(cluster: Cluster, machine: MachineId) -> Iterator[Counted]:
    parts = cluster[machine].parts
    before = parts.looks
    parts.looks = Counted(before)
    try:
        yield parts.looks
    finally:
        parts.looks = before


async def begun(cluster: Cluster) -> None:
    await anyio.sleep(BEGUN_MS / 1000 + 1)


def addresses(cluster: Cluster) -> list[str]:
    return [placement.ipv4 for _, placement in cluster[A].parts.view.placement.slots()]


def test_a_slot_that_nobody_or_that_one_machine_does_not_reach_is_told_of_once_and_not_when_it_is_put_right() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        await deployed(cluster, ONE)
        await begun(cluster)
        (address,) = addresses(cluster)
        with counted(cluster, A) as at_a:
            at_a.lost.add(address)
            diagnosis = await cluster.ask(C, "doctor", Diagnose(), timeout_s=300.0)
            assert [(each.kind, each.machine, each.text) for each in diagnosis.findings] == [
                ("slot-unreached", B, "production/web/slot-1 is not reached from machine-a: no answer")
            ]
        assert await told(cluster) == set()

    simulate(body)


def test_what_does_not_run_or_is_paused_is_told_of_as_that() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        await deployed(cluster, ONE)
        await begun(cluster)
        (name,) = [each.name for each in cluster[B].docker.running()]
        cluster[B].docker.pause(name)
        assert await told(cluster) == {("slot-paused", B)}

    simulate(body)


def test_a_hundred_services_on_five_machines_are_looked_at_so_many_at_once_and_within_the_time() -> None:
    world = facts_of(A, B, C, MachineId("machine-d"), MachineId("machine-e"))
    port = 'service_ports = [{ name = "main", container_port = 5432 }]'
    world.commit(HEAD + "".join(declared(f"s-{number:03}", port) for number in range(SERVICES)))
    placed = dict(world.view.placement.slots())
    everywhere = [each.ipv4 for each in placed.values()]
    assert len(everywhere) == SERVICES

    def looked(*lost: str) -> tuple[ReachReading, Counted, float]:
        looks = Counted(Everything(), set(lost))

        async def main() -> tuple[ReachReading, float]:
            parts = SimpleNamespace(view=world.view, looks=looks, is_removed=False)
            began_s = anyio.current_time()
            found = await what_is_reached(cast("Parts", parts))
            assert found is not None
            return found, anyio.current_time() - began_s

        clock = trio.testing.MockClock(autojump_threshold=0)
        found, took_s = anyio.run(main, backend="trio", backend_options={"clock": clock})
        assert looks.most == AT_ONCE
        assert len(found.unreached) <= UNREACHED_MAX
        return found, looks, took_s

    nothing, looks, took_s = looked()
    assert (nothing, looks.total, took_s) == (ReachReading(), SERVICES, 0)
    slot = next(iter(placed))
    one, _, took_s = looked(everywhere[0])
    assert (one, took_s) == (ReachReading((UnreachedReading(slot, "no answer"),)), TRY_S)
    many, _, took_s = looked(*everywhere)
    assert took_s == REACH_S
    assert len(many.unreached) + many.untold == SERVICES
    assert many.untold > 0

    reads = {machine: {"reach": nothing} for machine in world.view.machines.members}
    reads[C] = {"reach": one}
    said = [
        examined(machine, serving=tuple(each for each, at in placed.items() if at.machine == machine), **reach)
        for machine, reach in reads.items()
    ]
    (only,) = findings(said, WELL, NOW_MS)
    assert (only.machine, only.text) == (placed[slot].machine, f"{slot} is not reached from machine-c: no answer")


def test_a_name_that_is_answered_wrongly_is_told_of_and_a_server_that_is_silent() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        await deployed(cluster, ONE)
        parts = cluster[C].parts
        serves = parts.names
        parts.names = stubborn = Stubborn()
        stubborn.served = ()
        assert await told(cluster) == {("name-wrong", C)}
        stubborn.served = None
        assert await told(cluster) == {("look-failed", C)}
        parts.names = serves
        assert await told(cluster) == set()

    simulate(body)
