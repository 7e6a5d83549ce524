"""Crashes and lost answers: whatever happens, the operation ends once, and the service runs in exactly one place."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration
from ployz.ids import MachineId
from ployz.projections.operations import Status
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.endings import RESOLVED_S, D, after, before, commit, commit_of, ends, fence, moving, on
from tests.cluster.manifests import DB, A, B, C, manifest, service, volume
from tests.cluster.scenes import (
    local_addresses,
    owner,
    running,
    slot_addresses,
)

# ---------------------------------------------------------------- lost answers


def test_a_commit_whose_answer_is_lost_is_found_to_be_committed() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster.network.lose(commit_of, reply=True)
        outcome = await cluster.run(D, ApplyMigration(DB, C))
        assert (outcome.exit_code, outcome.result.committed) == (0, True), outcome.text
        assert await ends(cluster, outcome.operation_id) is Status.COMMITTED

    simulate(body, machines=4)


def test_a_commit_that_is_lost_on_its_way_is_aborted() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster.network.lose(commit_of, reply=False)
        outcome = await cluster.run(D, ApplyMigration(DB, C))
        assert (outcome.exit_code, outcome.result.committed) == (3, False), outcome.text
        assert await ends(cluster, outcome.operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_an_authority_that_is_away_at_the_commit_decides_when_it_is_back() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)

        async def cut(effect: Effect) -> None:
            cluster.network.cut(A, D)

        cluster.effects.at(lambda effect: effect.machine == C and effect.name == "docker.start" and effect.done, cut)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await anyio.sleep(20)
        cluster.network.heal(A, D)
        outcome = await cluster.watch(D, operation_id)
        status = await ends(cluster, operation_id)
        assert outcome.result.committed == (status is Status.COMMITTED)

    simulate(body, machines=4)


# ---------------------------------------------------------------- crashes


CRASHES: dict[str, tuple[MachineId, Callable[[Effect], bool]]] = {
    "the coordinator before the first send": (D, before(B, "streams.send")),
    "the coordinator after the fence": (D, on(B, fence, done=True)),
    "the coordinator when the candidate runs": (D, after(C, "docker.start")),
    "the coordinator before the commit": (D, on(D, commit, done=False)),
    "the coordinator after the commit": (D, on(D, commit, done=True)),
    "the source before the fence": (B, on(B, fence, done=False)),
    "the source after the fence": (B, on(B, fence, done=True)),
    "the source after the stop": (B, after(B, "docker.stop")),
    "the source after its vote": (B, after(B, "facts.transact")),
    "the source when the candidate runs": (B, after(C, "docker.start")),
    "the source after the commit": (B, on(D, commit, done=True)),
    "the target in its first receive": (C, before(B, "streams.send")),
    "the target before it mounts": (C, before(C, "zfs.mount")),
    "the target when the candidate runs": (C, after(C, "docker.start")),
    "the target after the commit": (C, on(D, commit, done=True)),
    "the authority after the fence": (A, on(B, fence, done=True)),
    "the authority before the commit": (A, on(D, commit, done=False)),
    "the authority after the commit": (A, on(A, commit, done=True)),
}


@pytest.mark.parametrize(
    ("name", "pause_s", "power"),
    [
        pytest.param(name, pause_s, power, id=f"{name}, {'power' if power else 'ployzd'}, {pause_s:g} s")
        for name in CRASHES
        for pause_s in (1.0, 60.0)
        for power in (True, False)
    ],
)
def test_the_service_runs_in_exactly_one_place_after_a_crash_of(name: str, pause_s: float, power: bool) -> None:
    victim, when = CRASHES[name]

    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        crashed = anyio.Event()

        async def crash(effect: Effect) -> None:
            if power:
                cluster.crash(victim)
            else:
                cluster.kill(victim)
            crashed.set()
            if effect.machine == victim:
                await anyio.sleep_forever()

        cluster.effects.at(when, crash)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        with anyio.fail_after(60):
            await crashed.wait()
        await anyio.sleep(pause_s)
        if power:
            await cluster.boot(victim)
        else:
            await cluster.start(victim)
        await ends(cluster, operation_id)

    simulate(body, machines=4)


def test_the_gate_of_a_source_that_crashed_stays_closed_until_it_is_decided() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        crashed = anyio.Event()

        async def crash(effect: Effect) -> None:
            cluster.crash(B)
            crashed.set()
            await anyio.sleep_forever()

        cluster.effects.at(on(B, fence, done=True), crash)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await crashed.wait()
        cluster.crash(D)
        cluster.network.cut(A, B)
        await cluster.boot(B)
        await anyio.sleep(25)
        assert running(cluster) == {}
        assert list(cluster[B].parts.local.fences) == [DB]
        cluster.network.heal(A, B)
        await cluster.boot(D)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_a_coordinator_that_starts_again_ends_what_it_left_at_once_and_frees_its_lock() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)

        async def crash(effect: Effect) -> None:
            cluster.kill(D)

        cluster.effects.at(on(B, fence, done=True), crash)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(lambda: cluster[D].life is None, within_s=30)
        await cluster.start(D)
        began_s = anyio.current_time()
        await cluster.until(lambda: running(cluster) == {B: ["db/slot-1"]}, within_s=10, what="the source runs again")
        assert cluster[B].parts.view.operations.status(operation_id) is Status.ABORTED
        outcome = await cluster.run(D, ApplyMigration(DB, C))
        assert outcome.exit_code == 0, outcome.text
        assert anyio.current_time() - began_s < 30, "the lock had to lapse"

    simulate(body, machines=4)


# ---------------------------------------------------------------- deploys


REPLACED = manifest(volume(), service(volumes=("pgdata",), command="again"))
"""The same service with another template: stopped and started where it is."""
DEPLOY_CRASHES: dict[str, tuple[MachineId, Callable[[Effect], bool]]] = {
    "the coordinator before the old one stops": (C, before(B, "docker.stop")),
    "the coordinator when the new one runs": (C, after(B, "docker.start")),
    "the coordinator after the commit": (C, on(C, commit, done=True)),
    "the owner when the old one has stopped": (B, after(B, "docker.stop")),
    "the owner when the new one runs": (B, after(B, "docker.start")),
    "the owner after the commit": (B, on(C, commit, done=True)),
    "the authority when the old one has stopped": (A, after(B, "docker.stop")),
    "the authority after the commit": (A, on(C, commit, done=True)),
}


@pytest.mark.parametrize("power", [True, False], ids=["power", "ployzd"])
@pytest.mark.parametrize("name", DEPLOY_CRASHES)
def test_a_deploy_ends_as_old_or_new_after_a_crash_of(name: str, *, power: bool) -> None:
    victim, when = DEPLOY_CRASHES[name]

    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        crashed = anyio.Event()

        async def crash(effect: Effect) -> None:
            (cluster.crash if power else cluster.kill)(victim)
            crashed.set()
            if effect.machine == victim:
                await anyio.sleep_forever()

        cluster.effects.at(when, crash)
        operation_id = await cluster.begin(C, ApplyDeploy(REPLACED))
        await crashed.wait()
        await anyio.sleep(40)
        await (cluster.boot if power else cluster.start)(victim)
        view = cluster[A].parts.view
        await cluster.until(
            lambda: view.operations.status(operation_id) not in {None, Status.UNDECIDED}, within_s=RESOLVED_S
        )
        await anyio.sleep(RESOLVED_S)
        status = view.operations.status(operation_id)
        (spec,) = cluster[B].docker.running()
        assert spec.command == (("again",) if status is Status.COMMITTED else ())
        assert running(cluster) == {B: ["db/slot-1"]}
        assert cluster[B].docker.names() == [spec.name]
        assert local_addresses(cluster, B) == slot_addresses(cluster, DB)
        assert owner(cluster) == (B, 2)

    simulate(body)
