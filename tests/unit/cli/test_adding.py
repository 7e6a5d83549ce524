"""`machine add` with an ssh that is a script: what is run where, and what is left when it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from ployz.actors.messages.invites import InviteList, InviteRow, ListInvites, MakeInvite, RevokeInvite
from ployz.actors.messages.machine import ListMachines, MachineList
from ployz.cli.commands.machine import add
from ployz.ids import MachineId
from ployz.wire.message import Done, Message
from tests.unit.cli import samples
from tests.unit.cli.terminal import Answer, Ended, ployzctl

D = MachineId("machine-d")
PLACE = "192.0.2.44:51820"
MEMBER = evolve(samples.MACHINES.machines[0], machine=D, endpoint=PLACE, reachable=True)

SSH = """#!/bin/sh
printf '%s\\n' "$*" >>"$0.argv"
case " $* " in
    *" -G "*) echo 'user root'; echo 'hostname 192.0.2.44' ;;
    *" join "*)
        cat >>"$0.stdin"
        test ! -e "$0.refuses" || { cat "$0.refuses"; exit 1; }
        exit "$(cat "$0.exit" || echo 0)" ;;
    *hostname*)
        test ! -e "$0.away" || { echo 'connect: No route to host' >&2; exit 255; }
        echo Machine-D.example.net ;;
esac
"""


@frozen
class Ssh:
    path: Path

    def said(self, what: str) -> str:
        found = self.path.with_name(f"ssh.{what}")
        return found.read_text() if found.exists() else ""

    def will(self, what: str, text: str = "") -> None:
        self.path.with_name(f"ssh.{what}").write_text(text)


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    path = tmp_path / "ssh"
    path.write_text(SSH)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(add, "ANSWERS_S", 0.0)
    return Ssh(path)


def adding(*targets: str, state: str = "revoked", members: tuple[MachineList, ...] = ()) -> Ended:
    """`state`: what became of the invitation. `members`: what is listed, one time after the other."""
    listed = list(members)

    def machines(_: ListMachines) -> MachineList:
        return listed.pop(0) if len(listed) > 1 else listed[0]

    row = InviteRow(samples.INVITE.invite, samples.A, samples.INVITE.expires_ms, state)
    answers: dict[type[Message[Any]], Answer] = {
        MakeInvite: samples.INVITE,
        RevokeInvite: Done(),
        ListInvites: InviteList((row,)),
        ListMachines: machines,
    }
    return ployzctl("--json", "machine", "add", *targets, answers=answers)


BEFORE = samples.MACHINES
AFTER = evolve(samples.MACHINES, machines=(*samples.MACHINES.machines, MEMBER))


def test_it_joins_there_with_a_token_that_no_list_of_processes_shows(ssh: Ssh) -> None:
    ended = adding("root@d", members=(BEFORE, AFTER))
    assert ended.exit_code == 0, ended.out
    (row,) = ended.lines[0]["payload"]["machines"]
    assert (row["machine"], row["joined"], row["answers"]) == (D, True, True)
    assert ssh.said("stdin") == f"{samples.INVITE.token}\n"
    assert samples.INVITE.token not in ssh.said("argv") + ended.out + ended.err
    assert f"ployzctl --json machine join - --machine {D} --endpoint {PLACE}" in ssh.said("argv")
    assert [type(message) for _, message in ended.asked].count(RevokeInvite) == 0


def test_who_is_not_root_there_becomes_it(ssh: Ssh) -> None:
    adding("deploy@d", members=(BEFORE, AFTER))
    assert "sudo -n ployzctl --json machine join -" in ssh.said("argv")


def test_a_host_that_is_not_reached_gets_no_invitation(ssh: Ssh) -> None:
    ssh.will("away")
    ended = adding("root@d", members=(BEFORE,))
    assert (ended.exit_code, ended.lines[0]["code"]) == (1, "ssh-failed")
    assert "No route to host" in ended.lines[0]["message"]
    assert ended.asked == ()


def test_what_was_refused_there_is_said_here_and_its_invitation_revoked(ssh: Ssh) -> None:
    said = {"ok": False, "code": "missing-part", "message": "there is no pool tank", "payload": {"advice": "make it"}}
    ssh.will("refuses", json.dumps(said))
    ended = adding("root@d", members=(BEFORE,))
    assert (ended.exit_code, ended.lines[0]["code"]) == (1, "missing-part")
    assert "there is no pool tank" in ended.lines[0]["message"]
    assert RevokeInvite(samples.INVITE.invite) in [message for _, message in ended.asked]


def test_a_connection_that_was_lost_after_the_join_is_no_failure(ssh: Ssh) -> None:
    ssh.will("exit", "255")
    ended = adding("root@d", state=f"used by {D}", members=(BEFORE, AFTER))
    assert ended.exit_code == 0, ended.out


def test_a_member_that_does_not_answer_yet_is_told_and_ends_with_4(ssh: Ssh) -> None:
    silent = evolve(AFTER, machines=(*BEFORE.machines, evolve(MEMBER, reachable=False)))
    ended = adding("root@d", members=(BEFORE, silent))
    assert (ended.exit_code, ended.lines[0]["code"]) == (4, "cleanup-pending")


def test_given_again_it_goes_on_where_it_stopped(ssh: Ssh) -> None:
    ended = adding("root@d", members=(AFTER,))
    assert ended.exit_code == 0
    assert MakeInvite not in [type(message) for _, message in ended.asked]
    assert "join" not in ssh.said("argv")


def test_another_machine_of_that_name_is_not_touched(ssh: Ssh) -> None:
    ended = adding(f"{samples.A}=root@d", members=(BEFORE,))
    assert (ended.exit_code, ended.lines[0]["code"]) == (1, "machine-exists")
    assert "join" not in ssh.said("argv")


def test_each_host_has_a_result_of_its_own(ssh: Ssh) -> None:
    ended = adding("root@d", f"{samples.A}=root@e", members=(BEFORE, AFTER))
    assert ended.exit_code == 3
    assert [row["joined"] for row in ended.lines[0]["payload"]["machines"]] == [True, False]
    assert "1 of 2 machines" in ended.lines[0]["message"]


@pytest.mark.parametrize("target", ["", "-oProxyCommand=x", "x=", "Machine_D=root@d"])
def test_what_is_no_host_is_refused(target: str, ssh: Ssh) -> None:
    ended = adding("--", target, members=(BEFORE,))
    assert (ended.exit_code, ended.asked, ssh.said("argv")) == (2, (), "")
