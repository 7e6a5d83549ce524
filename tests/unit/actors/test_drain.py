"""A machine that is emptied: the whole plan first, then one operation after the other, and nothing to remember."""

from __future__ import annotations

import anyio
import pytest

from ployz.actors.messages.drain import DrainPlan, PreviewDrain
from ployz.actors.messages.membership import ChangeLifecycle, RemoveMachine
from ployz.actors.messages.operations import ApplyDeparture, ApplyMigration
from ployz.errors import Code, Refused
from ployz.events.types import Lifecycle
from ployz.ids import MachineId
from ployz.plan.holdings import holdings
from tests.cluster.cluster import Cluster, Outcome, simulate
from tests.cluster.manifests import DB, A, B, C, manifest, service, volume
from tests.cluster.scenes import add_image, deploy, deployed, running

AGENT = service("agent", placement='"global"')
MANY = manifest(
    volume("data"),
    volume("shared"),
    volume("unmounted"),
    service("db", volumes=("data",), on="machine-b"),
    service("one", volumes=("shared",), on="machine-b"),
    service("two", volumes=("shared",), on="machine-b"),
    service("web", placement="{ replicated = { count = 3 } }"),
    AGENT,
)
ANYWHERE = MANY.replace('on = ["machine-b"]\n', "")


async def on_b(cluster: Cluster) -> None:
    add_image(cluster)
    await deploy(cluster, MANY, by=B)  # where a volume is made that nobody mounts
    await deploy(cluster, ANYWHERE)


async def preview(cluster: Cluster, machine: MachineId = B, *to: MachineId, by: MachineId = A) -> DrainPlan:
    return await cluster.ask(by, "drain", PreviewDrain(machine, to))


async def carry_out(cluster: Cluster, plan: DrainPlan, *, by: MachineId = A) -> list[Outcome]:
    outcomes = []
    for row in plan.rows:
        operation_id = await cluster.begin(by, ApplyDeparture(plan.machine, row.departure))
        outcomes.append(await cluster.watch(by, operation_id))
    return outcomes


def test_everything_that_can_leave_is_planned_with_its_target_and_nothing_is_changed() -> None:
    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        before = cluster.head
        plan = await preview(cluster, by=C)
        assert cluster.head == before
        assert plan.staying == ()
        assert [row.departure.subject for row in plan.rows] == [
            "production/one+two",  # the largest first
            "production/db",
            "production/unmounted",
            "production/agent+web",
        ]
        ending = {str(move.slot) for row in plan.rows for move in row.slots if move.to_machine is None}
        assert ending == {"production/agent/machine-b"}
        targets = {move.to_machine for row in plan.rows for move in row.slots} - {None}
        assert targets == {A, C}  # spread

    simulate(body)


def test_a_drained_machine_has_nothing_and_everything_runs_elsewhere() -> None:
    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        plan = await preview(cluster)
        await cluster.ask(A, "membership", ChangeLifecycle(B, Lifecycle.DRAINING))
        outcomes = await carry_out(cluster, plan)
        assert [each.exit_code for each in outcomes] == [0, 0, 0, 0]
        assert holdings(cluster[A].parts.view, B).nothing
        slots = sorted(slot for name, each in running(cluster).items() for slot in each)
        assert slots == [
            "agent/machine-a",
            "agent/machine-c",
            "db/slot-1",
            "one/slot-1",
            "two/slot-1",
            "web/slot-1",
            "web/slot-2",
            "web/slot-3",
        ]
        assert B not in running(cluster)
        await cluster.ask(A, "membership", RemoveMachine(B, force=False))

    simulate(body)


def test_what_was_planned_is_planned_again_from_what_is_left() -> None:
    async def body(cluster: Cluster) -> None:
        await on_b(cluster)
        plan = await preview(cluster)
        await cluster.ask(A, "membership", ChangeLifecycle(B, Lifecycle.DRAINING))
        first = await cluster.begin(A, ApplyDeparture(B, plan.rows[0].departure))
        assert (await cluster.watch(A, first)).exit_code == 0
        again = await preview(cluster, by=C)
        assert [row.departure.services for row in again.rows] == [("db",), (), ("web",)]
        assert [each.exit_code for each in await carry_out(cluster, again, by=C)] == [0, 0, 0]
        assert holdings(cluster[A].parts.view, B).nothing
        assert (await preview(cluster)).rows == ()

    simulate(body)


def test_replicas_go_only_where_they_are_told_to_and_those_elsewhere_stay() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(service("web", placement="{ replicated = { count = 3 } }")))
        assert {name: len(slots) for name, slots in running(cluster).items()} == {A: 1, B: 1, C: 1}
        plan = await preview(cluster, B, A)
        assert [[move.to_machine for move in row.slots] for row in plan.rows] == [[A]]
        await carry_out(cluster, plan)
        assert {name: len(slots) for name, slots in running(cluster).items()} == {A: 2, C: 1}

    simulate(body)


