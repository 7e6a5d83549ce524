"""Containers that end by themselves: started again as their policy says, behind the gate, each after its pause."""

from __future__ import annotations

import anyio
import pytest

from ployz.actors.messages.operations import ApplyMigration
from ployz.actors.messages.services import ListServices
from ployz.actors.messages.workload import ShowWorkload
from ployz.config import RESTART_DELAY_MAX_S
from ployz.events.types import ContainerExited, ContainerRestarted
from ployz.host.fakes.docker import Program
from ployz.ids import MachineId
from ployz.projections.operations import Status
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.endings import commit, on
from tests.cluster.manifests import DB, PRODUCTION, A, B, C, manifest, service, volume
from tests.cluster.scenes import add_image, deploy, deployed, running, starts


def container(cluster: Cluster, machine: MachineId = A) -> str:
    (name,) = cluster[machine].docker.names()
    return name


def start_times(cluster: Cluster) -> list[float]:
    """Of the containers on A, in seconds, from here on."""
    times: list[float] = []
    docker = cluster[A].docker
    before = docker.on_start

    def started(spec: object) -> None:
        times.append(anyio.current_time())
        before(spec)  # type: ignore[arg-type]

    docker.on_start = started
    return times


def test_a_container_that_keeps_ending_comes_back_with_growing_pauses() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        times = start_times(cluster)
        cluster[A].docker.program = lambda _: Program(exits=1)
        began_s = anyio.current_time()
        cluster[A].docker.exit(container(cluster), 1)
        await anyio.sleep(180)
        pauses = [round(later - sooner, 1) for sooner, later in zip([began_s, *times], times, strict=False)]
        assert pauses[:6] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
        assert set(pauses[6:]) == {RESTART_DELAY_MAX_S}
        cluster[A].docker.program = lambda _: Program()
        await cluster.until(lambda: running(cluster) == {A: ["db/slot-1"]}, within_s=RESTART_DELAY_MAX_S + 1)

    simulate(body)


def test_a_container_that_ran_for_long_begins_again_at_the_first_pause() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        times = start_times(cluster)
        for _ in range(3):
            ended_s = anyio.current_time()
            cluster[A].docker.exit(container(cluster), 1)
            await anyio.sleep(60)
            assert round(times[-1] - ended_s, 1) == 0.5

    simulate(body)


@pytest.mark.parametrize(
    ("policy", "exit_code", "comes_back"),
    [
        ("no", 1, False),
        ("no", 0, False),
        ("on-failure", 1, True),
        ("on-failure", 0, False),
        ("always", 0, True),
        ("unless-stopped", 0, True),
    ],
)
def test_the_policy_decides(policy: str, exit_code: int, *, comes_back: bool) -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(volume(), service(volumes=("pgdata",), restart=policy)))
        cluster[A].docker.exit(container(cluster), exit_code)
        await anyio.sleep(60)
        assert running(cluster) == ({A: ["db/slot-1"]} if comes_back else {})
        assert await exits(cluster) == [exit_code]

    simulate(body)


async def exits(cluster: Cluster) -> list[int]:
    records = await cluster[A].disk.log.read(0, 10_000)
    return [record.event.exit_code for record in records if isinstance(record.event, ContainerExited)]


def test_a_container_whose_removal_a_crash_broke_off_is_made_whole_and_runs_again() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster.kill(A)
        cluster[A].docker.tear(container(cluster))
        await cluster.start(A)
        await cluster.until(lambda: running(cluster) == {A: ["db/slot-1"]}, within_s=30)

    simulate(body)


def test_what_exits_by_itself_under_no_stays_so_through_a_restart_of_ployzd() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(volume(), service(volumes=("pgdata",), restart="no")))
        cluster[A].docker.exit(container(cluster), 3)
        await anyio.sleep(5)
        cluster.kill(A)
        await cluster.start(A)
        await anyio.sleep(60)
        assert running(cluster) == {}
        state = await cluster[B].system.remote(A, f"workload/{PRODUCTION}").ask(ShowWorkload(), timeout_s=10)
        assert [(each.running, each.exit_code) for each in state.slots] == [(False, 3)]

    simulate(body)


