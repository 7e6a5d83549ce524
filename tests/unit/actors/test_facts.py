"""The facts actor serves every machine of the largest cluster at once."""

from __future__ import annotations

import anyio

from ployz.actors.facts import FactsActor
from ployz.actors.messages.facts import FollowFacts, ReadRecord
from ployz.actors.system import ActorSystem
from ployz.config import MACHINES_MAX
from ployz.events.types import ClusterFounded, Lifecycle, MachineIdentified, MachineJoined
from ployz.facts.memory import MemoryFactLog
from ployz.facts.transactions import found_cluster
from ployz.host.fakes.overlay import made_up_key
from ployz.ids import Certificate, ClusterName, MachineId
from tests.cluster.virtual_time import VirtualClock, run_seeded

A = MachineId("machine-a")
FOUNDED = ClusterFounded(ClusterName("home"), A, "fd00:5eed::/48", "10.211.0.0/16", "10.210.0.0/16")
FOUNDER = MachineJoined(A, 1, "fd00:5eed::1", "10.211.0.1", "192.0.2.1:51820", made_up_key(A), Lifecycle.ACTIVE)
IDENTIFIED = MachineIdentified(A, Certificate("Y2VydA=="))


def test_every_machine_may_wait_for_the_next_fact_while_others_ask() -> None:
    async def main(_: object) -> None:
        log = MemoryFactLog(VirtualClock())
        told: list[int] = []
        async with ActorSystem(A) as system, anyio.create_task_group() as tasks:
            facts = system.spawn("facts", lambda: FactsActor(log))

            async def follow() -> None:
                page = await facts.ask(FollowFacts(0, 10, 30.0), timeout_s=35)
                told.append(len(page.facts))

            for _ in range(MACHINES_MAX):
                tasks.start_soon(follow)
                await anyio.sleep(0.001)
            assert (await facts.ask(ReadRecord("cluster"), timeout_s=1)).held is None
            await log.transact(found_cluster(FOUNDED, FOUNDER, IDENTIFIED))
        assert told == [3] * MACHINES_MAX

    run_seeded(main, seed=0)
