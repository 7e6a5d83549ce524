"""A cut-over that has become longer than anybody has agreed to: undone while the service runs."""

from __future__ import annotations

import pytest

from ployz.actors.messages.operations import ApplyMigration
from ployz.config import ANYWAY_S
from ployz.errors import Code
from tests.cluster.cluster import Cluster, Outcome, simulate
from tests.cluster.effects import Effect
from tests.cluster.manifests import DB, A, B
from tests.cluster.scenes import dataset, deployed, left_by, running, starts

MIB = 1 << 20
SLOW = 2 * MIB


async def moved_beside_an_update_of_everything(cluster: Cluster, max_cutover_s: float | None) -> Outcome:
    """While a round is sent, as much is written as was there: 30 s of the link are left at the end of each."""
    await deployed(cluster)
    written = 0

    async def update(effect: Effect) -> None:
        nonlocal written
        written += 1
        cluster[A].zfs.write(dataset(), "big", bytes([written]) * (60 * MIB))

    cluster[A].zfs.write(dataset(), "big", bytes(60 * MIB))
    sending = lambda effect: effect.name == "streams.send" and effect.machine == A and effect.done  # noqa: E731
    cluster.effects.at(sending, update, times=2)
    return await cluster.run(A, ApplyMigration(DB, B, bandwidth_bytes_s=SLOW, max_cutover_s=max_cutover_s))


@pytest.mark.parametrize("max_cutover_s", [None, 20.0])
def test_nothing_is_stopped_and_the_reason_is_said(max_cutover_s: float | None) -> None:
    async def body(cluster: Cluster) -> None:
        outcome = await moved_beside_an_update_of_everything(cluster, max_cutover_s)
        assert outcome.exit_code == 3
        assert outcome.result.problem is not None
        assert outcome.result.problem.code is Code.CUTOVER_TOO_LONG
        assert "60M are left to send" in outcome.text
        assert "--anyway" in outcome.result.problem.advice
        assert running(cluster) == {A: ["db/slot-1"]}
        assert starts(cluster, A) == ["a"]
        assert not [each for each in cluster.effects.seen if each.name == "docker.stop"]
        assert left_by(cluster, B, outcome.operation_id) == []

    simulate(body)


def test_who_wants_it_anyway_has_it() -> None:
    async def body(cluster: Cluster) -> None:
        outcome = await moved_beside_an_update_of_everything(cluster, ANYWAY_S)
        assert outcome.exit_code == 0, outcome.text
        assert outcome.result.cutover_ms > 20_000
        assert running(cluster) == {B: ["db/slot-1"]}

    simulate(body)
