"""`doctor`: what is spoiled on one machine is found from another one, and what is well is not."""

from __future__ import annotations

import anyio
from attrs import evolve

from ployz.actors.messages.doctor import Diagnose, ListVersions
from ployz.actors.messages.machine import SetMachine
from ployz.actors.messages.operations import AbortOperation, ApplyDeploy, ApplyMigration
from ployz.errors import Code, Failed
from ployz.host.fakes.docker import Program
from ployz.host.ports import ContainerSpec, ExpiringCertificate, HangingMount, StateRoom
from ployz.ids import Certificate, MachineId, OperationId, SlotName, SlotRef
from ployz.plan import names
from ployz.plan.doctor.findings import DAY_MS
from ployz.plan.doctor.leftovers import GRACE_MS
from ployz.projections.operations import Status
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import DATABASE, DB, PGDATA, A, B, C
from tests.cluster.scenes import ROOT, add_image, dataset, deployed

STRANGE = OperationId("op-strange")


async def well(cluster: Cluster) -> None:
    """Everybody has shaken hands with everybody."""
    for machine in cluster.machines.values():
        machine.overlay.handshake_ages_s = {each.key: 20.0 for each in cluster.machines.values()}


async def told(cluster: Cluster, by: MachineId = A) -> set[tuple[str, MachineId | None]]:
    diagnosis = await cluster.ask(by, "doctor", Diagnose(), timeout_s=300.0)
    assert diagnosis.machines == tuple(cluster.machines)
    return {(each.kind, each.machine) for each in diagnosis.findings}


async def text_of(cluster: Cluster, kind: str) -> tuple[str, str]:
    """Of the only finding of this kind: what is wrong, and what to do."""
    diagnosis = await cluster.ask(A, "doctor", Diagnose(), timeout_s=300.0)
    (found,) = [each for each in diagnosis.findings if each.kind == kind]
    return found.text, found.remedy


def test_a_cluster_that_is_well_has_no_findings_before_and_after_a_move() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        await deployed(cluster)
        assert await told(cluster) == set()
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 0
        await anyio.sleep(2 * GRACE_MS / 1000)
        for machine in cluster.machines:
            assert await told(cluster, by=machine) == set()

    simulate(body)


def test_nothing_of_a_move_that_goes_on_is_a_leftover() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        await deployed(cluster)
        operation_id = await cluster.begin(C, ApplyMigration(DB, B))
        while (await told(cluster)) == set():
            if cluster[A].parts.view.operations.undecided() == []:
                break
            await anyio.sleep(0.05)
        assert (await cluster.watch(C, operation_id)).exit_code == 0
        assert await told(cluster) == set()

    simulate(body)


def test_a_machine_that_is_off_is_a_finding_and_the_others_are_examined() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        cluster[B].premises.lacks.append("nft: install nftables")
        cluster.kill(C)
        assert await told(cluster) == {("machine-silent", C), ("requirement-missing", B)}

    simulate(body)


def test_without_its_authority_a_machine_says_that_nothing_can_be_committed() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        cluster.kill(A)
        assert await told(cluster, by=B) == {("authority-away", None), ("machine-silent", A)}

    simulate(body)


def test_a_docker_that_is_dead_a_pool_that_is_suspended_and_a_link_that_is_dead_are_found() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        cluster[A].docker.engine_down()
        cluster[B].zfs.health = "SUSPENDED"
        del cluster[C].overlay.handshake_ages_s[cluster[B].key]
        assert await told(cluster) == {("look-failed", A), ("pool-broken", B), ("handshake-old", C)}

    simulate(body)


def test_a_way_that_loses_large_packets_is_found_and_mended_by_what_is_advised() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        cluster.network.packet_bytes = {frozenset({A, B}): 1340, frozenset({B, C}): 1340}
        text, remedy = await text_of(cluster, "packets-lost")
        assert text.startswith("packets of 1420 bytes are lost between it and machine-a, machine-c")
        assert remedy.endswith("ployzctl machine set machine-b mtu=1328")
        await cluster.ask(C, "machine", SetMachine(B, ("mtu=1328",)))
        await cluster.agreed()
        assert {peer.mtu for peer in cluster[B].overlay.applied[-1].peers} == {1328}
        assert await told(cluster) == set()

    simulate(body)


def mtus(cluster: Cluster, machine: MachineId) -> dict[str, int]:
    return {peer.public_key: peer.mtu for peer in cluster[machine].overlay.applied[-1].peers}


