"""`ployzctl machine add [NAME=]USER@HOST…`: an invitation here, and `machine join` there over ssh, one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from ployz.actors.messages.invites import ListInvites, MakeInvite, RevokeInvite
from ployz.actors.messages.machine import ListMachines, MachineRow
from ployz.cli.arguments import Parser, count, named
from ployz.cli.blocks import Block, Table
from ployz.cli.call import ANSWER_S, Call
from ployz.errors import CleanupPending, Code, Failed, PloyzError, Problem, Refused
from ployz.ids import InvalidName, InviteId, MachineId
from ployz.install.endpoint import endpoint
from ployz.install.remote import Remote
from ployz.surroundings import SLOWNESS

INVITE_S: Final = 900.0
ANSWERS_S: Final = 60.0 * SLOWNESS
"""How long a new member may take until it answers."""
PORT: Final = 51820


@frozen
class Target:
    destination: str
    machine: MachineId | None
    """None: what it calls itself."""


@frozen
class AddedRow:
    destination: str
    machine: MachineId | None
    """None: it was not found out."""
    joined: bool
    answers: bool
    problem: Problem | None


@frozen
class Added:
    machines: tuple[AddedRow, ...]


def target(text: str) -> Target:
    name, has_name, destination = text.rpartition("=")
    if not destination or destination.startswith("-"):
        raise InvalidName(f"{text!r} is no machine: write USER@HOST or NAME=USER@HOST")
    return Target(destination, MachineId(name) if has_name else None)


def add_arguments(parser: Parser) -> None:
    parser.add_argument("targets", type=named(target), nargs="+", metavar="[NAME=]USER@HOST")
    parser.add_argument(
        "--port", type=count, default=PORT, metavar="PORT", help="of WireGuard there (default: %(default)s)"
    )
    parser.add_argument(
        "--endpoint", type=endpoint, metavar="IP:PORT", help="of a single machine (default: ssh's address, and --port)"
    )
    parser.add_argument("--pool", metavar="POOL", help="as of `machine join`, on each of them")
    parser.add_argument("--ssh-config", type=Path, metavar="FILE", help="for ssh, instead of your own configuration")
    parser.add_argument(
        "--program", default="ployzctl", metavar="PATH", help="ployzctl on those machines (default: %(default)s)"
    )


def run(call: Call) -> int:
    targets: list[Target] = call.arguments.targets
    if call.arguments.endpoint and len(targets) > 1:
        raise Refused(Code.USAGE, "--endpoint is of a single machine", "Give --port, or add them one by one.")
    rows = []
    for each in targets:
        row = _add(call, each)
        rows.append(row)
        call.out.note(f"{row.destination}: {_words(row)}")
    return _show(call, tuple(rows))


def _show(call: Call, rows: tuple[AddedRow, ...]) -> int:
    problems = [row.problem for row in rows if row.problem]
    problem = None
    if problems:
        text = f"{len(problems)} of {len(rows)} machines: {'; '.join(each.text for each in problems)}"
        problem = problems[0] if len(rows) == 1 else Problem(problems[0].code, text, problems[0].advice)
    call.out.show("machine.added", Added(rows), render, problem=problem)
    if problem is None:
        return 0
    if all(row.joined for row in rows):
        return CleanupPending.exit_code
    return Failed.exit_code if any(row.joined for row in rows) else Refused.exit_code


# ---------------------------------------------------------------- one machine


def _add(call: Call, wanted: Target) -> AddedRow:
    """Whatever fails ends this one alone. Given again, it goes on where it stopped."""
    remote = Remote(wanted.destination, call.arguments.program, config=call.arguments.ssh_config)
    machine, joined = wanted.machine, False
    try:
        found = remote.look()
        machine = machine or found
        place = call.arguments.endpoint or _endpoint(remote.address(), call.arguments.port)
        _join(call, remote, machine, place)
        joined = True
        remote.start()
        answers = _answers(call, machine)
    except PloyzError as error:
        return AddedRow(wanted.destination, machine, joined, answers=False, problem=error.problem)
    problem = None if answers else _silent(machine)
    return AddedRow(wanted.destination, machine, joined, answers, problem)


def _silent(machine: MachineId) -> Problem:
    return Problem(
        Code.CLEANUP_PENDING,
        f"{machine} is a member and does not answer yet",
        f"Look at its ployzd there (`systemctl status ployzd`), and at `ployzctl machine show {machine}`.",
    )


def _endpoint(address: str, port: int) -> str:
    return endpoint(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")


def _join(call: Call, remote: Remote, machine: MachineId, place: str) -> None:
    member = _member(call, machine)
    if member is not None and member.endpoint == place:
        return
    if member is not None:
        text = f"there is a machine {machine} at {member.endpoint} already"
        raise Refused(Code.MACHINE_EXISTS, text, "Give this one another name: NAME=USER@HOST.")
    made = call.node.ask("invites", MakeInvite(INVITE_S), timeout_s=ANSWER_S)
    options = ["--pool", call.arguments.pool] if call.arguments.pool else []
    try:
        remote.join(made.token, machine, place, options)
    except BaseException:
        # Also when it was interrupted: nothing open is left behind. What used it before that is a member.
        if not _revoke(call, made.invite, machine):
            raise


def _revoke(call: Call, invite: InviteId, machine: MachineId) -> bool:
    """Whether it was used after all: then it is a lost answer, and no failure."""
    with suppress(Refused):  # it was used, which the list says
        call.node.ask("invites", RevokeInvite(invite), timeout_s=ANSWER_S)
    rows = call.node.ask("invites", ListInvites(), timeout_s=ANSWER_S).invites
    return any(row.invite == invite and row.state == f"used by {machine}" for row in rows)


def _member(call: Call, machine: MachineId) -> MachineRow | None:
    listed = call.node.ask("machine", ListMachines(), timeout_s=ANSWER_S)
    return next((row for row in listed.machines if row.machine == machine), None)


def _answers(call: Call, machine: MachineId) -> bool:
    ends_s = time.monotonic() + ANSWERS_S
    while (member := _member(call, machine)) is None or not member.reachable:
        if time.monotonic() > ends_s:
            return False
        time.sleep(1)
    return True


# ---------------------------------------------------------------- words


def render(added: Added) -> Iterator[Block]:
    yield Table(
        columns=("HOST", "MACHINE", "STATE"),
        rows=tuple((row.destination, row.machine or "-", _words(row)) for row in added.machines),
    )


def _words(row: AddedRow) -> str:
    if row.answers:
        return "joined, and answers"
    return "joined, and does not answer yet" if row.joined else f"not joined: {row.problem.code if row.problem else ''}"
