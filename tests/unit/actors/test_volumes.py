"""What operators and their tools do to the datasets of volumes, on a whole cluster in one process."""

from __future__ import annotations

import anyio
import pytest

from ployz.actors.messages.doctor import Diagnose
from ployz.actors.messages.operations import ApplyMigration, PreviewDeploy, PreviewMigration
from ployz.actors.messages.services import DropCopy, RemoveVolume
from ployz.errors import CleanupPending, Code, Refused
from ployz.events.types import VolumeRemoved
from ployz.host.ports import DatasetState
from ployz.ids import MachineId
from ployz.plan import properties
from ployz.plan.doctor.findings import Severity
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.endings import commit, on
from tests.cluster.manifests import DB, PGDATA, A, B, C, manifest, service, volume
from tests.cluster.scenes import dataset, datasets, deploy, deployed, owner, running

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
        there = await state(cluster, A)
        assert (there.quota_bytes, there.total_quota_bytes) == (3 * MIB, 0)
        assert there.snapshots_bytes >= 2 * MIB
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


def test_properties_go_where_the_volume_goes_and_what_stays_is_told() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, BOUNDED.replace('quota = "3M"', 'quota = "3M"\nrecordsize = "16K"'))
        by_hand = {"compression": "on", "org.example:backup": "daily"}
        await cluster[A].zfs.set(dataset(), by_hand | {"sync": "disabled", "reservation": "1M"})
        (planned,) = (await cluster.ask(A, "operations", PreviewMigration(DB, B))).plan.volumes
        assert [str(each) for each in planned.settings] == [
            "compression=on",
            "org.example:backup=daily",
            "recordsize=16384",
        ]
        assert [str(each) for each in planned.left_behind] == ["reservation=1M", "sync=disabled"]
        await move(cluster, "b")
        moved = await state(cluster, B)
        assert {each.name: each.value for each in properties.travelling(moved.local)} == by_hand | {
            "recordsize": "16384"
        }
        assert properties.staying(moved.local) == ()
        await cluster[B].zfs.inherit(dataset(), ("compression",))
        await move(cluster, "a")
        assert "compression" not in (await state(cluster, A)).local, "what was taken off there is not here any more"

    simulate(body)


def test_a_property_that_the_manifest_declares_is_set_where_the_volume_is() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, BOUNDED)
        with_atime = BOUNDED.replace('quota = "3M"', 'quota = "3M"\natime = false')
        phases = (await cluster.ask(A, "operations", PreviewDeploy(with_atime))).phases
        assert [each.effects for each in phases if each.name == "clean-up"] == [
            ("machine-a: set atime=off on production/pgdata",)
        ]
        await deploy(cluster, with_atime)
        assert (await state(cluster, A)).local["atime"] == "off"
        again = await cluster.ask(A, "operations", PreviewDeploy(with_atime))
        assert again.plan.changes_nothing

    simulate(body)


def test_a_snapshot_at_the_target_during_an_increment_costs_a_round_and_not_the_move() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, BOUNDED)
        await move(cluster, "b")
        cluster[B].zfs.write(dataset(), "file", bytes(MIB))
        taken: list[str] = []

        async def hourly(_effect: Effect) -> None:
            """Of every round the first attempt is hit, the one in the cut-over included."""
            taken.append(f"hourly-{len(taken)}")
            if len(taken) % 2:
                await cluster[A].zfs.snapshot([dataset()], taken[-1])

        cluster.effects.at(on(B, lambda each: each.name == "streams.send", done=False), hourly, times=10)
        outcome = await cluster.run(A, ApplyMigration(DB, A))
        assert outcome.exit_code == 0, outcome.text
        assert len(taken) == 2 * len(outcome.result.rounds) >= 4
        assert "begins again" in "\n".join(each.text for each in outcome.progress)
        assert owner(cluster) == (A, 3)
        assert cluster[A].zfs.files(dataset())["file"] == bytes(MIB)

    simulate(body)


