"""Candidates run on a lease, and a source waits for their end: never do both run, whoever is away."""

from __future__ import annotations

import anyio
import pytest

from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration
from ployz.config import CANDIDATE_LEASE_S
from ployz.host.fakes.docker import Program
from ployz.projections.operations import Status
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.endings import RESOLVED_S, D, after, before, commit, ends, moving, on
from tests.cluster.manifests import DB, A, B, C, manifest, service, volume
from tests.cluster.scenes import add_image, deploy, running, starts


def test_an_abort_starts_the_source_only_after_the_candidate_is_gone() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster[C].docker.program = lambda _: Program(ready_s=3600)
        order: list[str] = []

        async def see(effect: Effect) -> None:
            order.append(f"{effect.machine} {effect.name}")

        cluster.effects.at(after(C, "docker.remove"), see)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(lambda: C in running(cluster), within_s=30)
        cluster.effects.at(before(B, "docker.start"), see)
        cluster.effects.at(before(B, "docker.create"), see)
        assert await ends(cluster, operation_id) is Status.ABORTED
        assert order[0] == "machine-c docker.remove"
        assert starts(cluster, B) == ["a", "b", "b"]

    simulate(body, machines=4)


def test_a_source_that_cannot_ask_the_target_waits_until_its_lease_is_over() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cut_s: list[float] = []

        async def cut(effect: Effect) -> None:
            cut_s.append(anyio.current_time())
            for other in (A, B, D):
                cluster.network.cut(C, other)

        cluster.effects.at(after(C, "docker.start"), cut)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(
            lambda: cluster[B].parts.view.operations.status(operation_id) is Status.ABORTED, within_s=RESOLVED_S
        )
        assert B not in running(cluster)
        await cluster.until(lambda: B in running(cluster), within_s=RESOLVED_S)
        assert CANDIDATE_LEASE_S - 1 <= anyio.current_time() - cut_s[0] <= CANDIDATE_LEASE_S + 2
        assert C not in running(cluster)  # by itself: nobody could tell it
        for other in (A, B, D):
            cluster.network.heal(C, other)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_a_source_that_hears_neither_the_target_nor_the_authority_waits_a_whole_lease_after_the_abort() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)

        async def cut(effect: Effect) -> None:
            for other in (A, B, D):
                cluster.network.cut(C, other)

        cluster.effects.at(after(C, "docker.start"), cut)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(
            lambda: cluster[B].parts.view.operations.status(operation_id) is Status.ABORTED, within_s=RESOLVED_S
        )
        decided_s = anyio.current_time()
        cluster.network.cut(A, B)
        await cluster.until(lambda: B in running(cluster), within_s=RESOLVED_S)
        assert CANDIDATE_LEASE_S - 1 <= anyio.current_time() - decided_s <= CANDIDATE_LEASE_S + 1
        for one, other in ((A, B), (A, C), (B, C), (D, C)):
            cluster.network.heal(one, other)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_a_candidate_that_is_asked_late_to_start_does_not() -> None:
    """Its machine's facts lag behind, and say "undecided"; the authority says otherwise."""

    async def body(cluster: Cluster) -> None:
        await moving(cluster)

        async def cut_and_abort(effect: Effect) -> None:
            cluster.crash(D)
            cluster.network.cut(A, C)
            await anyio.sleep(60)
            cluster.network.heal(A, C)

        cluster.effects.at(before(C, "zfs.mount"), cut_and_abort)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(lambda: cluster[D].life is None, within_s=30)
        await anyio.sleep(90)
        await cluster.boot(D)
        assert await ends(cluster, operation_id) is Status.ABORTED
        assert starts(cluster, B) == ["a", "b", "b"]

    simulate(body, machines=4)


