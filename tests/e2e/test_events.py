"""What operators and debuggers read: the log of a machine, what it was at any time, and a copy of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import MACHINES, Cluster
from tests.e2e.manifests import counter, namespace_of

pytestmark = pytest.mark.lab


def tail(cluster: Cluster, *arguments: str, on: str = "machine-a") -> list[dict[str, Any]]:
    return [line["payload"] for line in cluster.ctl("events", "tail", *arguments, on=on).lines]


def test_a_move_is_in_the_log_of_everyone_concerned(cluster: Cluster, service: str) -> None:
    namespace = namespace_of(service)
    first = tail(cluster, "--limit", "1")[0]["seq"]
    cluster.migrate(service, "machine-c")
    operation = cluster.get("deploy", "ls")["deploys"][0]["operation_id"]
    of_it = {machine: tail(cluster, "--operation", operation, "--limit", "200", on=machine) for machine in MACHINES}
    assert all(each["operation_id"] == operation for events in of_it.values() for each in events)
    at_source = [each["name"] for each in of_it["machine-b"]]
    steps = ["volume.sent/1", "service.fenced/1", "volume.unmounted/1", "vote.cast/1"]
    assert [name for name in dict.fromkeys(at_source) if name in steps] == steps
    assert "container.stopped/1" in at_source
    at_target = [each["name"] for each in of_it["machine-c"]]
    assert at_target.index("volume.received/1") < at_target.index("container.started/1")

    mine = tail(cluster, "--stream", f"volume/{namespace}/data", "--limit", "3", on="machine-b")
    assert {each["stream"] for each in mine} == {f"volume/{namespace}/data"}
    assert len(mine) == 3
    facts = tail(cluster, "--stream", "facts", "--limit", "2")
    assert [each["payload"]["fact"]["name"] for each in facts] == ["operation.started/1", "deploy.committed/1"]
    assert all(each["seq"] > first for each in facts)
    shown = cluster.get("events", "show", str(facts[-1]["seq"]))
    assert shown == facts[-1]
    beyond = cluster.ctl("events", "show", "999999999")
    assert (beyond.exit_code, beyond.code) == (1, "unknown-event-seq")


def test_who_asked_for_a_change_is_in_the_log_of_the_machine_that_was_asked(cluster: Cluster, namespace: str) -> None:
    cluster.deploy(counter(namespace), on="machine-b")
    given = tail(cluster, "--stream", "operators", on="machine-b")[-1]["payload"]
    assert (given["uid"], given["command"], given["pid"] > 1) == (0, "deploy.apply", True)
    cluster.get("service", "rm", f"{namespace}/web", "--yes", on="machine-b")
    given = tail(cluster, "--stream", "operators", on="machine-b")[-1]["payload"]
    assert (given["command"], given["about"]) == ("service.remove", f"{namespace}/web")


def test_a_followed_log_tells_what_comes(cluster: Cluster, service: str) -> None:
    follow = ["ployzctl", "--json", "events", "tail", "-f", "--stream", "facts", "--limit", "1"]
    with cluster.start("machine-c", "timeout", "-s", "INT", "60", *follow) as process:
        try:
            assert process.stdout is not None
            seen = json.loads(process.stdout.readline())["payload"]["seq"]
            cluster.migrate(service, "machine-a")
            names = []
            while "deploy.committed/1" not in names:
                event = json.loads(process.stdout.readline())["payload"]
                assert event["seq"] > seen
                seen = event["seq"]
                names.append(event["payload"]["fact"]["name"])
        finally:
            process.kill()
    assert names == ["operation.started/1", "deploy.committed/1"]


def test_the_past_is_replayed_on_every_machine_and_from_a_copy(cluster: Cluster, service: str) -> None:
    namespace = namespace_of(service)
    before = {machine: tail(cluster, "--limit", "1", on=machine)[0] for machine in MACHINES}
    cluster.migrate(service, "machine-c")
    for machine in MACHINES:
        copy = f"/run/{namespace}.log"
        cluster.get("events", "export", copy, on=machine)
        for options in ((), ("--file", copy)):
            for until, owner in ((str(before[machine]["seq"]), "machine-b"), (None, "machine-c")):
                argv = ["events", "replay", *options, *(["--until", until] if until else [])]
                replayed = cluster.get(*argv, on=machine)
                assert where(replayed, service) == {"slot": owner, "volume": owner, "route": owner}
        at = before["machine-a"]["at"]
    then = cluster.get("events", "replay", "--until", at)
    assert where(then, service)["slot"] == "machine-b"
    plain = cluster.inside("machine-a", "ployzctl", "events", "replay")
    assert f"{service}/slot-1" in plain


def where(replayed: dict[str, Any], service: str) -> dict[str, str]:
    """The machine of a service's only slot, of its volume, and of its route."""
    namespace = namespace_of(service)
    (slot,) = [each["placement"]["machine"] for each in replayed["slots"] if each["service"] == service]
    (volume,) = [each["owner"] for each in replayed["volumes"] if each["volume"] == f"{namespace}/data"]
    (route,) = [each["machine"] for each in replayed["routes"] if each["slot"] == f"{service}/slot-1"]
    return {"slot": slot, "volume": volume, "route": route}


