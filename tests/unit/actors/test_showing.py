"""What operators see and remove: services, volumes, machines, operations and events, asked on any machine."""

from __future__ import annotations

import anyio
import pytest
from attrs import evolve

from ployz.actors.messages.events import EventsPage, ReadEvents, VerifyEvents
from ployz.actors.messages.machine import ListMachines, Ping, SetCluster, SetMachine, ShowMachine
from ployz.actors.messages.operations import (
    ApplyMigration,
    ListDeploys,
    PreviewMigration,
    RemoveService,
    ShowDeploy,
)
from ployz.actors.messages.services import (
    ListServices,
    ListVolumes,
    ReadServiceLogs,
    RemoveVolume,
    ShowService,
    ShowVolume,
)
from ployz.errors import CleanupPending, Code, Refused
from ployz.host.fakes.docker import Program
from ployz.host.fakes.overlay import made_up_key
from ployz.ids import MachineId, ServiceRef, SlotName, VolumeRef
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.manifests import DB, PGDATA, A, B, C, manifest, service, volume
from tests.cluster.scenes import datasets, deploy, deployed, left_by, running

# ---------------------------------------------------------------- services


def test_services_are_listed_from_everywhere_as_docker_has_them() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(volume(), service(volumes=("pgdata",), restart="no")))
        for machine in cluster.machines:
            listed = await cluster.ask(machine, "services", ListServices())
            assert [(each.service, each.machine, each.state) for each in listed.slots] == [(DB, A, "running")]
        cluster[A].docker.exit(cluster[A].docker.names()[0], 4)
        listed = await cluster.ask(B, "services", ListServices())
        assert listed.slots[0].state == "exited (4)"
        cluster.crash(A)
        listed = await cluster.ask(B, "services", ListServices())
        assert listed.slots[0].state == "unknown"

    simulate(body)


def test_a_service_that_is_fenced_is_shown_so() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster[B].docker.program = lambda _: Program(start_s=5.0)
        operation_id = await cluster.begin(C, ApplyMigration(DB, B))
        await cluster.until(lambda: cluster[A].parts.local.fences != {}, within_s=10)
        await anyio.sleep(1)
        listed = await cluster.ask(C, "services", ListServices())
        assert listed.slots[0].state in {"fenced", "missing"}
        assert (await cluster.watch(C, operation_id)).exit_code == 0

    simulate(body)


def test_a_service_is_shown_with_its_manifest_and_volumes() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(volume(), service(volumes=("pgdata",)), service("web")))
        detail = await cluster.ask(C, "services", ShowService(DB))
        assert 'name = "db"' in detail.toml
        assert "web" not in detail.toml
        assert detail.volumes == (PGDATA,)
        with pytest.raises(Refused) as refusal:
            await cluster.ask(C, "services", ShowService(ServiceRef.parse("production/nothing")))
        assert refusal.value.code == Code.UNKNOWN_SERVICE

    simulate(body)


def test_the_logs_of_one_slot_are_read_where_it_runs() -> None:
    async def body(cluster: Cluster) -> None:
        for machine in cluster.machines.values():
            machine.docker.program = lambda spec: Program(output=f"hello from {spec.hostname}\n")
        await deployed(cluster, manifest(service(placement="{ replicated = { count = 2 } }")))
        text = (await cluster.ask(C, "services", ReadServiceLogs(DB, SlotName("slot-2"), 10))).text
        assert text == "hello from db-slot-2\n"
        with pytest.raises(Refused, match="several slots"):
            await cluster.ask(C, "services", ReadServiceLogs(DB, None, 10))

    simulate(body)


def test_a_removed_service_leaves_its_volume_which_can_then_be_removed() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await cluster.run(A, ApplyMigration(DB, B))
        assert (await cluster.run(C, RemoveService(DB))).exit_code == 0
        assert running(cluster) == {}
        with pytest.raises(Refused) as refusal:
            await cluster.ask(C, "services", RemoveVolume(PGDATA))
        assert refusal.value.code == Code.VOLUME_IN_USE
        await deploy(cluster, manifest())
        await cluster.ask(C, "services", RemoveVolume(PGDATA))
        for machine in cluster.machines:  # the base that the move left on A too
            assert datasets(cluster, machine) == []
        with pytest.raises(Refused) as refusal:
            await cluster.ask(C, "services", ShowVolume(PGDATA))
        assert refusal.value.code == Code.UNKNOWN_VOLUME

    simulate(body)


# ---------------------------------------------------------------- volumes


