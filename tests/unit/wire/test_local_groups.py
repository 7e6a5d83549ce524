"""Who may use the operator's socket, by processes that really are other users."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from anyio import to_thread
from attrs import frozen

from ployz.actors.journal import Journal
from ployz.actors.witness import STREAM, Witness
from ployz.errors import Code, Refused
from ployz.events.memory_log import MemoryLog
from ployz.events.types import CommandGiven
from ployz.ids import MachineId
from ployz.projections.local import LocalView
from ployz.wire.local_groups import ROOT_ALONE, LocalGroups
from ployz.wire.message import OPERATOR, READER, Message, Operator, Sender
from ployz.wire.server import WireServer
from ployz.wire.session import Identity
from ployz.wire.sockets import Credentials
from tests.identities import tls
from tests.real import need
from tests.unit.facts.clocks import SchedulerClock
from tests.unit.wire import local_client
from tests.unit.wire.local_client import Dig, LookAround, Seen

A = MachineId("machine-a")
READERS, ADMINS, NEITHER = 60_001, 60_002, 60_003
USER = 60_000
GROUPS = LocalGroups(READERS, ADMINS)


# ---------------------------------------------------------------- by numbers


def test_root_may_change_whatever_groups_there_are() -> None:
    assert ROOT_ALONE.operator(Credentials(1, 0, frozenset())) == Operator(1, 0, may_change=True)


def test_a_group_that_does_not_exist_has_no_members() -> None:
    for groups in (frozenset[int](), frozenset({0, READERS})):
        with pytest.raises(Refused) as refused:
            ROOT_ALONE.operator(Credentials(1, USER, groups))
        assert refused.value.code is Code.NOT_ALLOWED


def test_a_reader_looks_and_an_admin_changes() -> None:
    assert not GROUPS.operator(Credentials(1, USER, frozenset({READERS}))).may_change
    assert GROUPS.operator(Credentials(1, USER, frozenset({ADMINS}))).may_change
    assert GROUPS.operator(Credentials(1, USER, frozenset({NEITHER, READERS, ADMINS}))).may_change


def test_what_readers_may_ask_operators_may_too_and_nobody_else() -> None:
    assert {READER, OPERATOR} == {each for each in (READER, OPERATOR) if each in LookAround.senders}
    assert READER not in Dig.senders


# ---------------------------------------------------------------- by the kernel


@frozen
class Socket:
    path: Path
    log: MemoryLog

    async def ask(self, asked: str, *groups: int, uid: int = USER) -> list[Any]:
        """As a process of that user, the first group of which is its own."""
        arguments = json.dumps([str(self.path), asked, uid, groups])
        argv = [sys.executable, "-P", "-m", local_client.__name__, arguments]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = await to_thread.run_sync(
            lambda: subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60, env=env)
        )
        answer: list[Any] = json.loads(done.stdout)
        return answer

    async def commands(self) -> list[CommandGiven]:
        records = await self.log.read(0, 1000)
        assert {each.stream for each in records} <= {STREAM}
        return [each.event for each in records if isinstance(each.event, CommandGiven)]


def serving(body: Callable[[Socket], Awaitable[None]], groups: LocalGroups = GROUPS) -> None:
    need()  # root, to become other users

    async def main(path: Path) -> None:
        log = MemoryLog(SchedulerClock())

        async def deliver(to: str, message: Message[Any], sender: Sender, *, timeout_s: float) -> Any:
            return Seen(str(sender))

        witness = Witness(Journal(log, LocalView()), deliver)
        server = WireServer(lambda: Identity(A, "home"), witness, lambda _: None, tls(A, []))
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.serve_local, path, groups)
            await body(Socket(path, log))
            tasks.cancel_scope.cancel()

    with TemporaryDirectory(prefix="ployz-socket-") as top:
        Path(top).chmod(0o755)
        anyio.run(main, Path(top) / "ployz" / "ployzd.sock", backend="trio")


def test_a_member_of_the_readers_looks_and_changes_nothing() -> None:
    async def body(there: Socket) -> None:
        for groups in ((READERS,), (NEITHER, READERS)):
            kind, who = await there.ask("look", *groups)
            assert (kind, who.endswith(f"of user {USER}")) == ("ok", True)
            code, text, advice, exit_code = await there.ask("dig", *groups)
            assert (code, exit_code) == (Code.NOT_ALLOWED, 1)
            assert text == f"user {USER} may look, and garden.dig is a change"
            assert "usermod -aG ployz-admin" in advice
        assert await there.commands() == []

    serving(body)


def test_a_change_of_an_admin_is_in_the_log_with_the_kernels_word_on_who_it_was() -> None:
    async def body(there: Socket) -> None:
        _, who = await there.ask("dig", READERS, ADMINS)
        (given,) = await there.commands()
        assert (given.uid, given.command, given.about) == (USER, "garden.dig", "production/db, machine-b")
        assert who == f"process {given.pid} of user {USER}"
        await there.ask("look", READERS, ADMINS)
        assert len(await there.commands()) == 1
        await there.ask("dig", 0, uid=0)
        assert [each.uid for each in await there.commands()] == [USER, 0]

    serving(body)


def test_somebody_in_neither_group_is_told_who_may() -> None:
    """Not even the socket can be connected to."""

    async def body(there: Socket) -> None:
        code, text, advice, exit_code = await there.ask("look", NEITHER)
        assert (code, exit_code) == (Code.NOT_ALLOWED, 1)
        assert text == f"user {USER} may not use {there.path}"
        assert "usermod -aG ployz USER" in advice
        # Where somebody opened the way there, ployzd refuses.
        there.path.parent.chmod(0o755)
        there.path.chmod(0o666)
        code, text, _, _ = await there.ask("look", NEITHER)
        assert (code, text) == (Code.NOT_ALLOWED, f"user {USER} may not ask this machine's ployzd anything")

    serving(body)


def test_socket_and_folder_are_the_readers_and_without_them_roots_alone() -> None:
    def seen(path: Path) -> tuple[int, int, int]:
        state = path.stat()
        return state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)

    async def with_readers(there: Socket) -> None:
        assert seen(there.path) == (0, READERS, 0o660)
        assert seen(there.path.parent) == (0, READERS, 0o750)

    async def without(there: Socket) -> None:
        assert seen(there.path) == (0, 0, 0o660)
        assert seen(there.path.parent) == (0, 0, 0o750)
        assert (await there.ask("look", READERS))[0] == Code.NOT_ALLOWED

    serving(with_readers)
    serving(without, ROOT_ALONE)


def test_a_folder_that_is_somebody_elses_stays_as_it_is() -> None:
    need()
    with TemporaryDirectory(prefix="ployz-socket-") as top:
        Path(top).chmod(0o1777)
        (Path(top) / "x.sock").touch()
        GROUPS.open_to_readers(Path(top) / "x.sock")
        assert (Path(top).stat().st_gid, (Path(top) / "x.sock").stat().st_gid) == (0, READERS)
