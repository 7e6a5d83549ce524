"""Migrations that go well, on a whole cluster in one process."""

from __future__ import annotations

from attrs import evolve

from ployz.actors.messages.operations import (
    ApplyDeploy,
    ApplyMigration,
    PreviewMigration,
    RenderMigration,
)
from ployz.actors.transfer import SENDS_MAX
from ployz.events.types import DeployCommitted
from ployz.host.fakes.docker import Program
from ployz.ids import MachineId, SlotName, SlotRef
from ployz.plan import names
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import DB, PGDATA, WAL, A, B, C, manifest, service, volume
from tests.cluster.scenes import (
    add_image,
    dataset,
    datasets,
    deploy,
    deployed,
    left_by,
    local_addresses,
    owner,
    running,
    slot_addresses,
    starts,
)

MIB = 1 << 20


def test_a_database_moves_with_its_volume() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        addresses = slot_addresses(cluster, DB)
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text
        assert running(cluster) == {B: ["db/slot-1"]}
        assert starts(cluster, B) == ["a", "b"]
        assert owner(cluster) == (B, 2)
        assert slot_addresses(cluster, DB) == addresses
        for machine in cluster.machines:
            assert local_addresses(cluster, machine) == (addresses if machine == B else frozenset())

    simulate(body)


def test_nobody_on_the_target_reaches_the_candidate_before_the_commit() -> None:
    """What they wrote to it would be lost with an abort, though it was acknowledged."""

    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        addresses = slot_addresses(cluster, DB)
        closed: list[frozenset[str]] = []

        async def see(effect: Effect) -> None:
            closed.append(cluster[B].overlay.applied[-1].closed)

        cluster.effects.at(lambda each: (each.machine, each.name, each.done) == (B, "docker.start", False), see)
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text
        assert closed == [addresses]
        assert cluster[B].overlay.applied[-1].closed == frozenset()

    simulate(body)


def test_the_network_of_the_candidate_is_made_hidden_while_the_service_runs() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        (ipv4,) = [address for address in slot_addresses(cluster, DB) if ":" not in address]
        hidden: list[tuple[frozenset[str], dict[MachineId, list[str]]]] = []

        async def see(_effect: Effect) -> None:
            hidden.append((cluster[B].overlay.applied[-1].hidden, running(cluster)))

        cluster.effects.at(lambda each: (each.machine, each.name, each.done) == (B, "docker.prepare", False), see)
        cluster.effects.at(lambda each: (each.machine, each.name, each.done) == (B, "docker.start", False), see)
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text
        assert hidden == [(frozenset({ipv4}), {A: ["db/slot-1"]}), (frozenset(), {})]

    simulate(body)


def test_what_an_aborted_move_left_is_not_in_the_way_of_the_network_of_the_next() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        there = cluster[B].docker
        there.program = lambda _: Program(exits=1)
        first = await cluster.run(A, ApplyMigration(DB, B))
        assert first.exit_code == 3
        (spec,) = cluster[A].docker.running()
        left = evolve(
            spec,
            name=names.container(SlotRef(DB, SlotName("slot-1")), first.operation_id),
            labels={**spec.labels, names.LABEL_OPERATION: first.operation_id},
        )
        await there.create(left)
        await there.prepare(left.name)
        there.program = lambda _: Program()
        second = await cluster.run(A, ApplyMigration(DB, B))
        assert second.exit_code == 0, second.text
        assert left.name not in there.names()

    simulate(body)


def test_the_commit_carries_the_rounds_with_equal_guids_on_both_sides() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        facts = await cluster.shared.facts.facts(0, limit=100, wait_s=0)
        (committed,) = [
            each.fact
            for each in facts
            if isinstance(each.fact, DeployCommitted) and each.fact.operation_id == outcome.operation_id
        ]
        assert [each.round for each in committed.evidence] == [1, 2]
        assert committed.evidence == outcome.result.rounds
        first, last = committed.evidence
        assert (first.base, last.base) == (None, first.snapshot)
        for machine in (A, B):
            state = await cluster[machine].zfs.state(dataset())
            assert state is not None
            found = state.snapshot(last.snapshot)
            assert found is not None
            assert found.guid == last.guid

    simulate(body)


