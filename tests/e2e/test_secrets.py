"""One secret, carried through everything that can happen to a service, and looked for everywhere but in its file."""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import MACHINES, Cluster, eventually
from tests.e2e.manifests import Json, counter, fill, web

pytestmark = [pytest.mark.lab, pytest.mark.moves]

FILE = "/run/secrets/db-password"
CHUNK_BYTES = 16 << 20


def with_secret(namespace: str, marker: str, *, on: str = "") -> Json:
    """`marker` stands where a secret must not: it shows that the search finds what is there."""
    service = web(env={"MARKER": marker}, secrets=[{"secret": "db-password", "mode": "0400"}])
    if on:
        service["on"] = [on]
    return counter(namespace) | {"secrets": [{"name": "db-password"}], "services": [service]}


def test_a_secret_is_in_its_file_and_nowhere_else(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    secret, service = f"{namespace}/db-password", f"{namespace}/web"
    canary, marker = f"canary-{secrets.token_hex(12)}", f"marker-{secrets.token_hex(12)}"

    def given(machine: str) -> str:
        return cluster.in_container(machine, service, "cat", FILE)

    unset = cluster.try_deploy(with_secret(namespace, marker))
    assert (unset.exit_code, unset.code) == (1, "secret-not-set")
    assert secret in unset.message
    assert cluster.get("secret", "set", secret, stdin=canary)["version"] == 1
    cluster.deploy(with_secret(namespace, marker, on="machine-b"))
    cluster.deploy(with_secret(namespace, marker))
    assert given("machine-b") == canary
    write = f"echo x >{FILE}; rm {FILE}; stat -c '%a %u' {FILE}; grep -c ' {FILE} tmpfs ro' /proc/mounts"
    assert cluster.in_container("machine-b", service, "sh", "-c", f"({write}) 2>/dev/null").split() == ["400", "0", "1"]

    cluster.migrate(service, "machine-c")
    assert given("machine-c") == canary
    fill(cluster, service, 8)
    cluster.run("limit", "machine-c", "20mbit")
    with cluster.going_on(service, "machine-a") as going:
        eventually(lambda: cluster.containers("machine-a", namespace))
        cluster.get("operation", "abort", going.operation_id, on="machine-b")
        assert going.end().exit_code == 3
    cluster.run("limit", "machine-c", "none")
    eventually(lambda: folders(cluster, "machine-a", namespace), lambda found: found == [])
    cluster.run("daemon", "machine-c", "kill")
    assert given("machine-c") == canary
    cluster.run("daemon", "machine-c", "start")
    cluster.run("crash", "machine-c")
    cluster.run("boot", "machine-c")
    eventually(lambda: cluster.slot(service)["state"], lambda state: state == "running", within_s=60)
    assert given("machine-c") == canary

    exported = [place for machine in MACHINES for place in export(cluster, machine, tmp_path)]
    where = sorted({*on_disk(cluster, canary), *in_processes(canary), *in_texts(exported, canary)})
    assert where == []
    controls = {*on_disk(cluster, marker), *in_processes(marker), *in_texts(exported, marker)}
    for kind in ("log.db", "config.v2.json", "/environ", "inspect", "events", "backup"):
        assert any(kind in each for each in controls), f"the search does not look into {kind}"

    assert cluster.get("secret", "set", secret, stdin="another", on="machine-b")["version"] == 2
    assert given("machine-c") == canary
    cluster.deploy(with_secret(namespace, marker))
    assert given("machine-c") == "another"
    in_use = cluster.ctl("secret", "rm", secret, "--yes")
    assert (in_use.exit_code, in_use.code) == (1, "secret-in-use")
    cluster.deploy({"namespace": namespace}, "--remove")
    cluster.get("secret", "rm", secret, "--yes")
    assert all(folders(cluster, machine, namespace) == [] for machine in MACHINES)


def folders(cluster: Cluster, machine: str, namespace: str) -> list[str]:
    """Of containers, in the tmpfs of the machine."""
    listed = cluster.inside(machine, "sh", "-c", "ls /run/ployz/secrets 2>/dev/null || true").split()
    return [each for each in listed if each.startswith(f"{namespace}.")]


def forms(value: str) -> list[str]:
    return [value, base64.b64encode(value.encode()).decode().rstrip("=")[:-1], value.encode().hex()]


def on_disk(cluster: Cluster, value: str) -> Iterator[str]:
    """Everything that the machines have on disk, Docker's books, logs and the pools themselves, and below /run."""
    wanted = [form.encode() for form in forms(value)]
    for folder, _, names in os.walk(cluster.folder):
        for path in (Path(folder, name) for name in names):
            if stat.S_ISREG(path.lstat().st_mode) and has_any(path, wanted):
                yield str(path)
    patterns = [word for form in forms(value) for word in ("-e", form)]
    for machine in MACHINES:
        search = ["grep", "-rlaF", "-D", "skip", "--exclude-dir=secrets", *patterns, "/run/ployz", "/run/lab"]
        listed = cluster.try_("exec", machine, "--", *search).stdout
        yield from (f"{machine}:{each}" for each in listed.split())


def has_any(path: Path, wanted: list[bytes]) -> bool:
    """Only where there is data: a pool is a file of gigabytes, most of which is a hole."""
    overlap = max(map(len, wanted))
    at = 0
    with path.open("rb", buffering=0) as file:
        while True:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                return False  # no data after that
            os.lseek(file.fileno(), at, os.SEEK_SET)
            chunk = file.read(CHUNK_BYTES)
            if any(each in chunk for each in wanted):
                return True
            at += max(1, len(chunk) - overlap) if len(chunk) == CHUNK_BYTES else max(1, len(chunk))


def in_processes(value: str) -> Iterator[str]:
    """Arguments and environment of every process on this host: those of the lab are among them."""
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                content = (process / name).read_bytes()
            except OSError:
                continue  # it has ended
            if any(form.encode() in content for form in forms(value)):
                yield f"{process}/{name}"


def export(cluster: Cluster, machine: str, folder: Path) -> Iterator[Path]:
    """What people take away: the inspection of every container, events as text, an exported log, a backup."""
    ids = cluster.inside(machine, "docker", "ps", "-aq").split()
    texts = {
        "inspect": cluster.inside(machine, "docker", "inspect", *ids) if ids else "",
        "events": json.dumps(cluster.ctl("events", "tail", "--limit", "500", on=machine).lines),
        "services": json.dumps(cluster.ctl("service", "ls", on=machine).lines),
        "secrets": json.dumps(cluster.ctl("secret", "ls", on=machine).lines),
    }
    for name, text in texts.items():
        path = folder / f"{machine}-{name}"
        path.write_text(text)
        yield path
    copies = {"export": ("events", "export")}
    if machine == "machine-a":
        copies["backup"] = ("cluster", "backup")  # it founded the cluster
    for name, command in copies.items():
        copy = f"/run/lab/{name}-{secrets.token_hex(4)}"
        cluster.get(*command, copy, on=machine)
        path = folder / f"{machine}-{name}"
        path.write_bytes(base64.b64decode(cluster.inside(machine, "base64", copy)))
        cluster.inside(machine, "rm", copy)
        yield path


def in_texts(paths: list[Path], value: str) -> Iterator[str]:
    for path in paths:
        content = path.read_bytes()
        if any(form.encode() in content for form in forms(value)):
            yield str(path)
