"""Moves with a limit on their bandwidth: said in the intent, shown, and kept by the machine that sends."""

from __future__ import annotations

import pytest

from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration, PreviewMigration, RenderMigration
from ployz.manifest import parse
from ployz.wire.streams import Limit
from tests.cluster.cluster import Cluster, Outcome, simulate
from tests.cluster.manifests import DB, A, B
from tests.cluster.scenes import dataset, deployed, running

MIB = 1 << 20
SLOW = 2 * MIB


async def with_data(cluster: Cluster) -> None:
    await deployed(cluster)
    cluster[A].zfs.write(dataset(), "big", bytes(60 * MIB))


def assert_kept(outcome: Outcome) -> None:
    assert outcome.exit_code == 0, outcome.text
    first = outcome.result.rounds[0]
    assert first.sent_bytes * 1000 / first.duration_ms == pytest.approx(SLOW, rel=0.05)


def test_a_limit_is_kept_in_every_round_and_shared_under_the_operations_name() -> None:
    async def body(cluster: Cluster) -> None:
        await with_data(cluster)
        outcome = await cluster.run(A, ApplyMigration(DB, B, bandwidth_bytes_s=SLOW))
        assert_kept(outcome)
        sends = [each.args for each in cluster.effects.seen if each.name == "streams.send" and each.done]
        assert len(sends) == len(outcome.result.rounds)
        assert all(Limit(outcome.operation_id, SLOW) in args for args in sends)

    simulate(body)


def test_the_rendered_manifest_says_it_for_this_move_alone() -> None:
    async def body(cluster: Cluster) -> None:
        await with_data(cluster)
        rendered = await cluster.ask(A, "operations", RenderMigration(DB, B, bandwidth_bytes_s=SLOW))
        assert 'bandwidth = "2M"' in rendered.toml
        assert parse(rendered.toml).intent.bandwidth_bytes_s == SLOW
        previewed = await cluster.ask(A, "operations", PreviewMigration(DB, B, bandwidth_bytes_s=SLOW))
        assert any("at most 2M a second" in effect for phase in previewed.phases for effect in phase.effects)
        assert_kept(await cluster.run(A, ApplyDeploy(rendered.toml)))
        assert running(cluster) == {B: ["db/slot-1"]}
        back = await cluster.ask(A, "operations", RenderMigration(DB, A))
        assert "bandwidth" not in back.toml

    simulate(body)
