"""What readers send costs the event loop next to nothing, however it is made: it is read beside it, in time."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from ployz.actors.messages.operations import PreviewDeploy
from ployz.errors import Code, Refused
from ployz.ids import ClusterName, MachineId
from ployz.manifest import InvalidManifest, parse
from ployz.strict import pack
from ployz.wire import aside
from ployz.wire.aside import ThreadAside
from ployz.wire.local import LocalNode
from ployz.wire.local_groups import LocalGroups
from ployz.wire.message import Message, Operator, Sender
from ployz.wire.server import WireServer
from ployz.wire.session import PROTOCOL_VERSION, Identity, Refusal, Request, Role, Session
from tests.identities import tls

A = MachineId("machine-a")
MIB = 1 << 20
LOOP_S = 0.1
"""Of processor time on the loop, for 1 MiB from a reader."""


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number:05d}-abcdefghijklmnopqrstuvwxyz-abcdefghij" for number in range(count)]


def mistaken() -> str:
    """1,024 volumes with long names, and 512 mounts of others with names much like them."""
    volumes = "".join(f"[[volumes]]\nname = '{name}'\n" for name in names("vol", 1024))
    mounts = iter(names("wol", 512))
    services = "".join(
        f"[[services]]\nname = 's{at}'\nplacement = {{ replicated = {{ count = 1 }} }}\n[services.template]\n"
        "image = 'a'\nmounts = ["
        + "".join(f"{{ source = {{ volume = '{next(mounts)}' }}, target = '/m{one}' }}," for one in range(64))
        + "]\n"
        for at in range(8)
    )
    return f"namespace = 'a'\n{volumes}{services}"


@pytest.mark.parametrize("text", ["[[a]]\n" * (MIB // 6), mistaken()], ids=["tables", "names that are near"])
def test_a_manifest_of_any_kind_is_read_beside_the_loop(text: str) -> None:
    async def body() -> float:
        began_s = time.thread_time()
        with pytest.raises(InvalidManifest):
            await ThreadAside().run(partial(parse, text), for_stranger=True)
        return time.thread_time() - began_s

    assert anyio.run(body, backend="trio") < LOOP_S


def test_two_hundred_mistakes_among_a_thousand_names_are_told_within_two_seconds() -> None:
    began_s = time.thread_time()
    with pytest.raises(InvalidManifest) as refused:
        parse(mistaken())
    assert len(refused.value.mistakes) == 200
    assert "did you mean 'vol-00" in refused.value.mistakes[0].text
    assert time.thread_time() - began_s < 2.0


def test_what_takes_too_long_is_refused_and_keeps_only_strangers_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "ASIDE_S", 0.2)

    async def body() -> None:
        lanes = ThreadAside()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(refuses, lanes, lambda: time.sleep(0.6)))
            await anyio.sleep(0.05)
            tasks.start_soon(partial(refuses, lanes, lambda: None))
            assert await lanes.run(lambda: "done", for_stranger=False) == "done"

    anyio.run(body, backend="trio")


async def refuses(lanes: ThreadAside, work: Any) -> None:
    with pytest.raises(Refused) as refused:
        await lanes.run(work, for_stranger=True)
    assert refused.value.code is Code.MAILBOX_FULL


async def answer(to: str, message: Message[Any], sender: Sender, *, timeout_s: float) -> Any:
    raise Refused(Code.INVALID_MANIFEST, f"{message.tag} was read, and is refused here")


class Readers(LocalGroups):
    """Whoever comes may look, and no more."""

    def operator(self, credentials: Any) -> Operator:
        return Operator(credentials.pid, credentials.uid, may_change=False)


BODIES = {
    "unknown fields": {f"field-{number}": 0 for number in range(70_000)},
    "a list instead of text": {"text": [0] * (MIB - 64)},
    "deep lists": {"text": [[[[]]]] * (MIB // 8)},
    "text": {"text": "[[a]]\n" * (MIB // 6)},
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_message_of_a_mebibyte_is_unpacked_beside_the_loop(tmp_path: Path, kind: str) -> None:
    body = pack(BODIES[kind])
    path = tmp_path / "ployzd.sock"
    server = WireServer(lambda: Identity(A, ClusterName("home")), answer, lambda _: None, tls(A, []))

    def ask() -> None:
        with LocalNode(path) as node:
            conversation = node._conversation
            session, raw = conversation._session, conversation._socket
            raw.settimeout(20)
            raw.sendall(session.send(Request(session.next_id(), "operations", PreviewDeploy.tag, 20_000, body)))
            assert isinstance(conversation._next_frame("it was dropped"), Refusal)

    async def serve() -> float:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                await tasks.start(server.serve_local, path, Readers(None, None))
                began_s = time.thread_time()
                await to_thread.run_sync(ask)
                took_s = time.thread_time() - began_s
                tasks.cancel_scope.cancel()
        return took_s

    assert anyio.run(serve, backend="trio") < LOOP_S


def test_a_frame_of_many_values_ends_the_connection_at_once() -> None:
    session = Session(Role.SERVER)
    many = pack({"kind": "hello", "version": PROTOCOL_VERSION, "cluster": "", "machine": "", "more": [0] * 60_000})
    session.feed(len(many).to_bytes(4, "big") + many)
    began_s = time.thread_time()
    with pytest.raises(Refused, match="too many values"):
        session.next_frame()
    assert time.thread_time() - began_s < 0.01