def test_a_copy_is_marked_and_the_owner_has_what_somebody_has_set() -> None:
    auto = "com.sun:auto-snapshot"

    async def body(cluster: Cluster) -> None:
        await deployed(cluster, BOUNDED)
        await move(cluster, "b")
        assert (await state(cluster, A)).local[auto] == "false"
        assert auto not in (await state(cluster, B)).local
        await cluster[B].zfs.set(dataset(), {auto: "true"})
        await move(cluster, "a")
        assert (await state(cluster, A)).local[auto] == "true"
        assert (await state(cluster, B)).local[auto] == "false"
        await move(cluster, "b")
        assert (await state(cluster, B)).local[auto] == "true"
        assert [each for each in (await state(cluster, B)).properties if "auto" in each] == []

    simulate(body)


def test_holds_and_clones_of_a_copy_are_named_before_anything_changes() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, BOUNDED)
        await move(cluster, "b")
        there = cluster[A].zfs
        await there.snapshot([dataset()], "hourly")
        await there.hold(dataset(), "hourly", "backup")
        there.clone(dataset(), "hourly", "tank/look")
        held, cloned = (await cluster.ask(B, "operations", PreviewMigration(DB, A))).plan.blockers
        assert held.code is cloned.code is Code.DATASET_BUSY
        assert held.text == f"on machine-a {dataset()}@hourly is held (backup), and that must go first"
        assert held.advice == f"If nobody needs it: zfs release backup {dataset()}@hourly"
        assert f"tank/look is a clone of {dataset()}@hourly" in cloned.text
        await deploy(cluster, manifest(service()))
        with pytest.raises(Refused, match="is held"):
            await cluster.ask(B, "services", RemoveVolume(PGDATA))
        assert (await state(cluster, A)).snapshot("hourly") is not None

    simulate(body)


def test_what_is_left_of_a_removed_volume_is_named_with_what_keeps_it() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, BOUNDED)
        await move(cluster, "b")
        await deploy(cluster, manifest(service()))

        async def hold(_effect: Effect) -> None:
            await cluster[A].zfs.snapshot([dataset()], "hourly")
            await cluster[A].zfs.hold(dataset(), "hourly", "backup")

        def removes(effect: Effect) -> bool:
            is_asked = effect.name == "facts.transact" and not effect.done
            return is_asked and any(isinstance(each, VolumeRemoved) for each in effect.args[0].facts)

        cluster.effects.at(removes, hold)
        with pytest.raises(CleanupPending, match="is held"):
            await cluster.ask(B, "services", RemoveVolume(PGDATA))
        found = (await cluster.ask(B, "doctor", Diagnose(), timeout_s=100)).findings
        (left,) = [each for each in found if each.kind == "leftover-dataset"]
        assert left.machine == A
        assert f"{dataset()}@hourly is held (backup)" in left.text
        assert f"zfs release backup {dataset()}@hourly; zfs destroy -r {dataset()}" in left.remedy

    simulate(body)


def test_data_that_fits_its_quota_only_compressed_is_refused_before_anything_changes() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, BOUNDED)
        cluster[A].zfs.compress(dataset(), 2.0)
        cluster[A].zfs.write(dataset(), "file", bytes([1]) * 4 * MIB)
        (blocker,) = (await cluster.ask(A, "operations", PreviewMigration(DB, B))).plan.blockers
        assert blocker.code is Code.NO_SPACE
        assert "arrives on machine-b as 41" in blocker.text
        cluster[A].zfs.write(dataset(), "file", bytes([1]) * 2 * MIB)
        await move(cluster, "b")

    simulate(body)


def test_what_fails_after_a_commit_and_is_not_needed_keeps_no_service_down_and_is_an_error_of_the_doctor() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, BOUNDED)

        async def grow(_effect: Effect) -> None:
            await cluster[B].zfs.inherit(dataset(), ("refquota",))
            cluster[B].zfs.write(dataset(), "more", bytes(4 * MIB))

        cluster.effects.at(on(A, commit, done=True), grow)
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert (outcome.exit_code, outcome.result.committed) == (4, True), outcome.text
        assert "size is less than current used" in outcome.text
        assert running(cluster) == {B: ["db/slot-1"]}
        assert await errors(cluster) == []
        cluster.crash(B)
        await cluster.boot(B)
        await anyio.sleep(120)
        assert running(cluster) == {B: ["db/slot-1"]}
        ((kind, text),) = await errors(cluster)
        assert kind == "unsettled"
        assert "volume production/pgdata is not as the facts have it" in text
        cluster[B].zfs.remove(dataset(), "more")
        await anyio.sleep(30)
        assert await errors(cluster) == []
        assert (await state(cluster, B)).quota_bytes == 3 * MIB
        await move(cluster, "a")

    simulate(body)