def test_the_source_keeps_a_base_that_is_read_only_and_nothing_else() -> None:
    async def body(cluster: Cluster) -> None:
        first = await deployed(cluster)
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        base = names.snapshot(outcome.operation_id, 2)
        state = await cluster[A].zfs.state(dataset())
        assert state is not None
        assert state.readonly
        assert state.mounted_at is None
        assert [each.name for each in state.snapshots] == [base]
        assert left_by(cluster, A, first.operation_id) == []
        assert cluster[A].docker.names() == []
        there = await cluster[B].zfs.state(dataset())
        assert there is not None
        assert [each.name for each in there.snapshots] == [base]
        assert (there.properties["epoch"], state.properties["epoch"]) == ("2", "1")

    simulate(body)


def test_the_way_back_sends_only_what_changed() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster[A].zfs.write(dataset(), "big", bytes(8 * MIB))
        there = await cluster.run(A, ApplyMigration(DB, B))
        assert sum(each.sent_bytes for each in there.result.rounds) > 8 * MIB
        cluster[B].zfs.write(dataset(), "small", bytes(1000))
        back = await cluster.run(A, ApplyMigration(DB, A))
        assert back.exit_code == 0, back.text
        assert sum(each.sent_bytes for each in back.result.rounds) < 3000
        assert back.result.rounds[0].base == names.snapshot(there.operation_id, there.result.rounds[-1].round)
        assert owner(cluster) == (A, 3)
        assert starts(cluster, A) == ["a", "b", "a"]
        assert cluster[A].zfs.files(dataset())["small"] == bytes(1000)

    simulate(body)


def test_there_and_back_and_on_to_a_third_machine() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        for target in (B, A, C, B, A):
            outcome = await cluster.run(B, ApplyMigration(DB, target))
            assert outcome.exit_code == 0, outcome.text
        assert owner(cluster) == (A, 6)
        assert starts(cluster, A) == ["a", "b", "a", "c", "b", "a"]
        assert running(cluster) == {A: ["db/slot-1"]}

    simulate(body)


def test_a_busy_writer_loses_nothing_that_it_wrote_before_it_was_stopped() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster.shared.links.rate_bytes_per_s = MIB
        cluster[A].zfs.write(dataset(), "big", bytes(12 * MIB))
        cluster[A].docker.program = lambda _: Program(stop_s=2.0)
        written = 0

        async def write(effect: Effect) -> None:
            nonlocal written
            written += 1
            cluster[A].zfs.write(dataset(), "written", str(written).encode())

        cluster.effects.at(
            lambda effect: effect.machine == A and effect.name == "docker.stop" and not effect.done, write
        )
        cluster.effects.at(lambda effect: effect.name == "zfs.hold", write, times=3)
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text
        assert written > 1
        assert cluster[B].zfs.files(dataset())["written"] == str(written).encode()
        assert outcome.result.cutover_ms < 4000  # not the 12 s that the data takes
        assert any(line.sent_bytes and line.total_bytes for line in outcome.progress)

    simulate(body)


def test_two_volumes_of_a_service_are_snapshotted_at_one_instant() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(volume(), volume("wal"), service(volumes=("pgdata", "wal"))))
        taken: list[Effect] = []

        async def see(effect: Effect) -> None:
            taken.append(effect)

        cluster.effects.at(lambda effect: effect.name == "zfs.snapshot" and effect.done, see, times=10)
        outcome = await cluster.run(B, ApplyMigration(DB, C))
        assert outcome.exit_code == 0, outcome.text
        assert [sorted(effect.args[0]) for effect in taken] == [[dataset(PGDATA), dataset(WAL)]] * 2
        for each in (PGDATA, WAL):
            assert owner(cluster, each) == (C, 2)
            assert starts(cluster, C, each) == ["a", "c"]

    simulate(body)


