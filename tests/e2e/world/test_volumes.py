"""What operators and their tools do to the datasets of volumes, on real pools: one service, moved there and back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.manifests import count, counter, fill, namespace_of, web
from tests.labs import COMMAND_S

pytestmark = [pytest.mark.lab, pytest.mark.moves]

MIB = 1 << 20
_SNAPSHOT_IN_A_RECEIVE = """
for _ in $(seq 1200); do
    if pgrep -f "[z]fs receive .*$0" >/dev/null; then
        sleep 0.5
        zfs snapshot "$0@hourly-again" && echo taken
        exit
    fi
    sleep 0.05
done
"""
B, C = "machine-b", "machine-c"


def local(cluster: Cluster, machine: str, dataset: str) -> dict[str, str]:
    """What was set on a dataset itself, or received."""
    told = cluster.inside(machine, "zfs", "get", "-Hp", "-s", "local,received", "-o", "property,value", "all", dataset)
    return dict(line.split("\t") for line in told.splitlines())


def blocker(cluster: Cluster, service: str, to: str) -> dict[str, Any]:
    """The one thing that stands in the way, by the preview; and apply refuses with it."""
    (found,) = cluster.ctl("migrate", "preview", service, "--to", to).payload["plan"]["blockers"]
    answer = cluster.try_migrate(service, to)
    assert (answer.exit_code, answer.code) == (1, found["code"])
    assert isinstance(found, dict)
    return found


@pytest.fixture
def bounded(cluster: Cluster, namespace: str) -> str:
    """A counter on machine-b, which may move, in 40 MiB."""
    declared = counter(namespace, quota="40M", recordsize="16K")
    cluster.deploy(declared | {"services": [web() | {"on": [B]}]})
    cluster.deploy(declared)
    assert count(cluster, f"{namespace}/web") == 1
    return f"{namespace}/web"


def test_a_volume_is_what_it_was_wherever_it_moves_and_who_is_in_the_way_is_named(
    cluster: Cluster, bounded: str, namespace: str
) -> None:
    dataset = f"tank/ployz/{namespace}/data"

    # Somebody has it compressed here: what fits so would not fit where it arrives.
    cluster.inside(B, "zfs", "set", "compression=on", dataset)
    cluster.in_container(B, bounded, "sh", "-c", "yes volumes | head -c 50331648 > /data/text; sync")
    cluster.inside(B, "zfs", "set", "e2e:written=1", "tank")
    refused = blocker(cluster, bounded, C)
    assert (refused["code"], "is compressed where it is" in refused["text"]) == ("no-space", True)
    cluster.in_container(B, bounded, "sh", "-c", "rm /data/text; sync")
    cluster.inside(B, "zfs", "inherit", "compression", dataset)

    # What was set on it by hand goes along, and what does not is said.
    fill(cluster, bounded, 24)
    for each in ("org.example:backup=daily", "logbias=throughput", "reservation=1M"):
        cluster.inside(B, "zfs", "set", each, dataset)

    (planned,) = cluster.get("migrate", "preview", bounded, "--to", C)["plan"]["volumes"]
    by_hand = {"logbias": "throughput", "org.example:backup": "daily"}
    assert {each["name"]: each["value"] for each in planned["settings"]} == by_hand | {"recordsize": "16384"}
    assert planned["left_behind"] == [{"name": "reservation", "value": str(MIB)}]
    cluster.migrate(bounded, C)
    assert count(cluster, bounded) == 2
    there = local(cluster, C, dataset)
    assert there.items() >= (by_hand | {"recordsize": "16384", "refquota": str(40 * MIB)}).items()
    assert there.get("quota", "0") == "0"
    assert "com.sun:auto-snapshot" not in there
    assert local(cluster, B, dataset)["com.sun:auto-snapshot"] == "false"

    # Its base holds what is overwritten, and all of it fits.
    fill(cluster, bounded, 24)
    row = cluster.volume(f"{namespace}/data")["row"]
    assert row["snapshots_bytes"] > 20 * MIB
    assert row["referenced_bytes"] < 40 * MIB

    # Somebody holds a snapshot of the copy that has to go back to its base.
    cluster.inside(B, "zfs", "snapshot", f"{dataset}@hourly")
    cluster.inside(B, "zfs", "hold", "backup", f"{dataset}@hourly")
    held = blocker(cluster, bounded, B)
    assert (held["code"], f"{dataset}@hourly is held" in held["text"]) == ("dataset-busy", True)
    assert f"{dataset}@hourly" in held["advice"]
    cluster.inside(B, "zfs", "release", "backup", f"{dataset}@hourly")

    # Somebody made a dataset below the volume. What the doctor says puts it elsewhere.
    cluster.inside(C, "zfs", "create", "-o", "canmount=off", f"{dataset}/extra")
    below = blocker(cluster, bounded, B)
    assert (below["code"], f"{dataset}/extra" in below["text"]) == ("dataset-in-the-way", True)
    (found,) = [each for each in cluster.ctl("doctor").payload["findings"] if each["kind"] == "leftover-dataset"]
    assert f"lies below volume {namespace}/data" in found["text"]
    assert "destroy" not in found["remedy"]
    cluster.inside(C, *found["remedy"][found["remedy"].index("zfs rename") :].split())
    cluster.inside(C, "zfs", "destroy", "tank/extra")

    # A cron job snapshots the copy while an increment is received into it.
    cluster.run("limit", C, "60mbit")
    try:
        with cluster.start(B, "sh", "-c", _SNAPSHOT_IN_A_RECEIVE, dataset) as cron:
            answer = cluster.try_migrate(bounded, B)
            assert cron.communicate(timeout=COMMAND_S) == ("taken\n", "")
    finally:
        cluster.run("limit", C, "none")
    assert answer.exit_code == 0, answer
    assert any("begins again" in line["payload"].get("text", "") for line in answer.lines)
    assert count(cluster, bounded) == 3
    assert "com.sun:auto-snapshot" not in local(cluster, B, dataset)


def test_the_older_copy_that_a_move_leaves_is_dropped_by_name(cluster: Cluster, service: str) -> None:
    namespace = namespace_of(service)
    volume, counted = f"{namespace}/data", count(cluster, service)
    cluster.migrate(service, "machine-c")
    refused = cluster.ctl("volume", "drop-copy", volume, "--on", "machine-c", "--yes", on="machine-a")
    assert (refused.exit_code, refused.code) == (1, "volume-in-use"), refused
    assert cluster.datasets("machine-b", namespace) != []
    dropped = cluster.ctl("volume", "drop-copy", volume, "--on", "machine-b", "--yes", on="machine-a")
    assert (dropped.exit_code, dropped.payload["freed_bytes"] > 0) == (0, True), dropped
    assert cluster.datasets("machine-b", namespace) == []
    cluster.migrate(service, "machine-b")
    assert count(cluster, service) == counted + 1