def test_a_narrow_interface_on_the_way_is_followed_by_itself_and_is_no_change_by_others() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        cluster[A].overlay.narrow = {cluster[B].key: 1400}
        await anyio.sleep(30)
        assert mtus(cluster, A) == {cluster[B].key: 1400, cluster[C].key: 1420}
        assert mtus(cluster, B) == {cluster[A].key: 1400, cluster[C].key: 1420}, "its own interface takes more"
        cluster.network.packet_bytes = {frozenset({A, B}): 1400}
        assert await told(cluster) == set()
        await anyio.sleep(600)
        assert mtus(cluster, B)[cluster[A].key] == 1400, "it is said again"
        cluster[A].overlay.narrow = {}
        await anyio.sleep(30)
        assert set(mtus(cluster, A).values()) == {1420}
        await anyio.sleep(300)
        assert set(mtus(cluster, B).values()) == {1420}, "it is not said any more"

    simulate(body)


def test_a_mirror_that_stands_still_is_behind() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        cluster.network.lose(lambda packet: (packet.source, packet.to) == (C, "facts"), reply=True, times=1000)
        await cluster.ask(A, "machine", SetMachine(A, ("label.zone=cellar",)))
        assert await told(cluster) == {("facts-behind", C)}

    simulate(body)


def test_keys_and_certificates_are_looked_at_on_the_disk() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        cluster[B].premises.own = Certificate("AAAA")
        ends_ms = cluster.shared.clock.wall_ms() + 6 * DAY_MS - 1
        cluster[C].premises.expiring = [
            ExpiringCertificate("/a.pem", ends_ms),
            ExpiringCertificate("/b.pem", 0, "no PEM"),
        ]
        assert await told(cluster) == {("identity", B), ("certificate-ends", C), ("certificate-broken", C)}
        assert await text_of(cluster, "certificate-ends") == (
            "certificate /a.pem ends in 5 days",
            "Put a new one in its place: the gateway takes it by itself.",
        )

    simulate(body)


def test_a_state_folder_that_fills_up_is_told_of_by_its_file_system() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        cluster[B].premises.room = StateRoom("/var", 100 << 20, 9 << 20, 1000, 500)
        cluster[C].premises.room = StateRoom("/", 100 << 20, 50 << 20, 1000, 0)
        assert await told(cluster) == {("state-folder-nearly-full", B), ("state-folder-full", C)}

    simulate(body)


def test_a_look_that_hangs_is_told_of_and_keeps_no_other_from_its_answer() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)

        async def hang(_: Effect) -> None:
            await anyio.sleep_forever()

        cluster.effects.at(lambda each: (each.machine, each.name) == (B, "premises.missing"), hang)
        cluster[B].zfs.health = "DEGRADED"
        assert await told(cluster) == {("look-failed", B), ("pool-degraded", B)}

    simulate(body)


# ---------------------------------------------------------------- what lies there without an operation


def test_a_snapshot_of_an_operation_that_nobody_knows_is_a_leftover_and_held_another_one() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        await deployed(cluster)
        name = names.snapshot(STRANGE, 1)
        await cluster[A].zfs.snapshot([dataset()], name)
        await cluster[A].zfs.snapshot([dataset()], "daily-1")  # not ours
        assert await told(cluster) == {("leftover-snapshot", A)}
        assert await text_of(cluster, "leftover-snapshot") == (
            f"snapshot {dataset()}@{name} is of operation op-strange, which no fact names",
            f"If nobody needs it: zfs destroy {dataset()}@{name}",
        )
        await cluster[A].zfs.hold(dataset(), name, names.HOLD_TAG)
        assert await told(cluster) == {("leftover-snapshot", A), ("leftover-hold", A)}

    simulate(body)


def test_a_dataset_where_a_volume_would_be_is_a_leftover() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        await deployed(cluster)
        await cluster[B].zfs.create(f"{ROOT}/production/other", {})
        await cluster[C].zfs.create(f"{ROOT}/production/a/b", {})
        found = await told(cluster)
        assert found == {("leftover-dataset", B), ("leftover-dataset", C)}

    simulate(body)


def test_a_volume_that_its_owner_does_not_have_is_an_error() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        await deployed(cluster)
        (container,) = cluster[A].docker.names()
        await cluster[A].docker.stop(container, grace_s=0)
        await cluster[A].zfs.unmount(dataset())
        await cluster[A].zfs.destroy(dataset())
        assert ("look-failed", A) in await told(cluster)
        text, _ = await text_of(cluster, "look-failed")
        assert f"volume {PGDATA} is owned by this machine, and its dataset is not there" in text

    simulate(body)


