"""Volumes whose owner is off, taken over by an operator's word: what goes on from where, and what comes back."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import pytest

from ployz.actors.messages.operations import ApplyMigration, ListDeploys
from ployz.actors.messages.services import ShowVolume
from ployz.actors.messages.takeover import PreviewTakeover, TakenOver, TakeOverVolume
from ployz.config import ALONE_START_S
from ployz.errors import CleanupPending, Code, Refused
from ployz.events.types import OperationKind, VolumeSetAside, VolumeTakenOver
from ployz.facts.port import Transaction
from ployz.ids import MachineId, OperationId
from ployz.plan import names
from ployz.projections.operations import Status
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import DB, PGDATA, WAL, A, B, C, manifest, service, volume
from tests.cluster.scenes import (
    add_image,
    dataset,
    datasets,
    deploy,
    deployed,
    owner,
    running,
    slot_addresses,
    starts,
)

SETTLED_S = 120.0


async def on_b(cluster: Cluster) -> None:
    """On B, with a retired copy on C; A is the authority. What B wrote last is not on C."""
    await deployed(cluster)
    for target in (C, B):
        outcome = await cluster.run(A, ApplyMigration(DB, target))
        assert outcome.exit_code == 0, outcome.text
    cluster[B].zfs.write(dataset(), "late", b"acknowledged")


async def dies_as_it_moves(cluster: Cluster) -> OperationId:
    """B dies when a first copy is on C, and its service is about to be stopped."""
    assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0
    await anyio.sleep(5)
    dying = anyio.Event()

    async def die(_: Effect) -> None:
        cluster.crash(B)
        dying.set()
        await anyio.sleep_forever()

    cluster.effects.at(lambda effect: effect.machine == B and effect.name == "docker.stop" and not effect.done, die)
    operation_id = await cluster.begin(A, ApplyMigration(DB, C))
    await dying.wait()
    view = cluster[A].parts.view
    await cluster.until(lambda: view.operations.status(operation_id) is Status.ABORTED, within_s=SETTLED_S)
    await anyio.sleep(SETTLED_S)
    return operation_id


async def take_over(cluster: Cluster, target: MachineId = C, *, by: MachineId = A) -> TakenOver:
    plan = await cluster.ask(by, "takeover", PreviewTakeover(PGDATA, target))
    snapshots = tuple(each.snapshot for each in plan.volumes)
    return await cluster.ask(by, "takeover", TakeOverVolume(PGDATA, target, snapshots), timeout_s=200)


async def runs_on(cluster: Cluster, machine: MachineId) -> None:
    await cluster.until(
        lambda: running(cluster) == {machine: ["db/slot-1"]}, within_s=SETTLED_S, what=f"it runs on {machine} alone"
    )


# ---------------------------------------------------------------- taking over


def test_a_dead_owners_volume_goes_on_elsewhere_from_the_newest_snapshot_at_the_kept_addresses() -> None:
    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        addresses = slot_addresses(cluster, DB)
        cluster.crash(B)
        taken = await take_over(cluster)
        await runs_on(cluster, C)
        assert owner(cluster) == (C, 4)
        assert slot_addresses(cluster, DB) == addresses
        assert starts(cluster, C) == ["a", "c", "c"]  # what B added is given up
        assert "late" not in cluster[C].zfs.files(dataset())
        assert taken.plan.from_machine == B
        rows = (await cluster.ask(A, "operations", ListDeploys(1))).deploys
        assert [(row.kind, row.status) for row in rows] == [(OperationKind.TAKEOVER, Status.COMMITTED)]

    simulate(body)


def test_an_owner_that_comes_back_starts_nothing_and_keeps_what_it_had_aside() -> None:
    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        cluster.crash(B)
        taken = await take_over(cluster)
        await runs_on(cluster, C)
        await cluster.boot(B)
        await cluster.agreed()
        await cluster.until(lambda: datasets(cluster, B) == [], within_s=SETTLED_S, what="B has set it aside")
        await anyio.sleep(SETTLED_S)
        assert running(cluster) == {C: ["db/slot-1"]}
        aside = names.aside("tank/ployz", PGDATA, taken.operation_id)
        events = [record.event for record in await cluster[B].disk.log.read(0, 10_000)]
        assert [each for each in events if isinstance(each, VolumeSetAside)] == [VolumeSetAside(PGDATA, aside)]
        assert cluster[B].zfs.files(aside)["late"] == b"acknowledged"
        shown = await cluster.ask(A, "services", ShowVolume(PGDATA))
        assert [(each.machine, each.dataset) for each in shown.asides] == [(B, aside)]
        assert {copy.machine for copy in shown.copies} == {A, C}

    simulate(body)


def test_the_service_moves_on_and_back_after_a_takeover() -> None:
    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        cluster.crash(B)
        await take_over(cluster)
        await cluster.boot(B)
        await cluster.agreed()
        await cluster.until(lambda: datasets(cluster, B) == [], within_s=SETTLED_S)
        for target in (B, C, A):
            outcome = await cluster.run(A, ApplyMigration(DB, target))
            assert outcome.exit_code == 0, outcome.text
            await runs_on(cluster, target)
        assert owner(cluster) == (A, 7)

    simulate(body)


def test_volumes_that_one_service_mounts_go_together_and_from_one_instant() -> None:
    async def body(cluster: Cluster) -> None:
        add_image(cluster)
        await deploy(cluster, manifest(volume(), volume("wal"), service(volumes=("pgdata", "wal"))))
        for target in (C, B):
            assert (await cluster.run(A, ApplyMigration(DB, target))).exit_code == 0
        cluster.crash(B)
        taken = await take_over(cluster)
        assert [each.volume for each in taken.plan.volumes] == [PGDATA, WAL]
        assert len({each.snapshot.snapshot for each in taken.plan.volumes}) == 1
        await runs_on(cluster, C)
        assert owner(cluster, WAL) == (C, 4)

    simulate(body)


def test_what_a_dead_owner_had_sent_of_a_migration_is_kept_and_taken() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        operation_id = await dies_as_it_moves(cluster)
        assert dataset() in datasets(cluster, C)
        plan = await cluster.ask(A, "takeover", PreviewTakeover(PGDATA, A))
        assert plan.volumes[0].newer == (C,)
        taken = await take_over(cluster, C)
        assert operation_id in taken.plan.volumes[0].snapshot.snapshot
        await runs_on(cluster, C)
        assert starts(cluster, C) == ["a", "b", "c"]

    simulate(body)


def test_an_unfinished_copy_goes_when_its_owner_is_back() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        await dies_as_it_moves(cluster)
        assert dataset() in datasets(cluster, C)
        await cluster.boot(B)
        await cluster.until(lambda: datasets(cluster, C) == [], within_s=SETTLED_S)
        await runs_on(cluster, B)

    simulate(body)


def test_a_takeover_ends_an_operation_that_was_left_undecided() -> None:
    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        hangs = anyio.Event()

        async def hang(_: Effect) -> None:
            cluster.crash(B)
            await hangs.wait()

        cluster.effects.at(lambda effect: effect.machine == B and effect.name == "streams.send", hang)
        operation_id = await cluster.begin(B, ApplyMigration(DB, A))
        await cluster.until(lambda: cluster[B].life is None, within_s=10)
        with pytest.raises(Refused) as held:
            await take_over(cluster)
        assert held.value.code is Code.LOCK_HELD
        await anyio.sleep(40)
        await take_over(cluster)
        assert cluster[A].parts.view.operations.status(operation_id) is Status.ABORTED
        await runs_on(cluster, C)

    simulate(body)


def test_a_takeover_whose_answer_is_lost_is_found_to_be_there() -> None:
    def takes(transaction: Transaction) -> bool:
        return any(isinstance(fact, VolumeTakenOver) for fact in transaction.facts)

    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        cluster.crash(B)
        cluster.network.lose(
            lambda packet: takes(getattr(packet.message, "transaction", Transaction((), ()))), reply=True
        )
        taken = await take_over(cluster, by=C)
        assert taken.position == cluster[C].parts.view.operations[taken.operation_id].position
        await runs_on(cluster, C)

    simulate(body)


def test_a_new_owner_that_crashes_at_any_step_goes_on_from_the_snapshot() -> None:
    for name in ("zfs.rollback", "zfs.set", "docker.create", "docker.start"):
        for done in (False, True):
            _crashes_at(name, done=done)


def _crashes_at(name: str, *, done: bool) -> None:
    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        cluster.crash(B)

        async def crash(_: Effect) -> None:
            cluster.crash(C)
            await anyio.sleep_forever()

        cluster.effects.at(lambda each: (each.machine, each.name, each.done) == (C, name, done), crash)
        with pytest.raises(CleanupPending):
            await take_over(cluster)
        await cluster.until(lambda: cluster[C].life is None, within_s=60)
        await cluster.boot(C)
        await runs_on(cluster, C)
        assert "late" not in cluster[C].zfs.files(dataset())
        assert owner(cluster) == (C, 4)

    simulate(body)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("code", "target", "arrange"),
    [
        (Code.OWNER_ANSWERS, C, lambda _: None),
        (Code.ALREADY_THERE, B, lambda cluster: cluster.crash(B)),
        (Code.UNKNOWN_MACHINE, MachineId("machine-x"), lambda cluster: cluster.crash(B)),
        (Code.IMAGE_MISSING, C, lambda cluster: (cluster.crash(B), cluster[C].docker.images.clear())),
        (Code.MACHINE_UNREACHABLE, C, lambda cluster: (cluster.crash(B), cluster.crash(C))),
    ],
)
def test_a_takeover_that_makes_no_sense_is_refused(
    code: Code, target: MachineId, arrange: Callable[[Cluster], object]
) -> None:
    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        head = cluster.head
        arrange(cluster)
        with pytest.raises(Refused) as refusal:
            await take_over(cluster, target)
        assert refusal.value.code is code
        assert cluster.head == head

    simulate(body)


def test_a_machine_that_never_had_the_volume_does_not_get_it() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0
        cluster.crash(B)
        with pytest.raises(Refused) as refusal:
            await take_over(cluster, C)
        assert refusal.value.code is Code.NO_COPY
        assert "volume show production/pgdata" in refusal.value.problem.advice

    simulate(body)


def test_another_snapshot_than_was_shown_is_refused() -> None:
    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        cluster.crash(B)
        with pytest.raises(Refused) as refusal:
            await cluster.ask(A, "takeover", TakeOverVolume(PGDATA, C, ()))
        assert refusal.value.code is Code.PLAN_STALE
        assert owner(cluster) == (B, 3)

    simulate(body)


# ---------------------------------------------------------------- a start without the authority


def test_a_machine_that_comes_back_without_the_authority_starts_nothing_that_others_know_to_be_taken() -> None:
    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        cluster.crash(B)
        await take_over(cluster)
        await runs_on(cluster, C)
        cluster.network.cut(A, B)
        await cluster.boot(B)
        await anyio.sleep(3 * ALONE_START_S)
        assert running(cluster) == {C: ["db/slot-1"]}
        cluster.network.heal(A, B)
        await cluster.until(lambda: datasets(cluster, B) == [], within_s=SETTLED_S, what="B has set it aside")
        assert running(cluster) == {C: ["db/slot-1"]}

    simulate(body)


def test_a_machine_whose_ownership_others_confirm_starts_without_the_authority() -> None:
    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        cluster.crash(B)
        cluster.crash(A)
        await cluster.boot(B)
        began_s = anyio.current_time()
        await runs_on(cluster, B)
        assert anyio.current_time() - began_s < 60

    simulate(body)


def test_a_machine_that_reaches_nobody_waits_and_then_starts_by_what_it_knows() -> None:
    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        for machine in (A, B, C):
            cluster.crash(machine)
        await cluster.boot(B)
        await anyio.sleep(ALONE_START_S - 30)
        assert running(cluster) == {}
        await runs_on(cluster, B)

    simulate(body)