def test_a_ployzd_that_finds_a_candidate_removes_it_when_it_cannot_ask() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster[C].docker.program = lambda _: Program(ready_s=3600)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(lambda: C in running(cluster), within_s=30)
        cluster.kill(C)
        cluster.network.cut(A, C)
        cluster.crash(D)
        await anyio.sleep(1)
        assert C in running(cluster)
        await cluster.start(C)
        await cluster.until(lambda: C not in running(cluster), within_s=CANDIDATE_LEASE_S)
        cluster.network.heal(A, C)
        await cluster.boot(D)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_a_candidate_whose_ployzd_is_dead_ends_with_its_lease() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster[C].docker.program = lambda _: Program(ready_s=3600)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(lambda: C in running(cluster), within_s=30)
        cluster.kill(C)
        cluster.crash(D)
        await cluster.until(lambda: C not in running(cluster), within_s=CANDIDATE_LEASE_S)
        await cluster.boot(D)
        await cluster.start(C)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_a_ployzd_that_finds_a_candidate_goes_on_with_its_lease() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster[C].docker.program = lambda _: Program(ready_s=3600)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(lambda: C in running(cluster), within_s=30)
        cluster.kill(C)
        cluster.crash(D)  # undecided until its lock lapses
        renewed = before(C, "guards.renew")
        taken = before(C, "guards.guard")
        await cluster.start(C)
        await cluster.until(lambda: any(renewed(each) for each in cluster.effects.seen), within_s=CANDIDATE_LEASE_S / 2)
        assert sum(taken(each) for each in cluster.effects.seen) == 1
        assert C in running(cluster)
        await cluster.boot(D)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_a_committed_candidate_needs_no_guard_any_more() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        outcome = await cluster.run(D, ApplyMigration(DB, C))
        await anyio.sleep(CANDIDATE_LEASE_S)
        assert cluster[C].guards.leases == frozenset()
        assert await ends(cluster, outcome.operation_id) is Status.COMMITTED

    simulate(body, machines=4)


def test_a_candidate_that_was_committed_runs_on_when_the_authority_goes_away() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        outcome = await cluster.run(D, ApplyMigration(DB, C))
        assert outcome.exit_code == 0, outcome.text
        cluster.crash(A)
        await anyio.sleep(2 * CANDIDATE_LEASE_S)
        assert running(cluster) == {C: ["db/slot-1"]}
        assert starts(cluster, C) == ["a", "b", "c"]

    simulate(body, machines=4)


@pytest.mark.parametrize("restart", ["no", "on-failure", "always"])
def test_a_service_that_its_guard_killed_just_after_the_commit_is_started_again(restart: str) -> None:
    """Its ployzd died before it could hear of it. It did not end by itself, so its restart policy has no say."""

    async def body(cluster: Cluster) -> None:
        add_image(cluster)
        await deploy(cluster, manifest(volume(), service(volumes=("pgdata",), restart=restart)))
        assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0
        cluster.effects.at(on(D, commit, done=False), lambda _: _kill(cluster))
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(lambda: cluster[C].life is None, within_s=60)
        await cluster.until(lambda: running(cluster) == {}, within_s=CANDIDATE_LEASE_S)
        await cluster.start(C)
        assert await ends(cluster, operation_id) is Status.COMMITTED

    simulate(body, machines=4)


def moved(name: str) -> str:
    return f'{{ service = "{name}", move = {{ to_machine = "{C}" }} }}'


async def _kill(cluster: Cluster) -> None:
    cluster.kill(C)


def test_a_new_service_on_a_volume_that_moves_to_it_is_a_candidate_too() -> None:
    """No fact places it anywhere, and it runs on what the source may still get back."""

    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        both = manifest(
            volume(),
            service(volumes=("pgdata",)),
            service("reader", volumes=("pgdata",)),
            "[intent]",
            f'volumes = [{{ volume = "pgdata", move = {{ from_machine = "{B}", to_machine = "{C}" }} }}]',
            f"services = [{moved('db')}, {moved('reader')}]",
        )
        cluster[C].docker.program = lambda _: Program(ready_s=3600)
        operation_id = await cluster.begin(D, ApplyDeploy(both))
        await cluster.until(lambda: C in running(cluster), within_s=30)
        cluster.kill(C)
        assert len(cluster[C].guards.leases) == len(running(cluster)[C])
        cluster.crash(D)
        await cluster.until(lambda: C not in running(cluster), within_s=CANDIDATE_LEASE_S)
        await cluster.boot(D)
        await cluster.start(C)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_a_second_try_does_not_take_over_a_gate_that_still_waits() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)

        async def cut(effect: Effect) -> None:
            for other in (A, B, D):
                cluster.network.cut(C, other)

        cluster.effects.at(after(C, "docker.start"), cut)
        first = await cluster.begin(D, ApplyMigration(DB, C))
        await cluster.until(
            lambda: cluster[B].parts.view.operations.status(first) is Status.ABORTED, within_s=RESOLVED_S
        )
        assert list(cluster[B].parts.local.fences.values()) == [first]
        await cluster.watch(D, first)
        outcome = await cluster.run(D, ApplyMigration(DB, A))
        assert (outcome.exit_code, outcome.result.committed) == (4, True), outcome.text  # C is still away
        assert running(cluster) == {A: ["db/slot-1"]}

    simulate(body, machines=4)
