"""What others take away from a machine comes back by itself, is told, and is not fought for without end."""

from __future__ import annotations

import anyio

from ployz.actors.messages.doctor import Diagnose
from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration, PreviewDeploy
from ployz.actors.messages.services import ListServices
from ployz.config import CANDIDATE_LEASE_S
from ployz.events.types import Event, ImageReceived, PutBack, TakenAway
from ployz.host.fakes.docker import Program
from ployz.host.ports import ContainerSpec
from ployz.ids import MachineId
from ployz.plan.doctor.leftovers import GRACE_MS
from ployz.plan.model import Change
from ployz.plan.struggles import AT_ONCE
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import DATABASE, DB, WEB, A, B, C, manifest, service, volume
from tests.cluster.scenes import add_image, deploy, deployed, running, starts

HERE = {A: ["db/slot-1"]}


async def events(cluster: Cluster, machine: MachineId, *kinds: type[Event]) -> list[Event]:
    return [each.event for each in await cluster[machine].disk.log.read(0, 10_000) if isinstance(each.event, kinds)]


async def told(cluster: Cluster, machine: MachineId = A) -> list[Event]:
    return await events(cluster, machine, TakenAway, PutBack)


async def found(cluster: Cluster) -> list[str]:
    """By the doctor, of A."""
    said = (await cluster.ask(B, "doctor", Diagnose(), timeout_s=60)).findings
    return sorted(each.kind for each in said if each.machine == A)


def only(cluster: Cluster, machine: MachineId = A) -> str:
    (name,) = cluster[machine].docker.names()
    return name


def test_a_container_that_was_removed_by_hand_is_made_again_and_told_of() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        name = only(cluster)
        cluster[A].docker.take_away(name)
        assert running(cluster) == {}
        await cluster.until(lambda: running(cluster) == HERE, within_s=10)
        await anyio.sleep(30)
        assert await told(cluster) == [TakenAway("container", (name,)), PutBack("container", 1)]
        assert only(cluster) == name

    simulate(body)


def test_a_pruned_image_comes_from_a_machine_that_has_it() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        docker = cluster[A].docker
        docker.exit(only(cluster), 1)
        cluster[B].docker.images |= docker.images
        docker.prune()
        assert (docker.images, docker.names()) == ({}, [])
        await cluster.until(lambda: running(cluster) == HERE, within_s=10)
        received = (await events(cluster, A, ImageReceived))[-1]
        assert isinstance(received, ImageReceived)
        assert received.how == "copied"

    simulate(body)


def test_the_network_of_an_idle_machine_is_made_again() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster[B].docker.prune()
        await cluster.until(lambda: cluster[B].docker.network is not None, within_s=30)
        await anyio.sleep(10)
        assert await told(cluster, B) == [TakenAway("network", ("ployz",)), PutBack("network", 1)]

    simulate(body)


def test_a_move_finds_no_network_at_its_target_and_makes_it_before_anything_stops() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster[B].docker.prune()
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text

    simulate(body)


def test_a_held_network_without_its_container_goes_by_itself_and_stands_in_no_move_s_way() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await cluster.run(C, ApplyMigration(DB, B))
        stays = cluster[A].docker
        stays.leave_network(cluster[B].docker.running()[0], "production.db.slot-1.op-before")
        assert (await stays.census()).orphans
        outcome = await cluster.run(C, ApplyMigration(DB, A))
        assert outcome.exit_code == 0, outcome.text
        assert (await stays.census()).orphans == ()

    simulate(body)


def test_a_container_that_lost_its_network_is_made_anew() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster[A].docker.cut_off(only(cluster))
        address = cluster[A].docker.running()[0].ipv4
        assert not cluster[A].docker.answers(address)
        await cluster.until(lambda: cluster[A].docker.answers(address), within_s=30)
        assert [each.kind for each in await told(cluster) if isinstance(each, TakenAway)] == ["connection"]

    simulate(body)


def test_who_takes_away_again_and_again_is_fought_ever_more_rarely() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        name, gone = only(cluster), 0
        for _ in range(600):
            if cluster[A].docker.running():
                cluster[A].docker.take_away(name)
                gone += 1
            await anyio.sleep(1)
        assert 5 <= gone <= 9, "three at once, and then after 30, 60, 120 and 240 s"

    simulate(body)


