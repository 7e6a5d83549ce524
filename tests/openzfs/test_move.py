"""A cluster of two real machines, made as docs/start.md says: systemd, kernel ZFS, kernel WireGuard, Docker."""

from __future__ import annotations

import json

import pytest

from ployz.lab.guest.guest import Guest
from ployz.lab.programs import wait_until
from tests.e2e.clients import counts, machines
from tests.e2e.manifests import counter
from tests.openzfs.cluster import GuestCluster
from tests.openzfs.conftest import SLOW_NODE, Say
from tests.openzfs.start import commands

SERVICE = "production/web"
ADDRESSES = {"192.0.2.1": "10.77.0.1", "192.0.2.2": "10.77.0.2"}
"""Of the page, and of the guests."""
LIVE_RESTORE = json.dumps({"live-restore": True}).encode()
DISK = "/dev/disk/by-id/virtio-data0"
MAKE_POOL = f"zpool create tank {DISK} || {{ udevadm settle; zpool create -f tank {DISK}; }}"
"""It makes a partition, and waits half a minute for udev to name it: not long enough, emulated on a busy host."""
STEP_S = 600.0
MIB = 1 << 20


@pytest.fixture(scope="module")
def cluster(installed: tuple[Guest, Guest], say: Say) -> GuestCluster:
    """Founded and joined by the commands of the page, each on the machine whose it is."""
    by_name = dict(zip(("machine-a", "machine-b"), installed, strict=True))
    for guest in installed:
        guest.run("sh", "-c", MAKE_POOL)
        guest.put({"/etc/docker/daemon.json": LIVE_RESTORE})
        guest.run("systemctl", "reload", "docker")
    *joining, by_ssh = commands("Add a machine")
    assert "| ssh " in by_ssh.text, "the same in one line, between machines that ssh joins"
    token = ""
    for command in (*commands("Found the cluster"), *joining):
        text = command.text.replace("TOKEN", token)  # an operator carries it over
        for theirs, ours in ADDRESSES.items():
            text = text.replace(theirs, ours)
        guest = by_name[command.machine or "machine-a"]
        say(f"{command.machine or 'machine-a'}# {text}")
        said = guest.run("sh", "-ec", f"cd /root; export {SLOW_NODE}; {text}", deadline_s=STEP_S)
        for line in said.splitlines():
            say(line)
        if text.endswith("machine invite"):
            token = said.strip()
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


def test_a_round_whose_receiver_dies_goes_on_with_what_the_pool_has_kept(
    cluster: GuestCluster, service: str, say: Say
) -> None:
    """By the resume token of `zfs receive -s`. A namespace of its own: nothing of it is on the target yet."""
    assert service, "the image is there"
    cluster.deploy(counter("kept"))
    if cluster.slot("kept/web")["machine"] != "machine-a":
        cluster.migrate("kept/web", "machine-a")
    cluster.in_container("kept/web", "sh", "-c", "dd if=/dev/urandom of=/data/bulk bs=1M count=64 conv=fsync")
    written = cluster.in_container("kept/web", "sha256sum", "/data/bulk")
    with cluster.migrating("kept/web", "machine-b", "--bandwidth", "2M") as migration:
        wait_until("half of it there", lambda: received_bytes(cluster, "kept") > 32 * MIB, deadline_s=STEP_S)
        cluster.inside("machine-b", "systemctl", "kill", "--signal=KILL", "ployzd")
        result = migration.result()
    first, *_ = result["rounds"]
    say(f"the first round: {first}")
    assert first["sent_bytes"] < 40 * MIB
    assert cluster.slot("kept/web")["machine"] == "machine-b"
    assert cluster.in_container("kept/web", "sha256sum", "/data/bulk") == written
    token = ("zfs", "get", "-H", "-o", "value", "receive_resume_token", "tank/ployz/kept/data")
    assert cluster.inside("machine-b", *token) == "-\n"


def received_bytes(cluster: GuestCluster, namespace: str) -> int:
    used = cluster.guests["machine-b"].try_("zfs", "get", "-Hp", "-o", "value", "used", f"tank/ployz/{namespace}/data")
    return int(used.stdout) if used.returncode == 0 else 0


def test_a_restart_of_ployzd_disturbs_nothing_that_runs(cluster: GuestCluster, service: str) -> None:
    row = cluster.slot(service)
    machine = row["machine"]
    ask = ("docker", "ps", "--no-trunc", "--format", "{{.ID}}")
    before = cluster.inside(machine, *ask)
    with cluster.counting(machine, row["ipv4"], f"[{row['ipv6']}]") as client:
        cluster.inside(machine, "systemctl", "restart", "ployzd")
        cluster.wait_for_members()
    assert cluster.inside(machine, *ask) == before
    assert counts(client) == sorted(set(counts(client)))


@pytest.mark.parametrize("how", ["a reboot", "a power cut"])
def test_a_service_with_its_volume_is_back_after(cluster: GuestCluster, service: str, how: str) -> None:
    """Import, mounts, Docker's network, the overlay: in the order in which systemd starts them."""
    row = cluster.slot(service)
    machine, other = row["machine"], next(each for each in cluster.guests if each != row["machine"])
    with cluster.counting(other, row["ipv4"], f"[{row['ipv6']}]") as client:
        if how == "a reboot":
            cluster.guests[machine].reboot()
        else:
            cluster.guests[machine].power_cut()
            cluster.guests[machine].power_on()
            cluster.guests[machine].wait_until_up()
        cluster.wait_for_members()
        cluster.wait_for_service(service)
    assert counts(client) == sorted(set(counts(client)))
    assert len(client.answers) > 1
    assert cluster.get("events", "verify", on=machine)
