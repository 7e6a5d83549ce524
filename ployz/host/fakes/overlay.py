"""An Overlay in memory: it keeps what it was told, and answers as the real one would."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256

import anyio

from ployz.host.ports import OverlayConfig, OverlayState, PeerStatus
from ployz.host.wireguard.changes import places
from ployz.ids import MTU_MAX, WireGuardKey


def made_up_key(seed: str) -> WireGuardKey:
    return WireGuardKey(b64encode(sha256(seed.encode()).digest()).decode())


class FakeOverlay:
    """`applied` is every state that changed something, oldest first: what a test of an actor looks at."""

    def __init__(self, key: str) -> None:
        """`key`: the public key that it answers with; one a machine."""
        self._key = key
        self._next: str | None = None
        self.config: OverlayConfig | None = None
        self.applied: list[OverlayState] = []
        self.strange_doors: frozenset[str] = frozenset()
        """Closed by somebody else; gone with the next change."""
        self.handshake_ages_s: dict[str, float] = {}
        """Of each peer that ever spoke, by its key."""
        self.heard_at: dict[str, str] = {}
        """The endpoint of each that has roamed, by its key."""
        self.unheard: set[str] = set()
        """The keys of those from which nothing comes; from every other one, always more."""
        self._received_bytes = 0
        self.narrow: dict[str, int] = {}
        """What the interface on the way to a peer takes, by its key, where that is less than MTU_MAX."""
        self._news = anyio.Event()
        self.changed: dict[str, tuple[str, ...]] = {}
        """By somebody else, by kind: it is so until it is put back."""

    async def public_key(self) -> str:
        return self._key

    async def next_key(self) -> str:
        self._next = self._next or made_up_key(self._key)
        return self._next

    async def switch_key(self) -> None:
        self._key, self._next = self._next or self._key, None

    async def up(self, config: OverlayConfig) -> None:
        self.config = config

    async def apply(self, state: OverlayState) -> None:
        self._must_be_up()
        if not self.applied or self.applied[-1] != state:
            self.applied.append(state)
            self.strange_doors = frozenset()

    async def drift(self, state: OverlayState) -> Mapping[str, tuple[str, ...]]:  # noqa: ARG002 - what holds is known
        self._must_be_up()
        return dict(self.changed)

    async def next_loss(self) -> None:
        await self._news.wait()
        self._news = anyio.Event()

    def take_away(self, kind: str, *words: str) -> None:
        """As somebody else does it whom the kernel tells of."""
        self.changed[kind] = words
        self._news.set()

    async def restore(self, state: OverlayState, kinds: Collection[str]) -> None:
        await self.apply(state)
        for kind in kinds:
            self.changed.pop(kind, None)

    async def status(self) -> Sequence[PeerStatus]:
        self._must_be_up()
        peers = self.applied[-1].peers if self.applied else ()
        self._received_bytes += 1
        return [
            PeerStatus(
                each.public_key,
                self.handshake_ages_s.get(each.public_key),
                0 if each.public_key in self.unheard else self._received_bytes,
                0,
                self.heard_at.get(each.public_key, each.endpoint),
            )
            for each in peers
        ]

    async def ways(self) -> Mapping[str, int]:
        self._must_be_up()
        peers = self.applied[-1].peers if self.applied else ()
        return {each.public_key: self.narrow.get(each.public_key, MTU_MAX) for each in peers}

    async def seek(self, public_key: str, endpoint: str) -> None:
        self._must_be_up()
        if self.applied and any(each.public_key == public_key for each in self.applied[-1].peers):
            self.heard_at[public_key] = endpoint

    async def doors(self) -> frozenset[str]:
        now = self.applied[-1] if self.applied else None
        return self.strange_doors | (now.closed | now.hidden if now else frozenset())

    def places(self) -> Mapping[str, str | None]:
        """Every address with the key of the peer that has it now; None: it is here."""
        return places(self.applied[-1]) if self.applied else {}

    def after_power_cut(self) -> FakeOverlay:
        """What is left: the keys, which are files."""
        fresh = FakeOverlay(self._key)
        fresh._next = self._next
        return fresh

    def _must_be_up(self) -> None:
        if self.config is None:
            raise AssertionError("up() comes first")