def test_a_volume_is_shown_with_all_its_copies() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await cluster.run(A, ApplyMigration(DB, B))
        (row,) = (await cluster.ask(C, "services", ListVolumes())).volumes
        assert (row.volume, row.owner, row.epoch, row.used_by) == (PGDATA, B, 2, (DB,))
        detail = await cluster.ask(C, "services", ShowVolume(PGDATA))
        assert [(each.machine, each.epoch, each.owner) for each in detail.copies] == [(A, 1, False), (B, 2, True)]
        cluster.crash(A)
        detail = await cluster.ask(C, "services", ShowVolume(PGDATA))
        assert detail.unanswered == (A,)

    simulate(body)


def test_a_volume_is_removed_although_a_machine_with_a_copy_is_away() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await cluster.run(A, ApplyMigration(DB, B))
        await cluster.run(A, ApplyMigration(DB, C))
        await deploy(cluster, manifest())
        cluster.crash(B)
        with pytest.raises(CleanupPending, match="machine-b"):
            await cluster.ask(A, "services", RemoveVolume(PGDATA), timeout_s=200)
        assert datasets(cluster, C) == []
        assert VolumeRef.parse("production/pgdata") not in cluster[A].parts.view.placement.volumes

    simulate(body)


# ---------------------------------------------------------------- machines


def test_machines_are_listed_with_those_that_do_not_answer() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster.crash(C)
        listed = await cluster.ask(B, "machine", ListMachines())
        assert [(each.machine, each.reachable, each.founder, each.slots) for each in listed.machines] == [
            (A, True, True, 1),
            (B, True, False, 0),
            (C, False, False, 0),
        ]

    simulate(body)


def test_a_ping_says_how_far_a_machine_is() -> None:
    async def body(cluster: Cluster) -> None:
        pong = await cluster.ask(C, "machine", Ping())
        assert (pong.machine, pong.position) == (C, cluster.head)

    simulate(body)


# ---------------------------------------------------------------- operations


def test_operations_are_listed_newest_first_with_how_they_ended() -> None:
    async def body(cluster: Cluster) -> None:
        first = await deployed(cluster)
        cluster[B].docker.program = lambda _: Program(exits=1)
        second = await cluster.run(B, ApplyMigration(DB, B))
        listed = await cluster.ask(C, "operations", ListDeploys(10))
        assert [(each.operation_id, each.status, each.coordinator) for each in listed.deploys] == [
            (second.operation_id, "aborted", B),
            (first.operation_id, "committed", A),
        ]
        assert "ready" in listed.deploys[0].reason

    simulate(body)


def test_an_operation_is_shown_and_watched_on_any_machine() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        outcome = await cluster.run(B, ApplyMigration(DB, C))
        shown = await cluster.ask(A, "operations", ShowDeploy(outcome.operation_id))
        assert (shown.row.status, shown.evidence) == ("committed", outcome.result.rounds)
        assert shown.participants == (A, B, C)
        assert await cluster.watch(A, outcome.operation_id) == outcome

    simulate(body)


def test_the_coordinator_says_in_its_log_how_it_ended_and_how_long_it_took() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        outcome = await cluster.run(B, ApplyMigration(DB, C))
        await anyio.sleep(1)
        shown = await cluster.ask(B, "operations", ShowDeploy(outcome.operation_id))
        assert shown.cutover_ms == outcome.result.cutover_ms > 0
        assert shown.cutover is not None
        assert shown.cutover.parts == outcome.result.parts
        assert shown.cutover.predicted_ms == outcome.result.predicted_cutover_ms > 0
        elsewhere = await cluster.ask(A, "operations", ShowDeploy(outcome.operation_id))
        row = evolve(elsewhere.row, started_ms=shown.row.started_ms, decided_ms=shown.row.decided_ms)
        assert evolve(elsewhere, row=row) == shown  # but for the clock of the machine that is asked
        assert shown.cutover.last_bytes == outcome.result.last_bytes == outcome.result.rounds[-1].sent_bytes
        assert left_by(cluster, B, outcome.operation_id) == []

    simulate(body)


def test_a_slow_stop_that_was_seen_once_is_predicted_and_said_before_anything_stops() -> None:
    async def body(cluster: Cluster) -> None:
        for machine in cluster.machines.values():
            machine.docker.program = lambda _: Program(start_s=0.5, stop_s=4.0)
        await deployed(cluster)
        first = await cluster.run(C, ApplyMigration(DB, B))
        assert first.result.predicted_cutover_ms < first.result.cutover_ms / 2
        previewed = await cluster.ask(C, "operations", PreviewMigration(DB, A))
        assert previewed.plan.expected is not None
        assert previewed.plan.expected.basis == "its own cut-overs"
        second = await cluster.run(C, ApplyMigration(DB, A))
        assert second.result.predicted_cutover_ms == pytest.approx(second.result.cutover_ms, rel=0.1)
        (said,) = [each.text for each in second.progress if "is expected to" in each.text]
        assert f"{second.result.predicted_cutover_ms} ms, by its own cut-overs" in said

    simulate(body)


