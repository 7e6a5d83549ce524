"""The lab itself: it stands, it can be disturbed, and it leaves nothing behind. Only its last test needs ployzd."""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.labs import Lab
from tests.real import need

pytestmark = pytest.mark.lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab of two machines."""
    need("zfs-fuse", "dockerd", "nft", "ip", "nsenter")
    made = Lab(f"test-{secrets.token_hex(4)}")
    try:
        made.run("up", "--bare", "--machines", "2")
        yield made
    finally:
        made.try_("down")
        assert made.remains() == []


def test_machines_come_up_with_everything_and_leave_nothing(lab: Lab) -> None:
    assert all(each["power"] and each["zfs"] and each["dockerd"] for each in lab.machines().values())
    assert lab.inside("machine-a", "hostname") == "machine-a\n"
    assert lab.inside("machine-a", "zpool", "list", "-H", "-o", "name,health") == "tank\tONLINE\n"
    assert lab.inside("machine-a", "docker", "info", "-f", "{{.LiveRestoreEnabled}}") == "true\n"
    assert lab.reaches("machine-a", "machine-b")
    lab.run("down")
    assert lab.remains() == []
    assert lab.try_("status").returncode == 1


def test_what_is_written_in_a_machine_is_not_seen_on_the_host(lab: Lab) -> None:
    for folder in ("/etc", "/var/lib", "/run"):
        lab.inside("machine-a", "touch", f"{folder}/{lab.name}")
        assert not Path(folder, lab.name).exists()
        assert lab.try_("exec", "machine-b", "--", "test", "-e", f"{folder}/{lab.name}").returncode == 1


def test_no_route_leads_out_of_a_machine(lab: Lab) -> None:
    assert "default" not in lab.inside("machine-a", "ip", "route")
    assert lab.try_("exec", "machine-a", "--", "ping", "-c1", "-W1", "192.0.2.1").returncode != 0


def test_exec_passes_input_output_and_exit_code_through(lab: Lab) -> None:
    assert lab.run("exec", "machine-a", "--", "cat", stdin="through") == "through"
    done = lab.try_("exec", "machine-a", "--", "sh", "-c", "echo aside >&2; exit 7")
    assert (done.returncode, done.stderr) == (7, "aside\n")


def test_a_second_up_changes_nothing_and_a_larger_one_adds_machines(lab: Lab) -> None:
    before = lab.machines()
    lab.run("up", "--bare", "--machines", "2")
    assert lab.machines() == before
    lab.run("up", "--bare", "--machines", "3")
    after = lab.machines()
    assert {name: after[name] for name in before} == before
    assert lab.reaches("machine-a", "machine-c")


def test_a_crash_kills_everything_and_a_boot_brings_the_disk_back(lab: Lab) -> None:
    lab.inside("machine-a", "zfs", "create", "-o", "mountpoint=/var/lib/ployz/volumes/x", "tank/x")
    # fsync, because sync(2) does not reach a FUSE file system.
    lab.run(
        "exec", "machine-a", "--", "dd", "of=/var/lib/ployz/volumes/x/file", "conv=fsync", "status=none", stdin="kept\n"
    )
    lab.inside("machine-a", "touch", "/etc/kept", "/run/lost")
    lab.run("crash", "machine-a")
    assert not lab.machines()["machine-a"]["power"]
    assert lab.machines()["machine-b"]["power"]
    refused = lab.try_("exec", "machine-a", "--", "true")
    assert (refused.returncode, refused.stdout) == (1, "")
    lab.run("boot", "machine-a")
    assert lab.inside("machine-a", "zfs", "get", "-H", "-o", "value", "mounted", "tank/x") == "no\n"
    lab.inside("machine-a", "zfs", "mount", "tank/x")
    assert lab.inside("machine-a", "cat", "/var/lib/ployz/volumes/x/file") == "kept\n"
    lab.inside("machine-a", "test", "-e", "/etc/kept")
    assert lab.try_("exec", "machine-a", "--", "test", "-e", "/run/lost").returncode == 1
    assert lab.reaches("machine-b", "machine-a")


def test_a_crash_also_kills_a_frozen_container(lab: Lab) -> None:
    need("perl", "busybox")
    lab.run("image", "web", "--machine", "machine-a")
    lab.inside("machine-a", "docker", "run", "--detach", "--name", "web", "web")
    lab.inside("machine-a", "docker", "pause", "web")
    lab.run("crash", "machine-a")
    assert not lab.machines()["machine-a"]["power"]


def test_a_cut_lasts_through_a_crash_until_it_is_healed(lab: Lab) -> None:
    lab.run("cut", "machine-a", "machine-b")
    assert lab.status()["cuts"] == [["machine-a", "machine-b"], ["machine-b", "machine-a"]]
    lab.run("crash", "machine-b")
    lab.run("boot", "machine-b")
    assert not lab.reaches("machine-a", "machine-b")
    lab.run("heal", "machine-b", "machine-a")
    assert lab.reaches("machine-a", "machine-b")


def test_a_one_way_cut_lets_the_other_way_through(lab: Lab) -> None:
    lab.run("cut", "machine-a", "machine-b", "--one-way")
    received = ["cat", "/sys/class/net/eth0/statistics/rx_packets"]
    before = {name: int(lab.inside(name, *received)) for name in lab.machines()}
    assert not lab.reaches("machine-b", "machine-a")
    after = {name: int(lab.inside(name, *received)) for name in lab.machines()}
    assert after["machine-a"] > before["machine-a"]
    lab.run("heal")
    assert lab.reaches("machine-b", "machine-a")


def test_a_limit_holds_both_ways_and_through_a_crash_until_it_is_lifted(lab: Lab) -> None:
    show = ["tc", "qdisc", "show", "dev", "eth0"]
    lab.run("limit", "machine-a", "10mbit")
    lab.run("crash", "machine-a")
    lab.run("boot", "machine-a")
    assert "tbf" in lab.inside("machine-a", *show)
    assert lab.machines()["machine-a"]["limit"] == "10mbit"
    lab.run("limit", "machine-a", "none")
    assert "tbf" not in lab.inside("machine-a", *show)
    assert lab.try_("limit", "machine-a", "fast").returncode == 1


def test_up_restarts_what_died(lab: Lab) -> None:
    lab.inside("machine-a", "sh", "-c", "kill -9 $(cut -d' ' -f1 /run/lab/dockerd.pid)")
    lab.inside("machine-b", "sh", "-c", "kill -9 $(cut -d' ' -f1 /run/lab/zfs-fuse.pid)")
    os.kill(lab.status()["switch_pid"], signal.SIGKILL)
    lab.run("up", "--bare", "--machines", "2")
    assert all(each["power"] and each["zfs"] and each["dockerd"] for each in lab.machines().values())
    assert lab.reaches("machine-a", "machine-b")


@pytest.mark.parametrize("command", [["up", "--bare", "--machines", "2"], ["down"]])
def test_a_lab_whose_machines_and_state_were_destroyed_is_cleaned_up(lab: Lab, command: list[str]) -> None:
    holder = lab.machines()["machine-a"]["pid"]
    (lab.folder / "state.json").unlink()
    os.kill(holder, signal.SIGKILL)
    lab.run(*command)
    if command == ["down"]:
        assert lab.remains() == []
    else:
        assert len(lab.holders()) == 3
        assert lab.reaches("machine-a", "machine-b")


@pytest.mark.parametrize("leftover", ["nothing", "a folder", "an empty pool file"])
def test_a_half_built_machine_is_completed(lab: Lab, leftover: str) -> None:
    machine = lab.folder / "machine-c"
    if leftover != "nothing":
        (machine / "pool").mkdir(parents=True)
    if leftover == "an empty pool file":
        with (machine / "pool/tank.img").open("wb") as file:
            file.truncate(1 << 30)
    lab.run("up", "--bare", "--machines", "3")
    assert lab.inside("machine-c", "zpool", "list", "-H", "-o", "health", "tank") == "ONLINE\n"


def test_two_labs_live_side_by_side(lab: Lab) -> None:
    other = Lab(f"{lab.name}-2")
    try:
        other.run("up", "--bare", "--machines", "1")
        assert other.status()["subnet"] != lab.status()["subnet"]
        address = lab.machines()["machine-b"]["address"]
        assert other.try_("exec", "machine-a", "--", "ping", "-c1", "-W1", address).returncode != 0
    finally:
        other.run("down")
    assert other.remains() == []
    assert all(each["power"] and each["zfs"] and each["dockerd"] for each in lab.machines().values())


def test_images_are_built_without_a_registry_and_the_same_each_time(lab: Lab) -> None:
    need("redis-server", "perl", "busybox")
    lab.run("image", "web", "redis", "--machine", "machine-a")
    ids = sorted(lab.inside("machine-a", "docker", "images", "-q", "--no-trunc").split())
    lab.run("image", "web", "redis", "--machine", "machine-a")
    assert sorted(lab.inside("machine-a", "docker", "images", "-q", "--no-trunc").split()) == ids
    assert lab.inside("machine-b", "docker", "images", "-q") == ""
    assert lab.try_("image", "no-such").returncode == 1


def test_the_web_image_counts_through_a_restart_and_stops_at_once(lab: Lab) -> None:
    need("perl", "busybox")
    lab.run("image", "web", "--machine", "machine-a")
    docker = ["docker", "run", "--detach", "--name", "web", "--env", "PLOYZ_MACHINE=machine-a", "web"]
    lab.inside("machine-a", *docker)
    get = ["docker", "exec", "web", "busybox", "wget", "-qO-", "http://127.0.0.1:8080/"]
    answers = [lab.inside("machine-a", *get)]
    lab.inside("machine-a", "docker", "restart", "web")
    answers.append(lab.inside("machine-a", *get))
    assert [json.loads(each) for each in answers] == [{"machine": "machine-a", "count": n} for n in (1, 2)]
    lab.inside("machine-a", "docker", "stop", "--time", "60", "web")
    assert lab.inside("machine-a", "docker", "inspect", "-f", "{{.State.ExitCode}}", "web") == "0\n"


def test_the_postgres_image_makes_its_database_and_keeps_it(lab: Lab) -> None:
    need("perl", "busybox")
    lab.run("image", "postgres", "--machine", "machine-a")
    settings = ["--env", "POSTGRES_DB=app", "--env", "POSTGRES_HOST_AUTH_METHOD=trust"]
    lab.inside("machine-a", "docker", "run", "--detach", "--name", "db", *settings, "postgres")
    query = ["docker", "exec", "db", "psql", "-U", "postgres", "-d", "app", "-tA", "-c"]
    ready = "for i in $(seq 600); do docker exec db pg_isready -q && exit; sleep 0.1; done; exit 1"
    lab.inside("machine-a", "sh", "-c", ready)
    lab.inside("machine-a", *query, "create table t as select 42 as x")
    lab.inside("machine-a", "docker", "stop", "db")
    lab.inside("machine-a", "docker", "start", "db")
    lab.inside("machine-a", "sh", "-c", ready)
    assert lab.inside("machine-a", *query, "select x from t") == "42\n"
    assert lab.inside("machine-a", "docker", "exec", "db", "sh", "-c", "ls /var/lib/postgresql/data") == "pgdata\n"


def test_machines_become_one_cluster_and_find_each_other_again(lab: Lab) -> None:
    def active() -> set[str]:
        rows = json.loads(lab.inside("machine-a", "ployzctl", "--json", "machine", "ls"))["payload"]["machines"]
        return {each["machine"] for each in rows if each["lifecycle"] == "active" and each["reachable"]}

    lab.run("up", "--machines", "2")
    assert active() == {"machine-a", "machine-b"}
    lab.run("up", "--machines", "3")
    assert active() == {"machine-a", "machine-b", "machine-c"}
    running = lab.machines()
    lab.run("up", "--machines", "3")
    assert lab.machines() == running

    lab.run("daemon", "machine-c", "kill")
    assert not lab.machines()["machine-c"]["ployzd"]
    assert active() == {"machine-a", "machine-b"}
    lab.run("daemon", "machine-c", "start")
    lab.run("crash", "machine-a")
    lab.run("boot", "machine-a")
    lab.run("up", "--machines", "3")
    assert active() == {"machine-a", "machine-b", "machine-c"}