def test_many_volumes_are_sent_some_at_a_time() -> None:
    async def body(cluster: Cluster) -> None:
        volumes = [f"v{number}" for number in range(SENDS_MAX + 2)]
        await deployed(cluster, manifest(*map(volume, volumes), service(volumes=tuple(volumes))))
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text
        at_once = [0]
        for effect in cluster.effects.seen:
            if effect.name == "streams.send":
                at_once.append(at_once[-1] + (-1 if effect.done else 1))
        assert max(at_once) == SENDS_MAX
        assert at_once[-1] == 0

    simulate(body)


def test_a_service_without_volumes_moves_too() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(service()))
        (source,) = running(cluster)
        target = B if source != B else C
        addresses = slot_addresses(cluster, DB)
        outcome = await cluster.run(A, ApplyMigration(DB, target))
        assert outcome.exit_code == 0, outcome.text
        assert running(cluster) == {target: ["db/slot-1"]}
        assert local_addresses(cluster, target) == addresses
        assert datasets(cluster, target) == []

    simulate(body)


def test_other_services_of_the_namespace_are_left_alone() -> None:
    async def body(cluster: Cluster) -> None:
        add_image(cluster)
        add_image(cluster, "web:1")
        web = service("web", image="web:1", placement="{ replicated = { count = 3 } }")
        await deploy(cluster, manifest(volume(), service(volumes=("pgdata",)), web))
        before = {machine: [each for each in slots if "web" in each] for machine, slots in running(cluster).items()}
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text
        after = {machine: [each for each in slots if "web" in each] for machine, slots in running(cluster).items()}
        assert after == before
        ended = [effect for effect in cluster.effects.seen if effect.name == "docker.stop" and "web" in effect.args[0]]
        assert ended == []

    simulate(body)


def test_the_image_is_copied_where_only_the_source_has_it() -> None:
    async def body(cluster: Cluster) -> None:
        image = cluster[A].docker.add_image("postgres:17")
        await deploy(cluster)
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text
        assert image.id in cluster[B].docker.images

    simulate(body)


def test_a_preview_changes_nothing_and_says_what_apply_does() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        head, seen = cluster.head, len(cluster.effects.seen)
        preview = await cluster.ask(C, "operations", PreviewMigration(DB, B))
        assert preview.plan.blockers == ()
        assert cluster.head == head
        changing = ("create", "set", "snapshot", "hold", "mount", "start", "stop", "transact", "append", "send")
        assert [each for each in cluster.effects.seen[seen:] if each.name.endswith(changing)] == []
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.result.plan is not None
        assert outcome.result.plan.slots == preview.plan.slots
        phases = [each.name for each in preview.phases]
        assert list(dict.fromkeys(line.phase for line in outcome.progress)) == phases

    simulate(body)


def test_the_rendered_manifest_does_what_migrate_does() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        rendered = await cluster.ask(A, "operations", RenderMigration(DB, B))
        outcome = await cluster.run(A, ApplyDeploy(rendered.toml))
        assert outcome.exit_code == 0, outcome.text
        assert running(cluster) == {B: ["db/slot-1"]}
        assert owner(cluster) == (B, 2)

    simulate(body)


def test_the_watch_gives_every_line_once_and_then_the_result() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        outcome = await cluster.run(B, ApplyMigration(DB, B))
        assert [line.seq for line in outcome.progress] == list(range(1, len(outcome.progress) + 1))
        assert list(dict.fromkeys(line.phase for line in outcome.progress)) == [
            "lock",
            "prepare",
            "pre-copy",
            "cut-over",
            "commit",
            "follow",
            "clean-up",
        ]
        again = await cluster.watch(B, outcome.operation_id)
        assert again == outcome

    simulate(body)
