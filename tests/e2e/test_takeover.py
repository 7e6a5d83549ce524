"""A machine that is off for good: its volume goes on elsewhere by an operator's word, and it comes back to nothing."""

from __future__ import annotations

import pytest

from ployz.lab.pool import in_turn
from tests.e2e.cluster import Answer, Cluster, eventually
from tests.e2e.manifests import count, namespace_of

pytestmark = [pytest.mark.lab, pytest.mark.moves]


def take_over(cluster: Cluster, service: str, to: str) -> Answer:
    volume = f"{namespace_of(service)}/data"
    return cluster.ctl("volume", "takeover", volume, "--to", to, "--source-is-off", "--yes")


def test_a_volume_goes_on_elsewhere_and_its_old_machine_starts_nothing(cluster: Cluster, service: str) -> None:
    namespace = namespace_of(service)
    cluster.migrate(service, "machine-c")
    before = cluster.slot(service)
    kept = count(cluster, service)
    lost = count(cluster, service)
    assert lost == kept + 1

    alive = take_over(cluster, service, "machine-b")
    assert (alive.exit_code, alive.code) == (1, "owner-answers")
    cluster.run("crash", "machine-c")
    nowhere = take_over(cluster, service, "machine-a")
    assert (nowhere.exit_code, nowhere.code) in ((1, "no-copy"), (1, "image-missing"))
    taken = take_over(cluster, service, "machine-b")
    assert (taken.exit_code, taken.code) == (0, "ok"), taken

    after = cluster.slot(service)
    assert (after["machine"], after["ipv4"], after["ipv6"]) == ("machine-b", before["ipv4"], before["ipv6"])
    # What machine-b had is from the moment at which the service left it: machine-c's counts are given up.
    again = count(cluster, service)
    assert again == kept

    cluster.run("boot", "machine-c")
    shown = eventually(lambda: cluster.volume(f"{namespace}/data"), lambda found: bool(found["asides"]))
    (aside,) = shown["asides"]
    assert aside["machine"] == "machine-c"
    assert cluster.containers("machine-c", namespace) == []
    assert cluster.datasets("machine-c", namespace) == []
    assert count(cluster, service) == again + 1
    assert cluster.get("events", "verify", on="machine-c")["findings"] == []
    # What machine-c had is still there, for whoever wants it.
    cluster.inside("machine-c", "mkdir", "-p", "/run/aside")
    cluster.inside("machine-c", "zfs", "set", "mountpoint=/run/aside", aside["dataset"])
    cluster.inside("machine-c", *in_turn(["zfs", "mount", aside["dataset"]]))
    assert str(lost) in cluster.inside("machine-c", "sh", "-c", "cat /run/aside/*")
    destroy = ("exec", "machine-c", "--", "zfs", "destroy", "-r", "tank/ployz-aside")
    eventually(lambda: cluster.try_(*destroy).returncode == 0)  # zfs-fuse lets go a moment after the unmount

    cluster.migrate(service, "machine-c")
    assert count(cluster, service) == again + 2
