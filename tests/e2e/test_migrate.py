"""Services that move between real machines: their data, their addresses, and what the operator is told."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.e2e.clients import COUNTING, WRITING, client, counts, machines, sql
from tests.e2e.cluster import MACHINES, Cluster
from tests.e2e.manifests import counter, fill, postgres, sleeper, web
from tests.e2e.manifests import namespace as ns

pytestmark = [pytest.mark.lab, pytest.mark.moves]

FETCH = """
import sys, urllib.request
for url in sys.argv[1:]:
    print(urllib.request.urlopen(url, timeout=5).read().decode().strip())
"""
MIB = 1 << 20
PHASES = ["lock", "prepare", "pre-copy", "cut-over", "commit", "follow", "clean-up"]


def place(cluster: Cluster, service: str, machine: str) -> None:
    """Where a test wants it, whoever the planner chose."""
    if cluster.slot(service)["machine"] != machine:
        cluster.migrate(service, machine)


def round_bytes(result: dict[str, Any]) -> list[int]:
    return [each["sent_bytes"] for each in result["rounds"]]


def test_a_counter_moves_round_all_machines_and_nothing_that_it_answered_is_lost(
    cluster: Cluster, namespace: str
) -> None:
    service = f"{namespace}/web"
    cluster.deploy(counter(namespace))
    place(cluster, service, "machine-a")
    before = cluster.slot(service)
    with client(cluster, "machine-c", COUNTING, before["ipv4"], f"[{before['ipv6']}]") as counting:
        for target in ("machine-b", "machine-c", "machine-a"):
            result = cluster.migrate(service, target)
            assert result["committed"]
            assert 0 < result["cutover_ms"] <= result["duration_ms"]
            row = cluster.slot(service)
            assert (row["machine"], row["ipv4"], row["ipv6"]) == (target, before["ipv4"], before["ipv6"])
    answered = counts(counting)
    assert answered == sorted(set(answered))
    assert machines(counting) == ["machine-a", "machine-b", "machine-c", "machine-a"]
    volume = cluster.volume(f"{namespace}/data")
    assert (volume["row"]["owner"], [each["machine"] for each in volume["copies"] if each["owner"]]) == (
        "machine-a",
        ["machine-a"],
    )


def test_the_address_is_reached_from_every_machine_and_every_container_before_and_after(
    cluster: Cluster, namespace: str
) -> None:
    probes = web("probe", volume=None) | {"placement": "global"}
    cluster.deploy(ns(namespace, web(), probes, volumes=("data",)))
    row = cluster.slot(f"{namespace}/web")

    hosts = (row["ipv4"], f"[{row['ipv6']}]")
    urls = [f"http://{host}:8080/" for host in hosts]

    def answers() -> set[str]:
        seen = []
        for machine in MACHINES:
            seen += cluster.python(machine, FETCH, *urls).splitlines()
            fetch = "; ".join(f"wget -qO- {url}" for url in urls)
            seen += cluster.in_container(machine, f"{namespace}/probe", "sh", "-c", fetch).splitlines()
        assert len(seen) == len(MACHINES) * len(urls) * 2
        return {json.loads(each)["machine"] for each in seen}

    assert answers() == {row["machine"]}
    for target in [each for each in MACHINES if each != row["machine"]]:
        cluster.migrate(f"{namespace}/web", target)
        assert answers() == {target}


def test_the_way_back_sends_only_what_changed(cluster: Cluster, namespace: str) -> None:
    service = f"{namespace}/web"
    cluster.deploy(counter(namespace))
    source = cluster.slot(service)["machine"]
    target = next(each for each in MACHINES if each != source)
    fill(cluster, service, 64)
    there = cluster.migrate(service, target)
    assert sum(round_bytes(there)) > 64 * MIB
    kept = cluster.inside(source, "zfs", "get", "-H", "-o", "value", "readonly", f"tank/ployz/{namespace}/data")
    assert kept == "on\n"
    fill(cluster, service, 5, "more")
    preview = cluster.get("migrate", "preview", service, "--to", source)
    (volume,) = preview["plan"]["volumes"]
    assert volume["base"] is not None
    assert volume["first_send_bytes"] < 8 * MIB
    back = cluster.migrate(service, source)
    assert 5 * MIB < sum(round_bytes(back)) <= 1.2 * 5 * MIB + MIB
    assert all(each["base"] for each in back["rounds"])
    sizes = cluster.in_container(source, service, "sh", "-c", "wc -c < /data/bulk; wc -c < /data/more")
    assert sizes.split() == [str(64 * MIB), str(5 * MIB)]
    copies = {each["machine"]: each for each in cluster.volume(f"{namespace}/data")["copies"]}
    assert (copies[source]["owner"], copies[source]["epoch"]) == (True, 3)
    assert (copies[target]["owner"], copies[target]["epoch"]) == (False, 2)
    assert set(copies[source]["snapshots"]) & set(copies[target]["snapshots"])


def test_every_row_that_postgresql_acknowledged_is_there_after_moves_under_load(
    cluster: Cluster, namespace: str
) -> None:
    service = f"{namespace}/db"
    cluster.deploy(ns(namespace, postgres(), volumes=({"name": "pgdata", "mode": "0700"},)))
    row = cluster.slot(service)
    home, address = row["machine"], row["ipv4"]
    away = next(each for each in MACHINES if each != home)
    sql(cluster, "machine-a", address, "create table acknowledged (n bigint primary key)")
    with client(cluster, "machine-b", WRITING, address) as writing:
        for target in (away, home):
            result = cluster.migrate(service, target)
            assert result["committed"]
    found = {int(each) for each in sql(cluster, "machine-c", row["ipv6"], "select n from acknowledged").split()}
    assert set(writing.answers) <= found
    assert len(writing.answers) > 10
    assert sql(cluster, "machine-c", address, "select pg_is_in_recovery()") == "f"


def test_all_volumes_of_a_service_move_together(cluster: Cluster, namespace: str) -> None:
    mounts = [{"source": {"volume": name}, "target": f"/{name}"} for name in ("data", "wal")]
    cluster.deploy(ns(namespace, web(mounts=mounts), volumes=("data", "wal")))
    service = f"{namespace}/web"
    source = cluster.slot(service)["machine"]
    target = next(each for each in MACHINES if each != source)
    cluster.in_container(source, service, "sh", "-c", "echo 1 >/data/x; echo 2 >/wal/x; sync /data/x /wal/x")
    result = cluster.migrate(service, target)
    last = {each["volume"]: each for each in result["rounds"]}
    assert set(last) == {f"{namespace}/data", f"{namespace}/wal"}
    assert len({each["snapshot"] for each in last.values()}) == 1
    assert cluster.in_container(target, service, "cat", "/data/x", "/wal/x") == "1\n2\n"
    for volume in last:
        assert cluster.volume(volume)["row"]["owner"] == target


def test_a_service_without_volumes_moves_too(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(ns(namespace, web(volume=None)))
    row = cluster.slot(f"{namespace}/web")
    target = next(each for each in MACHINES if each != row["machine"])
    assert cluster.migrate(f"{namespace}/web", target)["rounds"] == []
    moved = cluster.slot(f"{namespace}/web")
    assert moved == row | {"machine": target}
    answer = json.loads(cluster.python(row["machine"], FETCH, f"http://{row['ipv4']}:8080/healthz"))
    assert answer == {"ok": True}


def test_all_replicas_of_a_service_move_together(cluster: Cluster, namespace: str) -> None:
    service = f"{namespace}/web"
    cluster.deploy(ns(namespace, web(volume=None) | {"placement": {"replicated": {"count": 2}}}))
    before = cluster.slots(service)
    (spare,) = set(MACHINES) - {row["machine"] for row in before}
    cluster.migrate(service, spare)
    assert cluster.slots(service) == [row | {"machine": spare} for row in before]


def test_an_image_that_only_the_source_has_is_copied(cluster: Cluster, namespace: str) -> None:
    image = f"{namespace}:only-here"
    cluster.inside("machine-b", "docker", "create", "--name", namespace, "--label", f"made={namespace}", "web")
    cluster.inside("machine-b", "docker", "commit", namespace, image)
    cluster.inside("machine-b", "docker", "rm", namespace)
    cluster.deploy(ns(namespace, web(image=image, pull_policy="never") | {"on": ["machine-b"]}, volumes=("data",)))
    cluster.deploy(ns(namespace, web(image=image, pull_policy="never"), volumes=("data",)))
    service = f"{namespace}/web"
    assert cluster.slot(service)["machine"] == "machine-b"
    (slot,) = cluster.get("migrate", "preview", service, "--to", "machine-c")["plan"]["slots"]
    assert (slot["image"]["origin"], slot["image"]["copied_from"]) == ("copied", "machine-b")
    assert slot["image"]["size_bytes"] > MIB
    cluster.migrate(service, "machine-c")
    assert cluster.slot(service)["machine"] == "machine-c"
    image_id = ["docker", "image", "inspect", "-f", "{{.Id}}", image]
    assert cluster.inside("machine-b", *image_id) == cluster.inside("machine-c", *image_id)


def test_a_rendered_manifest_does_what_apply_does(cluster: Cluster, namespace: str) -> None:
    service = f"{namespace}/web"
    cluster.deploy(counter(namespace, quota="64M"))
    row = cluster.slot(service)
    target = next(each for each in MACHINES if each != row["machine"])
    rendered = cluster.inside("machine-c", "ployzctl", "migrate", "render-manifest", service, "--to", target)
    assert f'to_machine = "{target}"' in rendered
    previewed = cluster.get("deploy", "preview", "-f", "-", stdin=rendered)
    direct = cluster.get("migrate", "preview", service, "--to", target)
    assert previewed == direct
    result = cluster.get("deploy", "-f", "-", stdin=rendered)
    assert cluster.slot(service) == row | {"machine": target}
    assert len(result["rounds"]) >= 2
    again = cluster.ctl("deploy", "-f", "-", stdin=rendered)
    assert again.exit_code == 1
    assert "already-there" in (again.code, *re.findall(r"\[([a-z-]+)\]", again.message))
    cluster.deploy(counter(namespace, quota="64M"))
    assert cluster.slot(service) == row | {"machine": target}


def test_a_preview_changes_nothing_and_shows_what_will_happen(cluster: Cluster, namespace: str) -> None:
    service = f"{namespace}/web"
    cluster.deploy(counter(namespace, quota="64M"))
    row = cluster.slot(service)
    target = next(each for each in MACHINES if each != row["machine"])

    def world() -> list[object]:
        found: list[object] = [cluster.facts()]
        for machine in MACHINES:
            found.append(cluster.get("events", "verify", on=machine)["head"])
            found.append(cluster.inside(machine, "zfs", "list", "-H", "-t", "all", "-o", "name,refer"))
            found.append(cluster.inside(machine, "docker", "ps", "-a", "-q"))
            found.append(cluster.routes(machine))
        return found

    before = world()
    shown = cluster.get("migrate", "preview", service, "--to", target)
    text = cluster.inside("machine-a", "ployzctl", "migrate", "preview", service, "--to", target)
    assert world() == before

    (slot,), (volume,) = shown["plan"]["slots"], shown["plan"]["volumes"]
    assert (slot["change"], slot["previous"]["machine"], slot["machine"]) == ("move", row["machine"], target)
    assert (slot["ipv4"], slot["ipv6"]) == (row["ipv4"], row["ipv6"])
    assert slot["image"]["origin"] == "present"
    assert volume["size_bytes"] > 0
    assert volume["quota_bytes"] == 64 * MIB
    assert volume["target_free_bytes"] > MIB
    assert volume["expected_rounds"] >= 1
    assert volume["base"] is None
    assert [each["name"] for each in shown["phases"]] == PHASES
    assert shown["plan"]["predicted_cutover_ms"] > 0
    for word in (row["machine"], target, row["ipv4"], row["ipv6"], "quota", "free on", "Cut-over", "base snapshot"):
        assert word in text


def test_a_move_is_told_as_json_lines_with_progress_and_a_result(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(counter(namespace))
    row = cluster.slot(f"{namespace}/web")
    target = next(each for each in MACHINES if each != row["machine"])
    answer = cluster.try_migrate(f"{namespace}/web", target, on=target)
    kinds = [line["payload"]["kind"] for line in answer.lines]
    assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("operation.accepted", "operation.result", {"operation.progress"})
    phases = list(dict.fromkeys(line["payload"]["phase"] for line in answer.lines[1:-1]))
    assert phases == PHASES
    assert any(line["payload"].get("sent_bytes") for line in answer.lines)
    assert answer.stderr == ""
    evidence = cluster.get("deploy", "show", answer.lines[0]["payload"]["operation_id"])["evidence"]
    assert evidence == answer.payload["rounds"]


def test_moves_given_on_any_machine_go_well(cluster: Cluster, namespace: str) -> None:
    """Source, target and a third machine may each coordinate."""
    service = f"{namespace}/sleeper"
    mounts = [{"source": {"volume": "data"}, "target": "/data"}]
    cluster.deploy(ns(namespace, sleeper(mounts=mounts), volumes=("data",)))
    for coordinator in MACHINES:
        source = cluster.slot(service)["machine"]
        for target in [each for each in MACHINES if each != source][:1]:
            cluster.migrate(service, target, on=coordinator)
            assert cluster.slot(service)["machine"] == target
