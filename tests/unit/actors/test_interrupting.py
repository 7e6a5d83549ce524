"""Links that are cut while volumes move: the move waits, goes on where it stopped, and is undone only after long."""

from __future__ import annotations

import re

import anyio
import pytest

from ployz.actors.messages.operations import AbortOperation, ApplyMigration
from ployz.actors.messages.storage import EndReceive, SendVolume
from ployz.errors import Code, Failed
from ployz.ids import MachineId
from ployz.wire.stream_window import WINDOW_BYTES
from tests.cluster.cluster import Cluster, Outcome, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import DB, A, B, C, manifest, service, volume
from tests.cluster.scenes import dataset, datasets, deployed, left_by, owner, running, starts

MIB = 1 << 20
SIZE = 100 * MIB
RATE = 4 * MIB
"""The volume is on its way for 25 s."""


async def with_data(cluster: Cluster) -> None:
    await deployed(cluster)
    cluster.shared.links.rate_bytes_per_s = RATE
    cluster[A].zfs.write(dataset(), "big", bytes(SIZE))


async def cut_at(cluster: Cluster, percent: int, *, for_s: float, link: tuple[MachineId, MachineId] = (A, B)) -> None:
    """Some of the way after the volume's first send began."""
    await cluster.until(lambda: sends(cluster) > 0, within_s=30, what="it sends")
    await anyio.sleep(SIZE / RATE * percent / 100)
    cluster.network.cut(*link)
    await anyio.sleep(for_s)
    cluster.network.heal(*link)


def sends(cluster: Cluster) -> int:
    return len([each for each in cluster.effects.seen if each.name == "streams.send" and not each.done])


def told(outcome: Outcome) -> str:
    return "\n".join(line.text for line in outcome.progress)


def again_bytes(outcome: Outcome) -> int:
    """By what the operator was told."""
    found = re.search(r", (\d+) bytes sent again after", told(outcome))
    assert found is not None, told(outcome)
    return int(found[1])


def assert_moved(cluster: Cluster, *, to: MachineId = B, by: MachineId = A) -> None:
    assert running(cluster) == {to: ["db/slot-1"]}
    assert owner(cluster, by=by) == (to, 2)
    assert starts(cluster, to) == ["a", to.removeprefix("machine-")]
    assert len(cluster[to].zfs.files(dataset())["big"]) == SIZE