def test_the_doctor_says_what_is_gone_before_it_is_back_and_who_keeps_taking_it() -> None:
    async def body(cluster: Cluster) -> None:
        for machine in cluster.machines.values():
            machine.overlay.handshake_ages_s = {each.key: 20.0 for each in cluster.machines.values()}
        await deployed(cluster)
        await anyio.sleep(2 * GRACE_MS / 1000)
        name = only(cluster)
        cluster[A].docker.take_away(name)
        (found,) = (await cluster.ask(B, "doctor", Diagnose(), timeout_s=60)).findings
        assert (found.kind, found.machine) == ("taken-away-container", A)
        assert name in found.text
        for _ in range(5):
            await cluster.until(lambda: running(cluster) == HERE, within_s=200)
            cluster[A].docker.take_away(name)
        await anyio.sleep(5)
        (found,) = (await cluster.ask(B, "doctor", Diagnose(), timeout_s=60)).findings
        assert "has put it back 5 times" in found.remedy

    simulate(body)


def test_what_others_change_of_the_overlay_is_found_by_the_doctor_told_and_put_back() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        overlay = cluster[B].overlay
        overlay.changed = {"rules": ("iptables: PLOYZ-FORWARD",), "switches": ("net/ipv4/ip_forward is 0",)}
        found = (await cluster.ask(A, "doctor", Diagnose(), timeout_s=60)).findings
        kinds = {each.kind for each in found if each.machine == B}
        assert {"taken-away-rules", "taken-away-switches"} <= kinds
        await cluster.until(lambda: not overlay.changed, within_s=30)
        await anyio.sleep(10)
        events = await told(cluster, B)
        assert events[:2] == [
            TakenAway("rules", ("iptables: PLOYZ-FORWARD",)),
            TakenAway("switches", ("net/ipv4/ip_forward is 0",)),
        ]
        assert set(events[2:]) == {PutBack("rules", 1), PutBack("switches", 1)}

    simulate(body)


def test_what_an_undo_needs_outlives_a_prune_in_the_cut_over_and_is_given_up_then() -> None:
    """The old container was removed in the cut-over, and nothing but the keeper uses its image."""

    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        docker, target = cluster[A].docker, cluster[B].docker
        before = target.program

        def pruned_meanwhile(spec: ContainerSpec) -> Program:
            if not docker.running() and docker.images:
                docker.prune()
                cluster[B].docker.images.clear()
                return Program(refuses_to_start="it was to fail")
            return before(spec)

        target.program = pruned_meanwhile
        image = dict(docker.images)
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code != 0
        target.program = before
        assert docker.images == image
        await cluster.until(lambda: running(cluster) == HERE, within_s=10)
        await cluster.until(lambda: not docker.keepers, within_s=30)

    simulate(body)


def test_an_image_that_was_pruned_from_under_what_runs_comes_back_and_no_move_stops_anything_before() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        docker = cluster[A].docker
        image = dict(docker.images)
        cluster[B].docker.images.update(image)
        docker.images.clear()
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert (outcome.exit_code, "is being fetched" in outcome.text) == (3, True), outcome.text
        assert running(cluster) == HERE
        await cluster.until(lambda: docker.images == image, within_s=10)
        assert (await cluster.run(C, ApplyMigration(DB, B))).exit_code == 0

    simulate(body)


def test_a_candidate_that_was_pruned_while_its_volume_was_sent_is_made_again_before_anything_stops() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        docker = cluster[B].docker

        async def pruned(effect: Effect) -> None:
            docker.take_away(effect.args[0])

        cluster.effects.at(lambda each: (each.machine, each.name, each.done) == (B, "docker.prepare", True), pruned)
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text
        assert running(cluster) == {B: ["db/slot-1"]}

    simulate(body)


def test_a_deploy_makes_anew_what_somebody_removed() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        name = only(cluster)
        cluster[A].docker.take_away(name)
        preview = await cluster.ask(C, "operations", PreviewDeploy(DATABASE))
        assert [each.change for each in preview.plan.slots] == [Change.REPLACE]
        await cluster.until(lambda: running(cluster) == HERE, within_s=10)
        preview = await cluster.ask(C, "operations", PreviewDeploy(DATABASE))
        assert [each.change for each in preview.plan.slots] == [Change.UNCHANGED]

    simulate(body)


def test_a_container_behind_a_closed_gate_is_not_missed() -> None:
    """Nothing looks again for what an operation has in hand."""

    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 0
        await anyio.sleep(CANDIDATE_LEASE_S * 3)
        assert [*await told(cluster, A), *await told(cluster, B)] == []

    simulate(body)


