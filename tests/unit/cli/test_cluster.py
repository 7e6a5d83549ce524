"""What the commands about the cluster's fact log print, for people and for scripts."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from ployz.actors.messages.authority import (
    BackedUp,
    BackUpFacts,
    ClusterState,
    EtcdMember,
    MemberReplaced,
    Promoted,
    PromoteFacts,
    ReplaceMember,
    ShowCluster,
)
from ployz.ids import MachineId
from ployz.wire.message import Message
from tests.unit.cli.terminal import Answer, golden, ployzctl

A = MachineId("machine-a")
ETCD_MEMBERS = (
    EtcdMember("https://192.0.2.7:2379", True, "3.5.28", True, 40_960, 0, ""),
    EtcdMember(
        "https://192.0.2.8:2379",
        True,
        "3.4.23",
        False,
        36_864,
        2,
        "etcd 3.4.23 is not for production: install 3.5.28 or 3.6.9, or newer",
    ),
    EtcdMember("https://192.0.2.9:2379", False, "", False, 0, 0, "https://192.0.2.9:2379 did not answer"),
)
ON_ETCD = ClusterState("etcd", A, 17, 16, "", ETCD_MEMBERS)
EMBEDDED_AWAY = ClusterState("embedded", A, None, 16, "the connection to machine-a is lost", ())
PROMOTED = Promoted(17, ETCD_MEMBERS[:1])
OWN_MEMBER = EtcdMember("https://[fd00::1]:2379", True, "3.5.28", True, 40_960, 0, "", machine="machine-a")
PROMOTED_TO_MACHINE = Promoted(17, (OWN_MEMBER,))
REPLACED = MemberReplaced((attrs.evolve(OWN_MEMBER, machine="machine-b"),))


CASES: dict[str, tuple[tuple[str, ...], dict[type[Message[Any]], Answer]]] = {
    "cluster-status": (("cluster", "status"), {ShowCluster: ON_ETCD}),
    "cluster-status-away": (("cluster", "status"), {ShowCluster: EMBEDDED_AWAY}),
    "cluster-backup": (("cluster", "backup", "/f"), {BackUpFacts: BackedUp("/f", 17)}),
    "cluster-promote": (("cluster", "promote", "--etcd", "-", "--yes"), {PromoteFacts: PROMOTED}),
    "cluster-promote-machines": (("cluster", "promote", "machine-a", "--yes"), {PromoteFacts: PROMOTED_TO_MACHINE}),
    "cluster-replace": (("cluster", "replace", "machine-a", "machine-b"), {ReplaceMember: REPLACED}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_pipe_gets_plain_text(name: str) -> None:
    argv, answers = CASES[name]
    ended = ployzctl(*argv, answers=answers)
    assert (ended.exit_code, ended.err) == (0, "")
    golden(f"{name}.txt", ended.out)


@pytest.mark.parametrize("name", CASES)
def test_a_script_gets_json_of_one_shape(name: str) -> None:
    argv, answers = CASES[name]
    ended = ployzctl("--json", *argv, answers=answers)
    assert (ended.exit_code, ended.err) == (0, "")
    golden(f"{name}.jsonl", ended.out)


def test_nobody_moves_the_facts_by_accident() -> None:
    ended = ployzctl("cluster", "promote", "--etcd", "-", answers={PromoteFacts: PROMOTED})
    assert ended.exit_code == 2
    assert "--yes" in ended.err


def test_either_machines_or_an_etcd_is_named() -> None:
    for words in ((), ("machine-a", "--etcd", "-")):
        ended = ployzctl("cluster", "promote", *words, "--yes", answers={PromoteFacts: PROMOTED})
        assert ended.exit_code == 2
        assert "--etcd FILE" in ended.err