def test_a_copy_answers_like_the_log_and_a_tampered_one_is_found_out(cluster: Cluster, tmp_path: Path) -> None:
    cluster.inside("machine-b", "mkdir", "-p", "/run/copies")
    copy = f"/run/copies/{tmp_path.name}"
    exported = cluster.get("events", "export", copy, on="machine-b")
    again = cluster.ctl("events", "export", copy, on="machine-b")
    assert again.exit_code == 1
    assert copy in again.message
    head = exported["events"]
    cluster.run("daemon", "machine-b", "kill")  # a copy needs no node

    verified = cluster.get("events", "verify", "--file", copy, on="machine-b")
    assert (verified["head"], verified["findings"]) == (head, [])
    newest = tail(cluster, "--file", copy, "--limit", "5", on="machine-b")
    assert [each["seq"] for each in newest] == list(range(head - 4, head + 1))
    assert cluster.get("events", "show", str(head), "--file", copy, on="machine-b") == newest[-1]
    followed = cluster.try_("exec", "machine-b", "--", "ployzctl", "events", "tail", "-f", "--file", copy)
    assert followed.returncode == 2
    second = cluster.get("events", "export", f"{copy}-2", "--file", copy, on="machine-b")
    assert second["events"] == head

    tampering = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db:
    tables = [name for (name,) in db.execute("select name from sqlite_master where type = 'table'")]
    (table,) = [name for name in tables if "seq" in [row[1] for row in db.execute(f"pragma table_info({name})")]]
    (payload,) = db.execute(f"select payload from {table} where seq = 3").fetchone()
    db.execute(f"update {table} set payload = ? where seq = 3", (bytes(payload)[:-1] + b"?",))
db.close()
"""
    cluster.python("machine-b", tampering, copy)
    found = cluster.ctl("events", "verify", "--file", copy, on="machine-b")
    assert (found.exit_code, found.code) == (1, "log-corrupt")
    assert "3" in json.dumps(found.payload["findings"])
    plain = cluster.try_("exec", "machine-b", "--", "ployzctl", "events", "verify", "--file", copy)
    assert "3  it was changed after it was written" in plain.stdout
    assert "one of its events is wrong" in plain.stderr
    cluster.run("daemon", "machine-b", "start")


def test_no_other_file_is_taken_for_a_log(cluster: Cluster) -> None:
    for command in (["tail"], ["verify"], ["replay"], ["show", "1"]):
        for path in ("/etc/hostname", "/none", "/etc"):
            answer = cluster.ctl("events", *command, "--file", path)
            assert answer.exit_code == 1
            assert path in answer.message


def test_every_log_is_whole(cluster: Cluster) -> None:
    for machine in MACHINES:
        assert cluster.get("events", "verify", on=machine)["findings"] == []