@pytest.mark.parametrize("percent", [10, 50, 90])
@pytest.mark.parametrize("for_s", [5.0, 40.0])
def test_a_stream_that_is_cut_goes_on_in_the_same_round(percent: int, for_s: float) -> None:
    async def body(cluster: Cluster) -> None:
        await with_data(cluster)
        operation_id = await cluster.begin(A, ApplyMigration(DB, B))
        await cut_at(cluster, percent, for_s=for_s)
        outcome = await cluster.watch(A, operation_id)
        assert outcome.exit_code == 0, outcome.text
        assert_moved(cluster)
        first = outcome.result.rounds[0]
        assert (first.round, first.sent_bytes >= SIZE) == (1, True)
        assert sends(cluster) == len(outcome.result.rounds), "no round was sent from its beginning again"
        if for_s > 8:
            again_bytes = min(WINDOW_BYTES, SIZE * (100 - percent) // 100)
            waited = [each.elapsed_ms for each in outcome.progress if "waiting: the link is lost" in each.text]
            assert len(waited) > 1
            assert len(set(waited)) == 1, "the time that is left does not grow while nothing can be sent"
            assert again_bytes <= WINDOW_BYTES

    simulate(body)


def test_a_stream_that_is_cut_twice_goes_on_twice() -> None:
    async def body(cluster: Cluster) -> None:
        await with_data(cluster)
        operation_id = await cluster.begin(A, ApplyMigration(DB, B))
        await cut_at(cluster, 30, for_s=15)
        await cut_at(cluster, 30, for_s=60)
        outcome = await cluster.watch(A, operation_id)
        assert outcome.exit_code == 0, outcome.text
        assert again_bytes(outcome) <= 2 * WINDOW_BYTES
        assert_moved(cluster)

    simulate(body)


def test_a_link_that_does_not_come_back_ends_the_move_and_the_service_never_stopped() -> None:
    async def body(cluster: Cluster) -> None:
        await with_data(cluster)
        operation_id = await cluster.begin(C, ApplyMigration(DB, B))
        await cluster.until(lambda: sends(cluster) > 0, within_s=30, what="it sends")
        await anyio.sleep(5)
        cluster.network.cut(A, B)
        outcome = await cluster.watch(C, operation_id)
        assert outcome.exit_code == 3
        assert "nothing moved for 300 s" in outcome.text
        assert (running(cluster), starts(cluster, A)) == ({A: ["db/slot-1"]}, ["a"])
        cluster.network.heal(A, B)
        await cluster.until(lambda: datasets(cluster, B) == [], within_s=60, what="the target is clean")
        assert left_by(cluster, A, operation_id) == []

    simulate(body)


def test_a_coordinator_that_loses_the_source_asks_again_and_the_send_goes_on() -> None:
    """It sends beside the coordinator: only the answer is missing."""

    async def body(cluster: Cluster) -> None:
        await with_data(cluster)
        operation_id = await cluster.begin(C, ApplyMigration(DB, B))
        await cut_at(cluster, 50, for_s=15, link=(B, C))
        outcome = await cluster.watch(C, operation_id)
        assert outcome.exit_code == 0, outcome.text
        assert sends(cluster) == len(outcome.result.rounds)
        assert_moved(cluster, by=C)

    simulate(body)


@pytest.mark.parametrize("lost", [SendVolume, EndReceive])
def test_an_answer_that_is_lost_is_asked_for_again(lost: type[object]) -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster, manifest(volume(), volume("wal"), service(volumes=("pgdata", "wal"))))
        cluster.network.lose(lambda packet: isinstance(packet.message, lost), reply=True)
        outcome = await cluster.run(C, ApplyMigration(DB, B))
        assert outcome.exit_code == 0, outcome.text
        assert "asked again" in told(outcome)
        assert running(cluster) == {B: ["db/slot-1"]}

    simulate(body)


async def interrupted(cluster: Cluster, target: MachineId, *, power: bool = False) -> Outcome:
    """ployzd there dies in the middle of the first round; or the machine loses its power."""
    await with_data(cluster)
    operation_id = await cluster.begin(A, ApplyMigration(DB, target))
    await cluster.until(lambda: sends(cluster) > 0, within_s=30, what="it sends")
    await anyio.sleep(10)
    if power:
        cluster.crash(target)
        await anyio.sleep(5)
        await cluster.boot(target)
    else:
        cluster.kill(target)
        await anyio.sleep(5)
        await cluster.start(target)
    return await cluster.watch(A, operation_id)


@pytest.mark.parametrize("power", [False, True], ids=["ployzd", "power"])
def test_a_target_whose_ployzd_dies_in_the_middle_is_sent_what_its_pool_has_not_kept(power: bool) -> None:
    async def body(cluster: Cluster) -> None:
        outcome = await interrupted(cluster, C, power=power)
        assert outcome.exit_code == 0, outcome.text
        assert "goes on where it was" in told(outcome)
        assert outcome.result.rounds[0].sent_bytes < 0.7 * SIZE
        assert_moved(cluster, to=C)

    simulate(body)


def test_a_target_whose_pool_keeps_nothing_is_sent_to_again_from_the_last_common_snapshot() -> None:
    async def body(cluster: Cluster) -> None:
        outcome = await interrupted(cluster, B)
        assert outcome.exit_code == 0, outcome.text
        assert "begins again" in told(outcome)
        assert outcome.result.rounds[0].sent_bytes >= SIZE
        assert_moved(cluster)

    simulate(body)


def test_what_was_kept_and_cannot_be_gone_on_with_is_dropped_and_all_is_sent() -> None:
    async def body(cluster: Cluster) -> None:
        cluster.effects.fail(A, "zfs.resume_argv", Failed(Code.STREAM_FAILED, "cannot resume send: it is gone"))
        outcome = await interrupted(cluster, C)
        assert outcome.exit_code == 0, outcome.text
        assert "goes on where it was" in told(outcome)
        assert "begins again" in told(outcome)
        assert "it is gone" in told(outcome)
        assert outcome.result.rounds[0].sent_bytes >= SIZE
        assert_moved(cluster, to=C)

    simulate(body)