def test_containers_and_guards_of_no_operation_are_leftovers() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        await deployed(cluster)
        (running,) = cluster[A].docker.running()
        slot = SlotRef(DB, SlotName("slot-9"))
        name = names.container(slot, STRANGE)
        labels = names.labels(slot, STRANGE, "hash")
        spec = ContainerSpec(name, running.image_id, labels, "fd00::9", "10.210.9.9")
        await cluster[B].docker.create(spec)
        await cluster[B].docker.create(evolve(spec, name="mine", labels={"ployz.operation": "Not One!"}))
        await cluster[C].guards.guard(name, 1e9)
        assert await told(cluster) == {("leftover-container", B), ("leftover-guard", C)}

    simulate(body)


def test_a_door_that_nobody_closed_is_a_leftover() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        cluster[B].overlay.strange_doors = frozenset({"10.210.1.1"})
        assert await told(cluster) == {("leftover-door", B)}

    simulate(body)


def test_what_an_aborted_move_could_not_take_away_is_a_leftover_once_it_had_its_time() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        await deployed(cluster)

        stuck = Failed(Code.DOCKER_FAILED, "it cannot be removed")
        cluster.effects.fail(B, "docker.remove", stuck, times=1_000_000)
        cluster[B].docker.program = lambda _: Program(refuses_to_start="no room")
        operation_id = await cluster.begin(C, ApplyMigration(DB, B))
        operations = cluster[A].parts.view.operations
        await cluster.until(lambda: operations.status(operation_id) is Status.ABORTED, within_s=60.0)
        assert await told(cluster) == set()
        await anyio.sleep(GRACE_MS / 1000)
        assert ("leftover-container", B) in await told(cluster)
        text, remedy = await text_of(cluster, "leftover-container")
        assert text.endswith("which was aborted")
        assert "systemctl restart ployzd" in remedy

    simulate(body)


def test_the_beginning_of_a_stream_that_could_not_be_dropped_is_a_leftover_once_it_had_its_time() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        await deployed(cluster)
        for target in (C, A):  # so that C has a copy of an older epoch, which the next stream goes on from
            assert (await cluster.run(A, ApplyMigration(DB, target))).exit_code == 0
        cluster.effects.fail(C, "zfs.abort_receive", Failed(Code.DATASET_BUSY, "dataset is busy"), times=1_000_000)
        cluster.shared.links.rate_bytes_per_s = 1
        operation_id = await cluster.begin(A, ApplyMigration(DB, C))
        await anyio.sleep(20)
        await cluster.ask(A, "operations", AbortOperation(operation_id))
        await cluster.watch(A, operation_id)
        assert await told(cluster) == set()
        await anyio.sleep(GRACE_MS / 1000)
        assert ("leftover-dataset", C) in await told(cluster)
        text, remedy = await text_of(cluster, "leftover-dataset")
        assert text.endswith("which was aborted, and holds the beginning of a stream")
        assert "systemctl restart ployzd" in remedy

    simulate(body)


# ---------------------------------------------------------------- versions


def test_every_machine_says_what_it_speaks_or_why_it_does_not() -> None:
    async def body(cluster: Cluster) -> None:
        cluster.kill(C)
        speakers = (await cluster.ask(A, "doctor", ListVersions())).speakers
        assert [each.name for each in speakers] == [A, B, C]
        assert speakers[0].spoken == speakers[1].spoken is not None
        assert (speakers[2].spoken, speakers[2].problem is None) == (None, False)

    simulate(body)


def test_mounts_that_hang_are_found_on_their_machine() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        cluster.machines[B].zfs.hanging.append(HangingMount("zfs mount tank/ployz/x/y", 75, by_daemon=True))
        assert await told(cluster) == {("mounts-hang", B)}
        text, remedy = await text_of(cluster, "mounts-hang")
        assert "`zfs mount tank/ployz/x/y` has not ended for 75 s" in text
        assert "zfs-fuse" in remedy

    simulate(body)


def test_a_deploy_to_a_machine_whose_mounts_hang_says_so_and_nobody_is_told_to_restart_ployzd() -> None:
    async def body(cluster: Cluster) -> None:
        await well(cluster)
        add_image(cluster)
        for machine in cluster.machines.values():
            machine.zfs.hanging.append(HangingMount("zfs mount tank/ployz/x/y", 75, by_daemon=True))
        outcome = await cluster.run(A, ApplyDeploy(DATABASE))
        assert outcome.result.problem is not None
        assert outcome.result.problem.code is Code.MOUNT_HANGS
        assert "restart of ployzd does not help" in outcome.result.problem.advice
        diagnosis = await cluster.ask(A, "doctor", Diagnose(), timeout_s=300.0)
        assert {each.kind for each in diagnosis.findings} >= {"mounts-hang"}
        assert all("systemctl restart ployzd" not in each.remedy for each in diagnosis.findings)

    simulate(body)
