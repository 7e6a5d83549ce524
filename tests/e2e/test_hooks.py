"""A real PostgreSQL that is told to write down what it has in memory before each snapshot of its move."""

from __future__ import annotations

import pytest

from tests.e2e.clients import sql
from tests.e2e.cluster import Cluster
from tests.e2e.manifests import Json, postgres
from tests.e2e.manifests import namespace as ns

pytestmark = [pytest.mark.lab, pytest.mark.moves]

CHECKPOINT = {"before_snapshot": {"command": ["psql", "-qU", "postgres", "-c", "CHECKPOINT"], "timeout": "60s"}}
ROWS = 10_000
FILL = "create table kept as select number, repeat('x', 200) as text from generate_series(1, 10000) number"
CHANGE = "update kept set text = md5(random()::text) || text"
DIGEST = "select count(*), md5(string_agg(number || text, ',' order by number)) from kept"


def test_the_last_round_of_a_database_is_smaller_with_a_checkpoint_before_each_snapshot_and_nothing_is_lost(
    cluster: Cluster, namespace: str
) -> None:
    service = f"{namespace}/db"

    def manifest(hooks: Json | None = None) -> Json:
        return ns(namespace, postgres() | ({"hooks": hooks} if hooks else {}), volumes=("pgdata",))

    cluster.deploy(manifest())
    address = cluster.slot(service)["ipv4"]
    sql(cluster, "machine-a", address, FILL)

    def last_bytes_of_a_move() -> int:
        """With the whole table changed in memory, and nothing of that in its files."""
        source = cluster.slot(service)["machine"]
        sql(cluster, "machine-a", address, "CHECKPOINT")
        sql(cluster, "machine-a", address, CHANGE)
        before = sql(cluster, "machine-a", address, DIGEST)
        assert before.startswith(f"{ROWS}|")
        cluster.inside(source, "zfs", "set", "e2e:changed=all", "tank")  # with what has been written until now
        moved = cluster.migrate(service, "machine-b" if source == "machine-a" else "machine-a")
        assert sql(cluster, "machine-a", address, DIGEST) == before
        return int(moved["last_bytes"])

    without = last_bytes_of_a_move()
    cluster.deploy(manifest(CHECKPOINT))
    with_hook = last_bytes_of_a_move()
    assert with_hook < without / 2, (with_hook, without)