def test_a_cut_over_sends_its_round_anew_whatever_was_kept_of_it() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)

        async def dies(effect: Effect) -> None:
            cluster.kill(C)
            await cluster.start(C)

        # The last round's: the service is stopped, and what it wrote is on its way.
        cluster.shared.links.rate_bytes_per_s = 200
        stopped = [False]

        async def stops(effect: Effect) -> None:
            stopped[0] = True

        cluster.effects.at(lambda each: (each.machine, each.name, each.done) == (A, "docker.stop", True), stops)
        sending = lambda each: stopped[0] and (each.machine, each.name, each.done) == (A, "streams.send", False)  # noqa: E731
        cluster.effects.at(sending, dies)
        outcome = await cluster.run(B, ApplyMigration(DB, C))
        assert outcome.exit_code == 0, outcome.text
        assert "begins again" in told(outcome)
        assert "zfs.resume_argv" not in [each.name for each in cluster.effects.seen]

    simulate(body)


def test_the_beginning_of_a_first_stream_goes_although_its_owner_is_away() -> None:
    async def body(cluster: Cluster) -> None:
        await with_data(cluster)
        assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0
        before = sends(cluster)
        operation_id = await cluster.begin(A, ApplyMigration(DB, C))
        await cluster.until(lambda: sends(cluster) > before, within_s=30, what="it sends")
        await anyio.sleep(10)
        cluster.crash(B)
        await cluster.ask(A, "operations", AbortOperation(operation_id))
        assert not (await cluster.watch(A, operation_id)).result.committed
        await cluster.until(lambda: datasets(cluster, C) == [], within_s=120, what="the target is clean")

    simulate(body)


def test_what_was_kept_goes_with_a_move_that_is_given_up() -> None:
    async def body(cluster: Cluster) -> None:
        await with_data(cluster)
        operation_id = await cluster.begin(A, ApplyMigration(DB, C))
        await cluster.until(lambda: sends(cluster) > 0, within_s=30, what="it sends")
        await anyio.sleep(10)
        cluster.kill(C)
        await cluster.ask(A, "operations", AbortOperation(operation_id))
        outcome = await cluster.watch(A, operation_id)
        assert not outcome.result.committed
        await cluster.start(C)
        await cluster.until(lambda: datasets(cluster, C) == [], within_s=60, what="the target is clean")
        assert (running(cluster), starts(cluster, A)) == ({A: ["db/slot-1"]}, ["a"])

    simulate(body)


def test_a_cut_over_waits_for_its_link_only_shortly() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)

        async def cut(effect: Effect) -> None:
            cluster.network.cut(A, B)

        cluster.effects.at(lambda effect: effect.machine == A and effect.name == "docker.stop" and effect.done, cut)
        operation_id = await cluster.begin(C, ApplyMigration(DB, B))
        await cluster.until(lambda: sends(cluster) > 0, within_s=30, what="it sends")
        outcome = await cluster.watch(C, operation_id)
        assert outcome.exit_code == 3, outcome.text
        assert outcome.result.duration_ms < 120_000
        cluster.network.heal(A, B)
        await cluster.until(lambda: running(cluster) == {A: ["db/slot-1"]}, within_s=60, what="it runs again")

    simulate(body)


def test_a_cut_over_whose_link_is_back_soon_goes_on() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)

        async def cut(effect: Effect) -> None:
            cluster.network.cut(A, B)

        cluster.effects.at(lambda effect: effect.machine == A and effect.name == "docker.stop" and effect.done, cut)
        operation_id = await cluster.begin(C, ApplyMigration(DB, B))
        await cluster.until(lambda: (A, B) in cuts(cluster), within_s=30, what="it is cut")
        await anyio.sleep(5)
        cluster.network.heal(A, B)
        outcome = await cluster.watch(C, operation_id)
        assert outcome.exit_code == 0, outcome.text
        assert running(cluster) == {B: ["db/slot-1"]}

    simulate(body)


def cuts(cluster: Cluster) -> list[tuple[MachineId, ...]]:
    return [tuple(sorted(link)) for link in cluster.network._cuts]
