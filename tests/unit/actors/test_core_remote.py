"""Two actor systems over a real connection: a remote actor is asked as a local one is."""

from __future__ import annotations

import anyio
import pytest
from attrs import frozen

from ployz.actors.core import Actor, handles
from ployz.actors.system import ActorSystem
from ployz.errors import Code, Failed, Refused
from ployz.ids import MachineId
from ployz.wire.client import PeerClient
from ployz.wire.message import PEER, Message, message
from ployz.wire.server import WireServer
from ployz.wire.session import Identity
from tests.identities import from_here, tls

A, B = MachineId("machine-a"), MachineId("machine-b")


@frozen
class Greeting:
    text: str


@message("remote.greet", senders=PEER)
@frozen
class Greet(Message[Greeting]):
    name: str


@message("remote.secret")
@frozen
class Secret(Message[Greeting]):
    pass


class Greeter(Actor):
    @handles(Greet)
    async def greet(self, message: Greet) -> Greeting:
        if not message.name:
            raise Refused(Code.USAGE, "nobody to greet", "Say who.")
        if message.name == "bug":
            raise ZeroDivisionError
        return Greeting(f"{message.name}, from {self.sender}")

    @handles(Secret)
    async def secret(self, message: Secret) -> Greeting:
        return Greeting("42")


def test_a_remote_actor_is_asked_as_a_local_one() -> None:
    async def main() -> None:
        ports: dict[MachineId, tuple[str, int]] = {}
        with anyio.fail_after(30):
            async with (
                PeerClient(lambda: Identity(A, "prod"), ports.get, tls(A, [B])) as peers,
                ActorSystem(A, peers) as here,
                ActorSystem(B) as there,
                anyio.create_task_group() as tasks,
            ):
                server = WireServer(lambda: Identity(B, "prod"), there.deliver, {A: "::1"}.get, tls(B, [A]))
                ports[B] = ("::1", await tasks.start(server.serve_peers, "::1", 0, from_here))
                here.spawn("greeter", Greeter)
                there.spawn("greeter", Greeter)

                own = await here.remote(A, "greeter").ask(Greet("db"), timeout_s=5)
                assert own == Greeting("db, from this node")
                remote = here.remote(B, "greeter")
                assert await remote.ask(Greet("db"), timeout_s=5) == Greeting("db, from machine machine-a")
                with pytest.raises(Refused) as refused:
                    await remote.ask(Greet(""), timeout_s=5)
                assert refused.value.problem.advice == "Say who."
                with pytest.raises(Refused) as refused:
                    await remote.ask(Secret(), timeout_s=5)
                assert refused.value.code is Code.NOT_ALLOWED
                with pytest.raises(Refused) as refused:
                    await here.remote(B, "nobody").ask(Greet("x"), timeout_s=5)
                assert refused.value.code is Code.UNKNOWN_ACTOR
                with pytest.raises(Failed) as failed:
                    await remote.ask(Greet("bug"), timeout_s=5)
                assert failed.value.code is Code.BUG
                assert (await remote.ask(Greet("db"), timeout_s=5)).text.startswith("db")
                tasks.cancel_scope.cancel()

    anyio.run(main, backend="trio")