def test_a_container_that_lost_its_network_and_wrote_where_no_mount_is_keeps_what_it_wrote() -> None:
    async def body(cluster: Cluster) -> None:
        for machine in cluster.machines.values():
            machine.docker.add_image("postgres:17", volumes=("/pg",))
        await deploy(cluster)
        docker, name = cluster[A].docker, only(cluster)
        made = await docker.inspect(name)
        assert made is not None
        cluster[A].disk.folders.written |= {each.folder for each in made.volumes}
        docker.cut_off(name)
        address = docker.running()[0].ipv4
        await cluster.until(lambda: docker.answers(address), within_s=30)
        assert (docker.id_of(name), docker.kept_volumes) == (made.id, [])

    simulate(body)


def test_one_that_is_stopped_for_lost_readiness_gets_its_network_again() -> None:
    """Who looks for what others took away sees only what runs."""

    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(volume(), service(volumes=("pgdata",), extra='on_unready = "restart"')))
        docker, name = cluster[A].docker, only(cluster)
        address = docker.running()[0].ipv4
        docker.cut_off(name)
        await cluster.until(lambda: not docker.running(), within_s=15)
        await cluster.until(lambda: docker.answers(address), within_s=10)

    simulate(body)


def test_one_fault_is_one_finding() -> None:
    """Its network, and so its readiness; its container, and so its slot."""

    async def body(cluster: Cluster) -> None:
        for machine in cluster.machines.values():
            machine.overlay.handshake_ages_s = {each.key: 20.0 for each in cluster.machines.values()}
        await deployed(cluster)
        await anyio.sleep(2 * GRACE_MS / 1000)
        docker = cluster[A].docker
        for _ in range(AT_ONCE + 1):  # from then on it is put back more rarely
            docker.cut_off(only(cluster))
            await cluster.until(lambda: docker.answers(docker.running()[0].ipv4), within_s=200)
        docker.cut_off(only(cluster))
        await anyio.sleep(20)
        assert await found(cluster) == ["taken-away-connection"]
        docker.take_away(only(cluster))
        assert await found(cluster) == ["taken-away-connection", "taken-away-container"]

    simulate(body)


def test_a_job_that_is_done_and_cleaned_away_is_not_done_again() -> None:
    """Nor missed, whatever else is decided or happens to its machine, nor begun by a move."""

    async def body(cluster: Cluster) -> None:
        job = manifest(volume(), service("db", volumes=("pgdata",), restart="on-failure"))
        await deployed(cluster, job)
        docker = cluster[A].docker
        docker.exit(only(cluster), 0)
        await anyio.sleep(5)
        docker.prune()
        add_image(cluster)
        began = starts(cluster, A)
        outcome = await cluster.run(A, ApplyDeploy(job + "\n" + service("web", on="machine-a")))
        assert outcome.exit_code == 0, outcome.text
        cluster.kill(A)
        await cluster.start(A)
        await anyio.sleep(60)
        assert (running(cluster), starts(cluster, A), await told(cluster)) == ({A: ["web/slot-1"]}, began, [])
        rows = (await cluster.ask(B, "services", ListServices())).slots
        assert {str(row.service): row.state for row in rows} == {str(DB): "exited (0)", str(WEB): "running"}
        assert not [each for each in await found(cluster) if each.startswith("slot-")]
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text
        cluster[B].docker.prune()
        await anyio.sleep(60)
        assert (running(cluster), starts(cluster, B)) == ({A: ["web/slot-1"]}, began)

    simulate(body)


def test_what_a_job_ended_with_while_ployzd_was_away_is_known_after_a_prune() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(volume(), service(volumes=("pgdata",), restart="no")))
        docker, name = cluster[A].docker, only(cluster)
        cluster.kill(A)
        docker.exit(name, 0)
        await cluster.start(A)
        await anyio.sleep(30)
        docker.prune()
        add_image(cluster)
        began = starts(cluster, A)
        cluster.kill(A)
        await cluster.start(A)
        await anyio.sleep(60)
        assert (running(cluster), starts(cluster, A)) == ({}, began)

    simulate(body)


def test_what_the_kernel_says_to_be_gone_is_looked_at_at_once_and_not_all_the_time() -> None:
    async def body(cluster: Cluster) -> None:
        await anyio.sleep(30)
        overlay = cluster[A].overlay
        looks = drifts(cluster)
        overlay.take_away("routes", "10.210.0.16 is missing")
        await cluster.until(lambda: not overlay.changed, within_s=2)
        for _ in range(20):
            overlay.take_away("routes")
            await anyio.sleep(0.1)
        assert drifts(cluster) - looks <= 4
        await anyio.sleep(10)
        assert await told(cluster) == [TakenAway("routes", ("10.210.0.16 is missing",)), PutBack("routes", 1)]

    simulate(body)


def drifts(cluster: Cluster) -> int:
    return sum((each.machine, each.name, each.done) == (A, "overlay.drift", True) for each in cluster.effects.seen)
