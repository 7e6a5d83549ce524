"""Another WireGuard key for machines that are in use: a connection through the overlay lives on, and moves go on."""

from __future__ import annotations

import json
import sys
from functools import partial

import pytest

from tests.e2e.cluster import MACHINES, Cluster, eventually
from tests.e2e.manifests import count

pytestmark = pytest.mark.lab

SERVE = """
import socket, sys
with socket.create_server((sys.argv[1], 7007), family=socket.AF_INET) as server:
    print("listening", flush=True)
    connection, _ = server.accept()
    while data := connection.recv(4096):
        connection.sendall(data)
"""
TALK = """
import json, select, socket, sys, time
def connected():
    for _ in range(60):
        try:
            return socket.create_connection((sys.argv[1], 7007), timeout=1)
        except OSError:  # two machines that have just found each other again
            time.sleep(0.2)
    raise SystemExit("no connection within a minute")
with connected() as connection:
    connection.settimeout(60)
    print("talking", flush=True)
    answers, longest_s, last_s = 0, 0.0, time.monotonic()
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"
        now_s = time.monotonic()
        answers, longest_s, last_s = answers + 1, max(longest_s, now_s - last_s), now_s
print(json.dumps({"answers": answers, "longest_s": longest_s}))
"""


def own_key(cluster: Cluster, machine: str) -> str:
    return cluster.inside(machine, "wg", "show", "ployz0", "public-key").strip()


def peers(cluster: Cluster, machine: str) -> set[str]:
    return set(cluster.inside(machine, "wg", "show", "ployz0", "peers").split())


def test_keys_change_under_a_connection_that_lives_on(cluster: Cluster, service: str) -> None:
    before = {machine: own_key(cluster, machine) for machine in MACHINES}
    (address,) = [each["ipv4"] for each in cluster.get("machine", "ls")["machines"] if each["machine"] == "machine-b"]
    with (
        cluster.start("machine-b", sys.executable, "-u", "-c", SERVE, address) as server,
        cluster.start("machine-c", sys.executable, "-u", "-c", TALK, address) as client,
    ):
        try:
            for each in (server, client):
                assert each.stdout is not None
                assert each.stdout.readline(), each.communicate(timeout=60)
            for machine, on in (("machine-b", "machine-c"), ("machine-a", "machine-b"), ("machine-c", "machine-c")):
                rotated = cluster.get("machine", "rotate-keys", machine, on=on)
                assert rotated["public_key"] == own_key(cluster, machine) != before[machine]
            said, _ = client.communicate("enough\n", timeout=60)
            server.wait(timeout=60)
        finally:
            for each in (server, client):
                each.kill()  # else a failure would wait for them
    assert json.loads(said)["answers"] > 0, said

    now = {machine: own_key(cluster, machine) for machine in MACHINES}
    for machine in MACHINES:
        others = {key for each, key in now.items() if each != machine}
        eventually(partial(peers, cluster, machine), others.__eq__)
    counted = count(cluster, service)
    cluster.migrate(service, "machine-c")
    assert count(cluster, service) == counted + 1


def test_a_crash_just_after_the_change_leaves_the_new_key_on_both_sides(cluster: Cluster, service: str) -> None:
    cluster.get("machine", "rotate-keys", "machine-c")
    key = own_key(cluster, "machine-c")
    cluster.run("crash", "machine-c")
    cluster.run("boot", "machine-c")
    eventually(lambda: cluster.get("machine", "show", "machine-c")["row"], lambda row: row["silent_ms"] == 0)
    assert own_key(cluster, "machine-c") == key
    cluster.migrate(service, "machine-c")
    assert count(cluster, service) == 2