async def errors(cluster: Cluster) -> list[tuple[str, str]]:
    found = (await cluster.ask(A, "doctor", Diagnose(), timeout_s=100)).findings
    return [
        (each.kind, each.text) for each in found if each.severity is Severity.ERROR and each.kind != "handshake-old"
    ]


async def state(cluster: Cluster, machine: MachineId) -> DatasetState:
    found = await cluster[machine].zfs.state(dataset())
    assert found is not None
    return found


def test_a_quota_of_an_older_ployz_is_brought_over_when_its_machine_settles() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, BOUNDED)
        await cluster[A].zfs.set(dataset(), {"refquota": "none", "quota": "3M"})
        cluster.crash(A)
        await cluster.boot(A)
        await anyio.sleep(30)
        there = await state(cluster, A)
        assert (there.quota_bytes, there.total_quota_bytes) == (3 * MIB, 0)

    simulate(body)


# ---------------------------------------------------------------- copies


def test_an_older_copy_is_dropped_and_the_next_move_there_sends_all_of_it() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await move(cluster, "b")
        dropped = await cluster.ask(C, "services", DropCopy(PGDATA, A))
        assert (dropped.machine, dropped.freed_bytes > 0) == (A, True)
        assert (datasets(cluster, A), owner(cluster)) == ([], (B, 2))
        assert running(cluster) == {B: ["db/slot-1"]}
        with pytest.raises(Refused, match="machine-a has no copy"):
            await cluster.ask(A, "services", DropCopy(PGDATA, A))
        await move(cluster, "a")
        assert running(cluster) == {A: ["db/slot-1"]}

    simulate(body)


@pytest.mark.parametrize(
    ("machine", "code", "text"),
    [
        (B, Code.VOLUME_IN_USE, "machine-b owns production/pgdata: what is there is the volume"),
        (MachineId("machine-x"), Code.UNKNOWN_MACHINE, "there is no machine machine-x"),
        (C, Code.UNKNOWN_VOLUME, "machine-c has no copy of production/pgdata"),
    ],
)
def test_what_is_no_copy_is_not_dropped(machine: MachineId, code: Code, text: str) -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await move(cluster, "b")
        with pytest.raises(Refused, match=text) as refused:
            await cluster.ask(A, "services", DropCopy(PGDATA, machine))
        assert refused.value.code is code
        assert [bool(datasets(cluster, each)) for each in (A, B)] == [True, True]

    simulate(body)


def test_a_copy_that_may_be_the_only_one_is_not_dropped() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await move(cluster, "b")
        cluster.crash(B)
        with pytest.raises(Refused, match="machine-b does not answer"):
            await cluster.ask(A, "services", DropCopy(PGDATA, A))
        await cluster.boot(B)
        await cluster.agreed()
        cluster[B].docker.take_away(cluster[B].docker.names()[0])
        await cluster[B].zfs.unmount(dataset())
        await cluster[B].zfs.rename(dataset(), "tank/elsewhere")
        with pytest.raises(Refused, match="the copy on machine-a may be all that there is"):
            await cluster.ask(A, "services", DropCopy(PGDATA, A))
        assert datasets(cluster, A) != []

    simulate(body)


def test_while_an_operation_has_the_namespace_no_copy_is_dropped() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await move(cluster, "b")
        tried: list[Code] = []

        async def drop(_: Effect) -> None:
            with pytest.raises(Refused) as refused:
                await cluster.ask(C, "services", DropCopy(PGDATA, A))
            tried.append(refused.value.code)

        cluster.effects.at(on(B, lambda each: each.name == "streams.send", done=False), drop)
        await move(cluster, "a")
        assert tried == [Code.LOCK_HELD]

    simulate(body)
