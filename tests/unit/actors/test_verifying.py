"""Moves whose content is compared, beside its guids: what arrives damaged is refused, and undone."""

from __future__ import annotations

import pytest

from ployz.actors.messages.operations import ApplyDeploy, ApplyMigration, PreviewMigration, RenderMigration
from ployz.errors import Code
from ployz.manifest import parse
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import DATABASE, DB, A, B
from tests.cluster.scenes import add_image, dataset, datasets, deploy, deployed, left_by, owner, running

DIGESTED = "reading every file of round"


def damage(cluster: Cluster, *, skip: int = 0) -> None:
    """A bit of what B has received flips, under the guid that it should have."""
    left = skip

    async def flip(_: Effect) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            (content,) = [its for name, its in cluster[B].zfs.contents() if name == dataset()]
            content.snapshots[-1].files = {**content.snapshots[-1].files, "bulk": b"1000"}

    cluster.effects.at(lambda each: each.machine == A and each.name == "streams.send" and each.done, flip, times=9)


@pytest.mark.parametrize("skip", [0, 1], ids=["the first round", "the last round"])
def test_damaged_content_under_the_right_guid_is_refused_and_undone(skip: int) -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        cluster[A].zfs.write(dataset(), "bulk", b"0000")
        damage(cluster, skip=skip)
        outcome = await cluster.run(A, ApplyMigration(DB, B, verify=True))
        assert (outcome.exit_code, outcome.result.committed) == (3, False)
        assert outcome.result.problem is not None
        assert outcome.result.problem.code is Code.DIGEST_MISMATCH
        assert "same guid" in outcome.text
        assert running(cluster) == {A: ["db/slot-1"]}
        assert owner(cluster) == (A, 1)
        assert datasets(cluster, B) == []
        assert left_by(cluster, A, outcome.operation_id) == []
        assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0

    simulate(body)


def test_every_round_is_compared_on_both_sides() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        outcome = await cluster.run(A, ApplyMigration(DB, B, verify=True))
        assert outcome.exit_code == 0, outcome.text
        rounds = len(outcome.result.rounds)
        assert sum(DIGESTED in line.text for line in outcome.progress) == rounds
        read = [effect.machine for effect in cluster.effects.seen if effect.name == "zfs.digest" and effect.done]
        assert sorted(read) == [A] * rounds + [B] * rounds

    simulate(body)


def test_without_the_word_guids_are_enough() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        assert (await cluster.run(A, ApplyMigration(DB, B))).exit_code == 0
        assert not any(effect.name == "zfs.digest" for effect in cluster.effects.seen)

    simulate(body)


def test_a_volume_that_says_so_is_compared_in_every_move() -> None:
    async def body(cluster: Cluster) -> None:
        add_image(cluster)
        await deploy(cluster, DATABASE.replace('name = "pgdata"\n', 'name = "pgdata"\nverify = "digest"\n'))
        outcome = await cluster.run(A, ApplyMigration(DB, B))
        assert any(DIGESTED in line.text for line in outcome.progress)

    simulate(body)


def test_the_rendered_manifest_says_it_for_this_move_alone() -> None:
    async def body(cluster: Cluster) -> None:
        await deployed(cluster)
        rendered = await cluster.ask(A, "operations", RenderMigration(DB, B, verify=True))
        assert [move.verify for move in parse(rendered.toml).intent.volumes] == ["digest"]
        previewed = await cluster.ask(A, "operations", PreviewMigration(DB, B, verify=True))
        assert any("digests of every file" in effect for phase in previewed.phases for effect in phase.effects)
        outcome = await cluster.run(A, ApplyDeploy(rendered.toml))
        assert any(DIGESTED in line.text for line in outcome.progress)
        back = await cluster.ask(A, "operations", RenderMigration(DB, A))
        assert "digest" not in back.toml

    simulate(body)