def test_what_stands_in_the_way_is_said_before_anything_moves() -> None:
    async def body(cluster: Cluster) -> None:
        add_image(cluster)
        pinned = (service("db", volumes=("data",), on="machine-a"), service("web", on="machine-a"))
        await deploy(cluster, manifest(volume("data"), volume("old"), *pinned))
        await deploy(cluster, manifest(volume("data"), *pinned))
        plan = await preview(cluster, A)
        assert [each.reason.code for each in plan.staying] == [Code.NOT_MOVABLE, Code.NOT_MOVABLE, Code.NO_MACHINE]
        assert "production/db may go to none of machine-b, machine-c" in plan.staying[0].reason.text
        assert "volume production/old is in no manifest any more" in plan.staying[1].reason.text

    simulate(body)


def test_a_drain_that_makes_no_sense_is_refused() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        for asked, code in (
            (PreviewDrain(MachineId("machine-z"), ()), Code.UNKNOWN_MACHINE),
            (PreviewDrain(A, (MachineId("machine-z"),)), Code.UNKNOWN_MACHINE),
            (PreviewDrain(A, (A,)), Code.MACHINE_NOT_ACTIVE),
        ):
            with pytest.raises(Refused) as caught:
                await cluster.ask(B, "drain", asked)
            assert caught.value.code is code
        await cluster.ask(A, "membership", ChangeLifecycle(C, Lifecycle.DRAINING))
        with pytest.raises(Refused, match="is draining"):
            await preview(cluster, A, C)
        await cluster.ask(A, "membership", ChangeLifecycle(B, Lifecycle.DRAINING))
        with pytest.raises(Refused, match="no other active machine"):
            await preview(cluster, A)

    simulate(body)


def test_a_machine_that_does_not_answer_cannot_be_drained() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0
        cluster.crash(B)
        with pytest.raises(Refused) as caught:
            await preview(cluster)
        assert caught.value.code is Code.MACHINE_UNREACHABLE
        assert "takeover" in caught.value.problem.advice

    simulate(body)


# ---------------------------------------------------------------- a machine that is gone

SCATTERED = manifest(
    volume("data"), service("db", volumes=("data",)), service("web", placement="{ replicated = { count = 3 } }")
)


async def b_is_gone(cluster: Cluster) -> list[Outcome]:
    """With the database and a replica of the web service on it; that replica is made elsewhere."""
    await deployed(cluster, SCATTERED)
    assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0
    cluster.crash(B)
    plan = await cluster.ask(A, "drain", PreviewDrain(B, (), gone=True))
    assert [row.departure.subject for row in plan.going] == ["production/web"]
    assert [each.reason.code for each in plan.staying] == [Code.OWNED_ELSEWHERE]
    await cluster.ask(A, "membership", ChangeLifecycle(B, Lifecycle.DRAINING))
    return [await cluster.watch(A, await cluster.begin(A, ApplyDeparture(B, row.departure))) for row in plan.going]


def slots_of(cluster: Cluster, machine: MachineId) -> list[str]:
    return running(cluster).get(machine, [])


def test_what_has_no_volume_on_a_machine_that_is_gone_runs_elsewhere_and_ends_there_when_it_is_back() -> None:
    async def body(cluster: Cluster) -> None:
        outcomes = await b_is_gone(cluster)
        assert [each.result.committed for each in outcomes] == [True]
        assert sorted(slots_of(cluster, A) + slots_of(cluster, C)) == ["web/slot-1", "web/slot-2", "web/slot-3"]
        await cluster.boot(B)
        await cluster.until(lambda: slots_of(cluster, B) == ["db/slot-1"], within_s=120, what="the database is back")
        assert len(slots_of(cluster, A) + slots_of(cluster, C)) == 3

    simulate(body)


def test_a_machine_that_is_back_without_the_authority_starts_nothing_that_others_know_to_be_elsewhere() -> None:
    async def body(cluster: Cluster) -> None:
        await b_is_gone(cluster)
        cluster.network.cut(A, B)
        await cluster.boot(B)
        await anyio.sleep(300)
        assert not [each for each in slots_of(cluster, B) if each.startswith("web/")]
        cluster.network.heal(A, B)
        await cluster.until(lambda: slots_of(cluster, B) == ["db/slot-1"], within_s=120, what="the database is back")

    simulate(body)


def test_a_machine_that_answers_is_not_gone() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, SCATTERED)
        plan = await cluster.ask(A, "drain", PreviewDrain(C, (), gone=True))
        assert plan.going == ()
        assert Code.MACHINE_ANSWERS in [each.reason.code for each in plan.staying]

    simulate(body)
