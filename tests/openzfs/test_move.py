"""A cluster of two real machines, made as docs/start.md says: systemd, kernel ZFS, kernel WireGuard, Docker."""

from __future__ import annotations

import json

import pytest

from ployz.lab.guest.guest import Guest
from tests.e2e.clients import counts, machines
from tests.e2e.manifests import counter
from tests.openzfs.cluster import GuestCluster
from tests.openzfs.conftest import Say
from tests.openzfs.start import commands

SERVICE = "production/web"
ADDRESSES = {"192.0.2.1": "10.77.0.1", "192.0.2.2": "10.77.0.2"}
"""Of the page, and of the guests."""
LIVE_RESTORE = json.dumps({"live-restore": True}).encode()
MIB = 1 << 20


@pytest.fixture(scope="module")
def cluster(installed: tuple[Guest, Guest], say: Say) -> GuestCluster:
    """Founded and joined by the commands of the page, each on the machine whose it is."""
    by_name = dict(zip(("machine-a", "machine-b"), installed, strict=True))
    for guest in installed:
        guest.run("zpool", "create", "tank", "/dev/disk/by-id/virtio-data0")
        guest.put({"/etc/docker/daemon.json": LIVE_RESTORE})
        guest.run("systemctl", "restart", "docker")
    *joining, by_ssh = commands("Add a machine")
    assert by_ssh.text.startswith("ssh "), "the same in one line, between machines that ssh joins"
    for command in (*commands("Found the cluster"), *joining):
        text = command.text
        for theirs, ours in ADDRESSES.items():
            text = text.replace(theirs, ours)
        guest = by_name[command.machine or "machine-a"]
        say(f"{command.machine or 'machine-a'}# {text}")
        for line in guest.run("sh", "-ec", f"cd /root; {text}").splitlines():
            say(line)
        document = text.rpartition("> ")[2] if "> " in text else ""
        if document:  # an operator carries it over
            content = guest.run("cat", f"/root/{document}").encode()
            for other in installed:
                other.put({f"/root/{document}": content})
    made = GuestCluster(by_name)
    made.wait_for_members()
    return made


@pytest.fixture(scope="module")
def service(cluster: GuestCluster) -> str:
    """A counter on machine-a with 64 MiB beside it. Only machine-a has its image."""
    cluster.load_image("web", "machine-a")
    cluster.deploy(counter("production"))
    if cluster.slot(SERVICE)["machine"] != "machine-a":
        cluster.migrate(SERVICE, "machine-a")
    cluster.in_container(SERVICE, "sh", "-c", "dd if=/dev/urandom of=/data/bulk bs=1M count=64 conv=fsync")
    return SERVICE


def test_the_parts_are_those_of_a_real_machine(cluster: GuestCluster) -> None:
    for machine in cluster.guests:
        assert cluster.inside(machine, "cat", "/sys/module/zfs/version").startswith("2.")
        assert "wireguard" in cluster.inside(machine, "ip", "-d", "link", "show", "ployz0")
        assert cluster.guests[machine].try_("pidof", "wireguard-go").returncode == 1
        assert cluster.inside(machine, "stat", "-f", "-c", "%T", "/sys/fs/cgroup") == "cgroup2fs\n"
        assert cluster.inside(machine, "systemctl", "is-active", "ployzd") == "active\n"


def test_a_service_moves_there_and_back_with_all_that_it_acknowledged(
    cluster: GuestCluster, service: str, say: Say
) -> None:
    before = cluster.slot(service)
    with cluster.counting("machine-b", before["ipv4"], f"[{before['ipv6']}]") as client:
        for target in ("machine-b", "machine-a"):
            result = cluster.migrate(service, target)
            say(f"to {target}: cut-over {result['cutover_ms']} ms, rounds {result['rounds']}")
            row = cluster.slot(service)
            assert (row["machine"], row["ipv4"], row["ipv6"]) == (target, before["ipv4"], before["ipv6"])
    answered = counts(client)
    assert answered == sorted(set(answered))
    assert machines(client) == ["machine-a", "machine-b", "machine-a"]
    sent_back = sum(each["sent_bytes"] for each in result["rounds"])
    assert sent_back < 8 * MIB
    assert cluster.inside("machine-b", "zfs", "get", "-H", "-o", "value", "readonly", "tank/ployz/production/data") == (
        "on\n"
    )
