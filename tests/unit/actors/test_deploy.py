"""Deploys on a whole cluster in one process."""

from __future__ import annotations

import math

import pytest

from ployz.actors.messages.operations import ApplyDeploy
from ployz.errors import Code, Refused
from ployz.host.fakes.docker import Program
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.manifests import DATABASE, DB, PGDATA, A, B, C, manifest, service, volume
from tests.cluster.scenes import (
    add_image,
    dataset,
    datasets,
    deploy,
    deployed,
    events_of,
    left_by,
    local_addresses,
    owner,
    running,
    slot_addresses,
    starts,
)


def test_a_service_is_created_with_its_volume() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        assert running(cluster) == {A: ["db/slot-1"]}
        assert owner(cluster) == (A, 1)
        assert starts(cluster, A) == ["a"]
        assert local_addresses(cluster, A) == slot_addresses(cluster, DB)

    simulate(body)


def test_the_same_manifest_again_changes_nothing() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        head = cluster.head
        outcome = await deploy(cluster)
        assert not outcome.result.committed
        assert cluster.head == head
        assert starts(cluster, A) == ["a"]

    simulate(body)


def test_a_changed_template_replaces_the_container_and_keeps_volume_and_address() -> None:
    async def body(cluster: Cluster) -> None:
        first = await deployed(cluster)
        addresses = slot_addresses(cluster, DB)
        await deploy(cluster, manifest(volume(), service(volumes=("pgdata",), command="serve")))
        assert running(cluster) == {A: ["db/slot-1"]}
        assert starts(cluster, A) == ["a", "a"]
        assert owner(cluster) == (A, 1)
        assert slot_addresses(cluster, DB) == addresses
        assert left_by(cluster, A, first.operation_id) == []

    simulate(body)


def test_a_removed_service_goes_and_its_volume_stays() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await deploy(cluster, manifest(volume()))
        assert running(cluster) == {}
        assert cluster[A].docker.names() == []
        assert starts(cluster, A) == ["a"]
        assert local_addresses(cluster, A) == frozenset()

    simulate(body)


def test_replicas_are_spread_and_keep_their_places_when_more_come() -> None:
    async def body(cluster: Cluster) -> None:
        add_image(cluster)
        await deploy(cluster, manifest(service(placement="{ replicated = { count = 2 } }")))
        before = running(cluster)
        assert sorted(before.values()) == [["db/slot-1"], ["db/slot-2"]]
        await deploy(cluster, manifest(service(placement="{ replicated = { count = 3 } }")))
        after = running(cluster)
        assert sorted(after) == [A, B, C]
        assert after.items() >= before.items()

    simulate(body)


def test_a_global_service_runs_on_every_machine() -> None:
    async def body(cluster: Cluster) -> None:
        add_image(cluster)
        await deploy(cluster, manifest(service("agent", placement='"global"')))
        assert running(cluster) == {machine: [f"agent/{machine}"] for machine in (A, B, C)}

    simulate(body)


def test_a_manifest_that_leaves_a_service_out_removes_it_only_when_that_is_agreed_to() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        before = running(cluster), cluster.head
        other = manifest(service("other"))
        with pytest.raises(Refused, match=r"removes 1 slot of production.*db, 1 slot on machine-a") as refused:
            await cluster.begin(A, ApplyDeploy(other))
        assert refused.value.code is Code.REMOVES
        assert (running(cluster), cluster.head) == before
        outcome = await cluster.run(A, ApplyDeploy(other, remove=True))
        assert outcome.exit_code == 0, outcome.text
        assert list(running(cluster).values()) == [["other/slot-1"]]

    simulate(body)


def test_what_was_written_where_no_mount_is_stops_a_replacement_and_stays_when_its_service_goes() -> None:
    async def body(cluster: Cluster) -> None:
        for machine in cluster.machines.values():
            machine.docker.add_image("postgres:17", volumes=("/pg",))
        await deploy(cluster)
        changed = manifest(volume(), service(volumes=("pgdata",), command="again"))
        await deploy(cluster, changed)
        assert cluster[A].docker.kept_volumes == []

        (name,) = cluster[A].docker.names()
        made = await cluster[A].docker.inspect(name)
        assert made is not None
        (folder,) = [each.folder for each in made.volumes]
        cluster[A].disk.folders.written.add(folder)
        with pytest.raises(Refused, match="db/slot-1 has written to /pg") as refused:
            await cluster.begin(A, ApplyDeploy(DATABASE))
        assert refused.value.code is Code.DATA_UNCOVERED
        await deploy(cluster, manifest(volume()))
        assert (running(cluster), cluster[A].docker.kept_volumes) == ({}, [folder])

    simulate(body)


def test_a_candidate_that_is_never_ready_is_undone_and_the_old_one_runs() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster[A].docker.program = lambda spec: Program(ready_s=math.inf if spec.command else 0)
        outcome = await cluster.run(A, ApplyDeploy(manifest(volume(), service(volumes=("pgdata",), command="broken"))))
        assert (outcome.exit_code, outcome.result.problem and outcome.result.problem.code) == (3, Code.NOT_READY)
        assert "start" in outcome.text
        assert running(cluster) == {A: ["db/slot-1"]}
        assert starts(cluster, A) == ["a", "a", "a"]
        assert left_by(cluster, A, outcome.operation_id) == []
        assert "operation.step_begun" in await events_of(cluster, A, outcome.operation_id)

    simulate(body)


def test_a_new_service_that_never_gets_ready_leaves_nothing() -> None:
    async def body(cluster: Cluster) -> None:
        add_image(cluster)
        for machine in cluster.machines.values():
            machine.docker.program = lambda _: Program(ready_s=math.inf)
        outcome = await cluster.run(A, ApplyDeploy(DATABASE))
        assert outcome.exit_code == 3
        for name in cluster.machines:
            assert cluster[name].docker.names() == []
            assert datasets(cluster, name) == []
            assert local_addresses(cluster, name) == frozenset()

    simulate(body)


def test_an_image_on_one_machine_alone_is_copied_to_the_one_that_needs_it() -> None:
    async def body(cluster: Cluster) -> None:
        image = cluster[C].docker.add_image("postgres:17", size_bytes=5_000_000)
        add_image(cluster, "other:1")
        outcome = await cluster.run(B, ApplyDeploy(manifest(service(placement='"global"'))))
        assert outcome.exit_code == 0, outcome.text
        assert image.id in cluster[A].docker.images
        assert len(running(cluster)) == 3

    simulate(body)


def test_an_image_that_nobody_has_is_pulled_or_the_deploy_is_undone() -> None:
    async def body(cluster: Cluster) -> None:
        outcome = await cluster.run(A, ApplyDeploy(DATABASE))
        assert (outcome.exit_code, outcome.result.problem and outcome.result.problem.code) == (3, Code.IMAGE_MISSING)
        assert datasets(cluster, A) == []
        image = cluster[B].docker.add_image("postgres:17")
        cluster[B].docker.images.clear()
        cluster[A].docker.registry["postgres:17"] = image
        await deploy(cluster)
        assert running(cluster) == {A: ["db/slot-1"]}

    simulate(body)


def test_a_quota_that_changes_is_set_without_touching_the_container() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await deploy(cluster, manifest(volume(quota="1G"), service(volumes=("pgdata",))))
        state = await cluster[A].zfs.state(dataset())
        assert state is not None
        assert state.quota_bytes == 1 << 30
        assert starts(cluster, A) == ["a"]
        assert PGDATA in cluster[A].parts.view.placement.volumes

    simulate(body)
