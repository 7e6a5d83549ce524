"""Two operators at once on one namespace: one wins, and the other hears at once who is at work, since when, on what."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from tests.e2e.cluster import Answer, Cluster
from tests.e2e.manifests import count, counter, fill, namespace_of

pytestmark = [pytest.mark.lab, pytest.mark.moves]


def sending(line: dict[str, Any]) -> bool:
    return bool(line["kind"] == "operation.progress" and line["sent_bytes"])


def check_says_who(answer: Answer, operation_id: str, what: str) -> None:
    assert (answer.exit_code, answer.code) == (1, "lock-held"), answer
    since = r"is locked since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC by \S.* on machine-a: "
    assert re.search(since + re.escape(f"{what} ({operation_id})"), answer.message), answer.message
    assert operation_id in answer.advice


def test_while_one_moves_it_nobody_else_moves_or_deploys_or_removes(cluster: Cluster, service: str) -> None:
    namespace = namespace_of(service)
    fill(cluster, service, 24)
    cluster.run("limit", "machine-c", "5mbit")
    head = cluster.facts()
    with cluster.going_on(service, "machine-c") as move:
        move.until(sending)
        what = f"migrate {service} to machine-c"
        check_says_who(cluster.try_migrate(service, "machine-a", on="machine-b"), move.operation_id, what)
        check_says_who(cluster.try_deploy(counter(namespace), on="machine-c"), move.operation_id, what)
        check_says_who(cluster.ctl("service", "rm", service, "--yes"), move.operation_id, what)
        cluster.run("limit", "machine-c", "none")
        assert move.end().exit_code == 0
    assert cluster.facts() == head + 2  # its start and its commit, and nothing of those who were refused
    assert (cluster.slot(service)["machine"], count(cluster, service)) == ("machine-c", 2)


@pytest.mark.parametrize("other", ["move", "deploy"])
def test_of_two_who_begin_together_one_wins(cluster: Cluster, service: str, other: str) -> None:
    """Both plans were good when they were made."""
    namespace = namespace_of(service)
    changed = counter(namespace)
    changed["services"][0]["template"]["env"] = {"CHANGED": "yes"}
    move = ["ployzctl", "--json", "migrate", "apply", service, "--to"]
    commands = [("machine-a", [*move, "machine-c"]), ("machine-c", [*move, "machine-a"])]
    if other == "deploy":
        cluster.inside("machine-c", "sh", "-c", f"cat > /run/{namespace}.json <<'E'\n{json.dumps(changed)}\nE")
        commands[1] = ("machine-c", ["ployzctl", "--json", "deploy", "-f", f"/run/{namespace}.json"])
    going = [cluster.start(machine, *argv, stdin=subprocess.DEVNULL) for machine, argv in commands]
    answers = [Answer.of(process, *process.communicate(timeout=120)) for process in going]
    won = [answer for answer in answers if answer.exit_code == 0]
    lost = [answer for answer in answers if answer.exit_code != 0]
    for answer in lost:
        assert (answer.exit_code, answer.code in ("lock-held", "plan-stale")) == (1, True), answer
    assert won, answers
    assert len(won) == 1 or other == "deploy", "one went after the other from a plan that was not true any more"
    assert cluster.slot(service)["state"] == "running"
    assert count(cluster, service) == 2
