"""The contract of the Overlay port, held by the fake and by WireGuard in a network namespace.

That packets arrive where the contract says is in test_overlay_packets.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from attrs import frozen

from ployz.clock import SystemClock
from ployz.host.fakes.overlay import FakeOverlay
from ployz.host.ports import Overlay, OverlayConfig, OverlayPeer, OverlayState
from ployz.host.wireguard import WireGuard
from tests.netns import NetworkNamespace, machine
from tests.real import need

T = TypeVar("T")

DB = frozenset({"fd77:7:0:1::d", "10.78.0.13"})
WEB = frozenset({"fd77:7:0:1::e", "10.78.0.14"})
KEY_A = "sF8yGuhrqVf2BlhVNXV8hzHKwcJlPDVMOMbQ5TG2c1c="
KEY_B = "qC4LzLlU2hL4PpGXZYqVbAGV9YzQZCSlYAOHVe3uUTA="


CONFIG = OverlayConfig(
    interface="wg0",
    ipv6="fd77:7::1",
    ipv4="10.77.0.1",
    listen_port=51820,
    bridge="br0",
    ipv6_subnet="fd77:7:0:1::/64",
    ipv4_subnet="10.78.0.0/16",
)


def wait_for(call: Callable[[], Awaitable[T]]) -> T:
    return anyio.run(call, backend="trio")


@frozen
class Subject:
    overlay: Overlay
    places: Callable[[], Mapping[str, str]]
    """Address -> key of the peer that has it, as this machine would send now."""


@pytest.fixture(params=["fake", pytest.param("wireguard", marks=pytest.mark.real)])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "fake":
        fake = FakeOverlay(KEY_A)
        yield Subject(fake, lambda: {address: key for address, key in fake.places().items() if key})
        return
    need("wg", "ip", "unshare", "nsenter", "setpriv", "sysctl")
    with machine() as host:
        yield Subject(WireGuard(tmp_path / "key", SystemClock(), prefix=host.prefix), lambda: allowed(host))


def allowed(host: NetworkNamespace) -> Mapping[str, str]:
    lines = (line.split() for line in host.run("wg", "show", "wg0", "allowed-ips").splitlines())
    return {prefix.split("/")[0]: key for key, *prefixes in lines for prefix in prefixes if prefix != "(none)"}


def two_peers(first: frozenset[str], second: frozenset[str], local: frozenset[str] = frozenset()) -> OverlayState:
    return OverlayState(
        peers=(OverlayPeer(KEY_A, "192.0.2.1:51820", first), OverlayPeer(KEY_B, "[2001:db8::2]:51820", second)),
        local=local,
    )


def test_the_public_key_stays_the_same(subject: Subject) -> None:
    assert wait_for(subject.overlay.public_key) == wait_for(subject.overlay.public_key)


def test_the_key_changes_when_it_is_switched_and_the_next_one_waits_until_then(subject: Subject) -> None:
    async def main() -> None:
        await subject.overlay.up(CONFIG)
        await subject.overlay.apply(two_peers(DB, WEB))
        old, new = await subject.overlay.public_key(), await subject.overlay.next_key()
        assert new not in {old, ""}
        assert (await subject.overlay.public_key(), await subject.overlay.next_key()) == (old, new)
        for _ in range(2):
            await subject.overlay.switch_key()
            assert await subject.overlay.public_key() == new
        await subject.overlay.up(CONFIG)
        assert await subject.overlay.public_key() == new
        assert len(await subject.overlay.status()) == 2
        assert await subject.overlay.next_key() != new

    wait_for(main)
    assert subject.places() == {**dict.fromkeys(DB, KEY_A), **dict.fromkeys(WEB, KEY_B)}


def test_what_was_applied_is_no_drift_and_putting_it_back_changes_nothing(subject: Subject) -> None:
    async def main() -> None:
        await subject.overlay.up(CONFIG)
        state = two_peers(DB, WEB)
        await subject.overlay.apply(state)
        assert await subject.overlay.drift(state) == {}
        await subject.overlay.restore(state, ["interface", "peers", "routes", "bridge", "switches", "rules", "doors"])
        assert await subject.overlay.drift(state) == {}

    wait_for(main)
    assert subject.places() == {**dict.fromkeys(DB, KEY_A), **dict.fromkeys(WEB, KEY_B)}


def test_up_twice_is_done_and_shows_no_peer(subject: Subject) -> None:
    async def main() -> None:
        await subject.overlay.up(CONFIG)
        await subject.overlay.up(CONFIG)
        assert not await subject.overlay.status()

    wait_for(main)


def test_the_peers_are_those_of_the_last_state(subject: Subject) -> None:
    async def main() -> None:
        await subject.overlay.up(CONFIG)
        await subject.overlay.apply(two_peers(DB, WEB))
        assert {peer.public_key for peer in await subject.overlay.status()} == {KEY_A, KEY_B}
        assert {peer.handshake_age_s for peer in await subject.overlay.status()} == {None}
        await subject.overlay.apply(OverlayState(peers=two_peers(DB, WEB).peers[1:], local=frozenset()))
        assert [peer.public_key for peer in await subject.overlay.status()] == [KEY_B]

    wait_for(main)
    assert subject.places() == dict.fromkeys(WEB, KEY_B)


def test_a_peer_is_sought_where_it_is_said_to_be_and_what_is_none_becomes_none(subject: Subject) -> None:
    async def main() -> None:
        await subject.overlay.up(CONFIG)
        await subject.overlay.apply(OverlayState(peers=two_peers(DB, WEB).peers[1:], local=frozenset()))
        await subject.overlay.seek(KEY_B, "[2001:db8::9]:4711")
        await subject.overlay.seek(KEY_A, "192.0.2.9:4711")
        assert [(each.public_key, each.endpoint) for each in await subject.overlay.status()] == [
            (KEY_B, "[2001:db8::9]:4711")
        ]
        assert await subject.overlay.ways() == {KEY_B: 1420}, "nothing leads there"

    wait_for(main)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (two_peers(DB, WEB), {**dict.fromkeys(DB, KEY_A), **dict.fromkeys(WEB, KEY_B)}),
        (two_peers(frozenset(), DB | WEB), dict.fromkeys(DB | WEB, KEY_B)),
        (two_peers(DB | WEB, frozenset()), dict.fromkeys(DB | WEB, KEY_A)),
        (two_peers(DB | WEB, DB), {**dict.fromkeys(WEB, KEY_A), **dict.fromkeys(DB, KEY_B)}),
        (two_peers(DB, WEB, local=DB), dict.fromkeys(WEB, KEY_B)),
        (two_peers(frozenset(), frozenset()), {}),
    ],
    ids=["apart", "moved there", "moved back", "claimed by both", "claimed here", "gone"],
)
def test_an_address_is_in_one_place(subject: Subject, state: OverlayState, expected: Mapping[str, str]) -> None:
    async def main() -> None:
        await subject.overlay.up(CONFIG)
        await subject.overlay.apply(two_peers(DB, WEB))
        await subject.overlay.apply(state)
        await subject.overlay.apply(state)

    wait_for(main)
    assert subject.places() == expected
