"""A state folder without room: what is refused there, what goes on, and what happens once there is room again."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from ployz.actors.messages.doctor import Diagnose
from ployz.actors.messages.machine import ListMachines
from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration
from ployz.actors.messages.services import ListServices
from ployz.errors import Code
from ployz.ids import MachineId
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.endings import D, after, before, commit, ends, fence, moving, on
from tests.cluster.manifests import DB, A, B, C, manifest, service, volume
from tests.cluster.scenes import running

FULL_S = 60.0


def fill_up(cluster: Cluster, machine: MachineId, *, full: bool = True) -> None:
    cluster[machine].disk.log.fill_up(full=full)


def test_without_room_reads_are_answered_and_changes_refused_until_there_is_some() -> None:
    async def body(cluster: Cluster) -> None:
        await moving(cluster)
        again = manifest(volume(), service(volumes=("pgdata",), command="again"))
        fill_up(cluster, B)
        await cluster.ask(B, "machine", ListMachines())
        await cluster.ask(B, "services", ListServices())
        for asked in (A, B):
            diagnosis = await cluster.ask(asked, "doctor", Diagnose(), timeout_s=300.0)
            assert diagnosis.machines == tuple(cluster.machines)
        outcome = await cluster.run(B, ApplyDeploy(again))
        assert outcome.result.problem is not None
        assert outcome.result.problem.code is Code.STATE_FULL, outcome.text
        await anyio.sleep(FULL_S)
        assert running(cluster) == {B: ["db/slot-1"]}
        fill_up(cluster, B, full=False)
        await cluster.agreed()
        outcome = await cluster.run(B, ApplyDeploy(again))
        assert outcome.exit_code == 0, outcome.text

    simulate(body, machines=4)


MOMENTS: dict[str, tuple[MachineId, Callable[[Effect], bool]]] = {
    "the source, as it closes its gate": (B, on(B, fence, done=False)),
    "the source, after its service stopped": (B, after(B, "docker.stop")),
    "the source, before the last snapshot": (B, after(B, "zfs.unmount")),
    "the source, when it is committed": (B, on(D, commit, done=True)),
    "the target, as its candidate is made": (C, before(C, "docker.create")),
    "the target, as its candidate starts": (C, before(C, "docker.start")),
    "the target, when it is committed": (C, on(D, commit, done=True)),
    "the coordinator, after the service stopped": (D, after(B, "docker.stop")),
    "the coordinator, before the commit": (D, on(D, commit, done=False)),
    "the coordinator, when it is committed": (D, on(D, commit, done=True)),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_move_comes_to_rest_whoever_has_no_room_for_a_minute(moment: str) -> None:
    machine, when = MOMENTS[moment]

    async def body(cluster: Cluster) -> None:
        await moving(cluster)

        async def fill(_: Effect) -> None:
            fill_up(cluster, machine)

        cluster.effects.at(when, fill)
        operation_id = await cluster.begin(D, ApplyMigration(DB, C))
        await anyio.sleep(FULL_S)
        assert cluster[machine].disk.log._full
        assert cluster[machine].life is not None
        fill_up(cluster, machine, full=False)
        await ends(cluster, operation_id)

    simulate(body, machines=4)
