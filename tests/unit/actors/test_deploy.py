"""Deploys on a whole cluster in one process."""

from __future__ import annotations

from ployz.actors.messages.operations import ApplyDeploy
from tests.cluster.cluster import Cluster, simulate
from tests.cluster.manifests import DATABASE, A


def test_a_service_is_created() -> None:
    async def body(cluster: Cluster) -> None:
        cluster[A].docker.add_image("postgres:17")
        outcome = await cluster.run(A, ApplyDeploy(DATABASE))
        assert outcome.exit_code == 0, outcome.text

    simulate(body)