# ---------------------------------------------------------------- events


def test_the_log_is_read_by_operation_tailed_and_verified() -> None:
    async def body(cluster: Cluster) -> None:
        outcome = await deployed(cluster)
        found = await cluster.ask(A, "events", ReadEvents(0, 100, 0, operation_id=outcome.operation_id))
        assert {each.operation_id for each in found.events} == {outcome.operation_id}
        newest = await cluster.ask(A, "events", ReadEvents(-1, 3, 0))
        assert [each.seq for each in newest.events] == [found.head - 2, found.head - 1, found.head]

        pages: list[EventsPage] = []

        async def tail() -> None:
            pages.append(await cluster.ask(A, "events", ReadEvents(newest.head, 100, 30)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tail)
            await anyio.sleep(5)
            assert pages == []
            cluster[A].docker.exit(cluster[A].docker.names()[0], 1)
        assert [each.name for each in pages[0].events] == ["container.exited"]
        assert (await cluster.ask(A, "events", VerifyEvents())).findings == ()

    simulate(body)


def test_a_machine_is_set_from_any_other_and_every_one_knows() -> None:
    async def body(cluster: Cluster) -> None:
        settings = ("gateway=on", "bandwidth=1024K", "label.zone=cellar")
        row = (await cluster.ask(B, "machine", SetMachine(C, settings))).row
        assert [f"{each.key}={each.value}" for each in row.settings] == [
            "gateway=on",
            "bandwidth=1M",
            "mtu=auto",
            "label.zone=cellar",
        ]
        await cluster.agreed()
        for machine in cluster.machines:
            shown = await cluster.ask(machine, "machine", ShowMachine(C))
            assert shown.row.settings == row.settings
        before = cluster.head
        await cluster.ask(A, "machine", SetMachine(C, ("gateway=on",)))
        assert cluster.head == before

    simulate(body)


def test_the_cluster_is_set_from_any_machine_and_every_one_knows() -> None:
    async def body(cluster: Cluster) -> None:
        told = await cluster.ask(B, "machine", SetCluster("isolation=on"))
        assert [(each.key, each.value, each.is_default) for each in told.settings] == [("isolation", "on", False)]
        await cluster.agreed()
        assert all(cluster[machine].parts.view.machines.settings.isolation for machine in cluster.machines)
        before = cluster.head
        await cluster.ask(A, "machine", SetCluster("isolation=on"))
        assert cluster.head == before
        for wrong in ("isolation", "isolation=maybe", "gateway=on"):
            with pytest.raises(Refused) as caught:
                await cluster.ask(A, "machine", SetCluster(wrong))
            assert caught.value.code is Code.INVALID_SETTING

    simulate(body)


def test_a_machine_whose_address_changes_is_looked_for_where_it_is_said_to_be_and_shown_where_it_is_heard() -> None:
    async def body(cluster: Cluster) -> None:
        told = (await cluster.ask(B, "machine", SetMachine(C, ("endpoint=203.0.113.9:051820",)))).row
        assert told.endpoint == "203.0.113.9:51820"
        await cluster.agreed()
        for each in (A, B):
            (peer,) = [peer for peer in cluster[each].overlay.applied[-1].peers if peer.public_key == made_up_key(C)]
            assert peer.endpoint == "203.0.113.9:51820"
        before = cluster.head
        await cluster.ask(A, "machine", SetMachine(C, ("endpoint=203.0.113.9:51820",)))
        with pytest.raises(Refused, match=f"is the endpoint of {C}"):
            await cluster.ask(A, "machine", SetMachine(B, ("endpoint=203.0.113.9:51820",)))
        assert cluster.head == before

        cluster[A].overlay.heard_at[made_up_key(C)] = "203.0.113.10:4711"
        assert (await cluster.ask(A, "machine", ShowMachine(C))).row.heard_at == ""  # of no handshake
        cluster[A].overlay.handshake_ages_s[made_up_key(C)] = 1.0
        assert (await cluster.ask(A, "machine", ShowMachine(C))).row.heard_at == "203.0.113.10:4711"

    simulate(body)


def test_what_cannot_be_set_is_refused_and_changes_nothing() -> None:
    async def body(cluster: Cluster) -> None:
        before = cluster.head
        for settings in (("gateway=on", "speed=1"), ("gateway=on", "gateway=off"), ("gateway",), ()):
            with pytest.raises(Refused) as refusal:
                await cluster.ask(A, "machine", SetMachine(B, settings))
            assert refusal.value.code == Code.INVALID_SETTING
        with pytest.raises(Refused, match="there is no machine machine-x"):
            await cluster.ask(A, "machine", SetMachine(MachineId("machine-x"), ("gateway=on",)))
        assert cluster.head == before

    simulate(body)
