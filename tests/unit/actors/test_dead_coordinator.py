"""A coordinator's machine that is dead for good keeps nobody down for longer than its lock, and ten seconds."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from ployz.actors.messages.operations import ApplyMigration
from ployz.facts.lock import LEASE_S, RENEW_EVERY_S
from ployz.host.fakes.docker import Program
from ployz.ids import MachineId
from ployz.projections.operations import Status
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.endings import RESOLVED_S, D, after, before, commit, ends, fence, moving, on
from tests.cluster.manifests import DB, B, C
from tests.cluster.scenes import running

DOWN_S = LEASE_S + 10
POINTS: dict[str, Callable[[MachineId], Callable[[Effect], bool]]] = {
    "the source is fenced": lambda _: on(B, fence, done=True),
    "the source has stopped": lambda _: after(B, "docker.stop"),
    "the target is about to mount": lambda _: before(C, "zfs.mount"),
    "the candidate runs": lambda _: after(C, "docker.start"),
    "it is about to commit": lambda coordinator: on(coordinator, commit, done=False),
}


@pytest.mark.parametrize("coordinator", [pytest.param(D, id="third machine"), pytest.param(C, id="target")])
@pytest.mark.parametrize("point", POINTS)
def test_the_source_runs_again_within_the_lock_and_ten_seconds_when_it_dies_when(
    point: str, coordinator: MachineId
) -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        died_s: list[float] = []

        async def die(effect: Effect) -> None:
            died_s.append(anyio.current_time())
            cluster.crash(coordinator)
            if effect.machine == coordinator:
                await anyio.sleep_forever()

        cluster.effects.at(POINTS[point](coordinator), die)
        operation_id = await cluster.begin(coordinator, ApplyMigration(DB, C))
        await cluster.until(lambda: bool(died_s), within_s=60)
        await cluster.until(lambda: running(cluster) == {B: ["db/slot-1"]}, within_s=RESOLVED_S)
        assert anyio.current_time() - died_s[0] <= DOWN_S
        await cluster.boot(coordinator)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)


def test_a_target_that_kept_its_lease_until_it_died_with_its_lock_just_renewed_is_waited_for_no_longer() -> None:
    """The slowest that there is: the candidate was renewed with the lock, and both have to lapse."""

    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        cluster[C].docker.program = lambda _: Program(ready_s=3600)
        operation_id = await cluster.begin(C, ApplyMigration(DB, C))
        await cluster.until(lambda: C in running(cluster), within_s=30)
        began_s = anyio.current_time()
        kept: list[Effect] = []

        async def keep(effect: Effect) -> None:
            kept.append(effect)

        cluster.effects.at(after(C, "facts.keep_alive"), keep)
        await cluster.until(lambda: len(kept) > 0 and anyio.current_time() - began_s > RENEW_EVERY_S, within_s=60)
        cluster.crash(C)
        died_s = anyio.current_time()
        await cluster.until(lambda: running(cluster) == {B: ["db/slot-1"]}, within_s=RESOLVED_S)
        assert anyio.current_time() - died_s <= DOWN_S
        await cluster.boot(C)
        assert await ends(cluster, operation_id) is Status.ABORTED

    simulate(body, machines=4)
