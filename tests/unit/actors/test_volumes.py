"""What operators and their tools do to the datasets of volumes, on a whole cluster in one process."""

from __future__ import annotations

import anyio

from ployz.actors.messages.operations import ApplyMigration
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.manifests import DB, A, B, manifest, service, volume
from tests.cluster.scenes import dataset, deployed, owner

MIB = 1 << 20
BOUNDED = manifest(volume(quota="3M"), service(volumes=("pgdata",)))


async def move(cluster: Cluster, *targets: str) -> None:
    for target in targets:
        outcome = await cluster.run(A, ApplyMigration(DB, B if target == "b" else A))
        assert outcome.exit_code == 0, outcome.text


def test_what_fitted_before_a_move_fits_after_it_and_on_the_way_back() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, BOUNDED)
        cluster[A].zfs.write(dataset(), "file", bytes([1]) * 2 * MIB)
        cluster[A].zfs.write(dataset(), "file", bytes([2]) * 2 * MIB)
        await move(cluster, "b")
        cluster[B].zfs.write(dataset(), "file", bytes([3]) * 2 * MIB)
        await move(cluster, "a")
        cluster[A].zfs.write(dataset(), "file", bytes([4]) * 2 * MIB)
        state = await cluster[A].zfs.state(dataset())
        assert state is not None
        assert (state.quota_bytes, state.total_quota_bytes) == (3 * MIB, 0)
        assert state.snapshots_bytes >= 2 * MIB
        assert owner(cluster) == (A, 3)

    simulate(body)


def test_a_quota_of_an_older_ployz_is_brought_over_when_its_machine_settles() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, BOUNDED)
        await cluster[A].zfs.set(dataset(), {"refquota": "none", "quota": "3M"})
        cluster.crash(A)
        await cluster.boot(A)
        await anyio.sleep(30)
        state = await cluster[A].zfs.state(dataset())
        assert state is not None
        assert (state.quota_bytes, state.total_quota_bytes) == (3 * MIB, 0)

    simulate(body)
