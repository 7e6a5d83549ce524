"""What operators and their tools do to the datasets of volumes, on a whole cluster in one process."""

from __future__ import annotations

import anyio
import pytest

from ployz.actors.messages.doctor import Diagnose
from ployz.actors.messages.operations import ApplyMigration, PreviewMigration
from ployz.actors.messages.services import RemoveVolume
from ployz.errors import Code, Refused
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.manifests import DB, PGDATA, A, B, manifest, service, volume
from tests.cluster.scenes import dataset, deploy, deployed, owner

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


def test_a_volume_with_datasets_below_it_does_not_move_and_nobody_is_told_to_destroy_them() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, BOUNDED)
        await cluster[A].zfs.create(f"{dataset()}/wal/deep", {})
        previewed = await cluster.ask(A, "operations", PreviewMigration(DB, B))
        (blocker,) = previewed.plan.blockers
        assert blocker.code is Code.DATASET_IN_THE_WAY
        assert f"{dataset()}/wal, {dataset()}/wal/deep" in blocker.text
        assert f"zfs rename {dataset()}/wal tank/wal" in blocker.advice
        await deploy(cluster, manifest(service()))
        with pytest.raises(Refused, match="datasets below it on machine-a"):
            await cluster.ask(A, "services", RemoveVolume(PGDATA))
        assert PGDATA in cluster[A].parts.view.placement.volumes
        await cluster[A].zfs.create("tank/ployz/production/pgdata.old", {})
        found = (await cluster.ask(A, "doctor", Diagnose(), timeout_s=100)).findings
        stranger, below, deep = [each for each in found if each.kind == "leftover-dataset"]
        assert "lies below volume production/pgdata" in below.text
        assert below.machine == deep.machine == stranger.machine == A
        assert [each for each in found if "destroy" in each.remedy] == []

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