def test_a_machine_that_lost_its_power_starts_everything_again() -> None:
    async def body(cluster: Cluster) -> None:
        add_image(cluster)
        web = service("web", placement="{ replicated = { count = 3 } }")
        await deploy(cluster, manifest(volume(), service(volumes=("pgdata",)), web))
        before = running(cluster)
        for name in cluster.machines:
            cluster.crash(name)
        assert running(cluster) == {}
        await anyio.sleep(10)
        for name in cluster.machines:
            await cluster.boot(name)
        await cluster.until(lambda: running(cluster) == before, within_s=60)
        assert starts(cluster, A) == ["a", "a"]

    simulate(body)


def test_a_member_that_boots_without_the_authority_starts_what_it_had() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await cluster.run(A, ApplyMigration(DB, B))
        cluster.crash(A)
        cluster.crash(B)
        await cluster.boot(B)
        await cluster.until(lambda: running(cluster) == {B: ["db/slot-1"]}, within_s=60)

    simulate(body)


def test_a_container_that_died_while_ployzd_was_dead_is_started_when_it_is_back() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster.kill(A)
        cluster[A].docker.exit(container(cluster), 1)
        await anyio.sleep(10)
        assert running(cluster) == {}
        await cluster.start(A)
        await cluster.until(lambda: running(cluster) == {A: ["db/slot-1"]}, within_s=60)

    simulate(body)


def test_an_engine_that_goes_away_and_comes_back_disturbs_nothing() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster[A].docker.engine_down()
        await anyio.sleep(30)
        assert running(cluster) == {A: ["db/slot-1"]}
        cluster[A].docker.boot()
        await anyio.sleep(5)
        cluster[A].docker.exit(container(cluster), 1)
        await cluster.until(lambda: running(cluster) == {A: ["db/slot-1"]}, within_s=30)
        records = await cluster[A].disk.log.read(0, 10_000)
        reasons = [record.event.reason for record in records if isinstance(record.event, ContainerRestarted)]
        assert reasons == ["exited with 1, policy unless-stopped"]

    simulate(body)


def test_a_container_that_dies_while_the_engine_is_unwatched_is_started_again() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        name = container(cluster)
        cluster[A].docker.engine_down()
        cluster[A].docker.exit(name, 1)
        await anyio.sleep(3)
        cluster[A].docker.boot()
        await cluster.until(lambda: running(cluster) == {A: ["db/slot-1"]}, within_s=30)

    simulate(body)


def test_a_source_whose_container_dies_in_the_cut_over_does_not_start_it() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster[A].docker.program = lambda _: Program(stop_s=8.0)
        operation_id = await cluster.begin(B, ApplyMigration(DB, B))
        await cluster.until(lambda: cluster[A].parts.local.fences != {}, within_s=10)
        cluster[A].docker.exit(container(cluster), 137)
        outcome = await cluster.watch(B, operation_id)
        assert outcome.exit_code == 0, outcome.text
        await anyio.sleep(60)
        assert running(cluster) == {B: ["db/slot-1"]}
        assert starts(cluster, B) == ["a", "b"]

    simulate(body)


def test_a_job_that_has_finished_moves_finished_there_and_back() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(volume(), service(volumes=("pgdata",), restart="no")))
        cluster[A].docker.exit(container(cluster), 0)
        await anyio.sleep(5)
        for source, target in ((A, B), (B, A)):
            began = starts(cluster, source)
            outcome = await cluster.run(A, ApplyMigration(DB, target))
            assert outcome.exit_code == 0, outcome.text
            await anyio.sleep(60)
            assert (running(cluster), starts(cluster, target)) == ({}, began)
            (row,) = (await cluster.ask(A, "services", ListServices())).slots
            assert (row.machine, row.state) == (target, "exited (0)")
            cluster.kill(target)
            await cluster.start(target)
            await anyio.sleep(60)
            assert running(cluster) == {}

    simulate(body)


def test_a_finished_job_whose_move_is_aborted_is_left_as_it_was() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(volume(), service(volumes=("pgdata",), restart="on-failure")))
        name = container(cluster)
        cluster[A].docker.exit(name, 0)
        await anyio.sleep(5)
        began = starts(cluster, A)

        async def die(effect: Effect) -> None:
            cluster.kill(C)

        cluster.effects.at(on(C, commit, done=False), die)
        operation_id = await cluster.begin(C, ApplyMigration(DB, B))
        await anyio.sleep(180)
        assert cluster[A].parts.view.operations.status(operation_id) is Status.ABORTED
        assert (running(cluster), starts(cluster, A), container(cluster)) == ({}, began, name)
        assert cluster[B].docker.names() == []

    simulate(body)
