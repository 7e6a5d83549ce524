"""Readiness that is looked at while a service runs: told, shown, found, and acted on where that is asked for."""

from __future__ import annotations

import math

import anyio

from ployz.actors.messages.doctor import Diagnose
from ployz.actors.messages.services import ListServices
from ployz.events.types import ContainerReady, ContainerRestarted, ContainerUnready
from ployz.host.fakes.docker import Program
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.manifests import DATABASE, A, B, manifest, service, volume
from tests.cluster.scenes import deployed, running

HUNG = Program(ready_s=math.inf)
HEALTHY = Program()
RESTARTS = manifest(volume(), service(volumes=("pgdata",), extra='on_unready = "restart"'))


async def state(cluster: Cluster) -> tuple[str, int]:
    (row,) = (await cluster.ask(B, "services", ListServices())).slots
    return row.state, row.restarts


async def kinds(cluster: Cluster) -> list[str]:
    found = (await cluster.ask(B, "doctor", Diagnose())).findings
    return [each.kind for each in found if each.kind.startswith("slot-")]


async def told(cluster: Cluster) -> list[str]:
    """What was recorded of its readiness since it was deployed, by kind."""
    kept = (ContainerReady, ContainerUnready, ContainerRestarted)
    found = await cluster[A].disk.log.read(0, limit=10_000)
    return [type(each.event).__name__ for each in found if isinstance(each.event, kept)]


def test_a_service_that_hangs_is_told_of_and_left_alone_unless_its_manifest_says_otherwise() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, DATABASE)
        assert (await state(cluster), await kinds(cluster)) == (("running", 0), [])
        cluster[A].docker.program = lambda _: HUNG
        await anyio.sleep(15)
        assert (await state(cluster), await kinds(cluster)) == (("unready", 0), ["slot-unready"])
        cluster[A].docker.program = lambda _: HEALTHY
        await anyio.sleep(5)
        assert (await state(cluster), await kinds(cluster)) == (("running", 0), [])
        assert await told(cluster) == ["ContainerReady", "ContainerUnready", "ContainerReady"]

    simulate(body)


def test_lost_readiness_restarts_it_where_the_manifest_says_so() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, RESTARTS)
        cluster[A].docker.program = lambda _: HUNG
        await anyio.sleep(8)
        cluster[A].docker.program = lambda _: HEALTHY
        await anyio.sleep(10)
        assert (await state(cluster), running(cluster)) == (("running", 1), {A: ["db/slot-1"]})
        assert await told(cluster) == ["ContainerReady", "ContainerUnready", "ContainerRestarted"]
        await anyio.sleep(60)
        assert await state(cluster) == ("running", 1)

    simulate(body)


def test_a_container_that_somebody_paused_is_named_and_not_restarted() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, RESTARTS)
        (name,) = cluster[A].docker.names()
        cluster[A].docker.pause(name)
        await anyio.sleep(30)
        assert (await state(cluster), await kinds(cluster)) == (("paused", 0), ["slot-paused"])
        cluster[A].docker.pause(name, paused=False)
        await anyio.sleep(5)
        assert (await state(cluster), await kinds(cluster)) == (("running", 0), [])

    simulate(body)


def test_a_crash_loop_is_found() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, DATABASE)
        (name,) = cluster[A].docker.names()
        cluster[A].docker.program = lambda _: Program(exits=3)
        cluster[A].docker.exit(name, 3)
        await anyio.sleep(30)
        assert await kinds(cluster) == ["slot-crash-loop"]
        shown, restarts = await state(cluster)
        assert (shown, restarts >= 3) == ("exited (3)", True)

    simulate(body)


def test_a_job_that_has_finished_is_well() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(service("job", restart="no")))
        (name,) = [each for machine in cluster.machines.values() for each in machine.docker.names()]
        (home,) = [machine for machine in cluster.machines.values() if machine.docker.names()]
        home.docker.exit(name, 0)
        await anyio.sleep(30)
        assert await kinds(cluster) == []

    simulate(body)
