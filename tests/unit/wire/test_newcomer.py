"""A newcomer at the door, over real TLS: it shows its secret to the machine that invited it, and to nobody else."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest
from anyio import to_thread
from attrs import evolve

from ployz.actors.messages.invites import UseInvite, Welcome
from ployz.config import Join
from ployz.errors import Code, PloyzError, Refused
from ployz.host.fakes.overlay import made_up_key
from ployz.ids import ClusterName, Endpoint, InviteId, MachineId
from ployz.wire.certificates import fingerprint
from ployz.wire.invitation import Invitation
from ployz.wire.message import Message, Sender
from ployz.wire.newcomer import ask_inviter
from ployz.wire.server import WireServer
from ployz.wire.session import Identity
from tests.identities import certificate, tls

A, D = MachineId("machine-a"), MachineId("machine-d")
HOME = ClusterName("home")
ASKED = UseInvite(InviteId("inv-1"), b"s" * 32, D, Endpoint("192.0.2.4:51820"), made_up_key(D), certificate(D))
WELCOME = Welcome(
    HOME, Join("fd00::/48", "10.1.0.0/16", "10.2.0.0/16", "fd00::2", "10.1.0.2", A, "", "", "", "", certificate(A))
)


class Door:
    """What answers there, and what it was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[Message[Any], Sender]] = []

    async def deliver(self, to: str, message: Message[Any], sender: Sender, *, timeout_s: float) -> Any:
        self.sent.append((message, sender))
        if to != "invites":
            raise Refused(Code.INVITE, "it was used", "Make another.")
        return WELCOME


@asynccontextmanager
async def opened(key: str = "") -> AsyncIterator[tuple[Door, Invitation]]:
    door = Door()
    server = WireServer(lambda: Identity(A, HOME), door.deliver, lambda _: None, tls(A, [], key))
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            port = await tasks.start(server.serve_newcomers, 0)
            yield (
                door,
                Invitation(ASKED.invite, HOME, f"127.0.0.1:{port}", fingerprint(certificate(A)), ASKED.secret),
            )
            tasks.cancel_scope.cancel()


async def ask(invitation: Invitation, to: str = "invites") -> Welcome:
    return await to_thread.run_sync(partial(ask_inviter, invitation, to, ASKED, timeout_s=5))


async def problem_of(asking: Awaitable[Welcome]) -> PloyzError:
    with pytest.raises(PloyzError) as caught:
        await asking
    return caught.value


def run(body: Callable[[], Awaitable[None]]) -> None:
    anyio.run(body, backend="trio")


def test_the_inviting_machine_answers_and_knows_nothing_but_the_address() -> None:
    async def body() -> None:
        async with opened() as (door, invitation):
            assert await ask(invitation) == WELCOME
            ((message, sender),) = door.sent
            assert (message, str(sender)) == (ASKED, "somebody at 127.0.0.1")
            error = await problem_of(ask(invitation, to="elsewhere"))
            assert (error.code, error.problem.advice) == (Code.INVITE, "Make another.")

    run(body)


def test_a_machine_with_another_key_is_sent_nothing() -> None:
    async def body() -> None:
        async with opened(key="-of-somebody-else") as (door, invitation):
            error = await problem_of(ask(invitation))
            assert error.code is Code.IDENTITY
            assert "Nothing was sent" in error.problem.advice
            assert door.sent == []

    run(body)


def test_a_closed_door_is_told_as_such() -> None:
    async def body() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        async with opened() as (_, invitation):
            error = await problem_of(ask(evolve(invitation, endpoint=f"127.0.0.1:{port}")))
            assert error.code is Code.MACHINE_UNREACHABLE
            assert "machine invites" in error.problem.advice

    run(body)


def test_who_speaks_no_tls_at_the_door_disturbs_nobody() -> None:
    async def body() -> None:
        async with opened() as (_, invitation):
            port = int(invitation.endpoint.rpartition(":")[2])
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(b"GET / HTTP/1.1\r\n\r\n")
                assert await ask(invitation) == WELCOME

    run(body)
