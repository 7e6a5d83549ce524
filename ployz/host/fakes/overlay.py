"""An Overlay in memory: it keeps what it was told, and answers as the real one would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ployz.host.ports import OverlayConfig, OverlayState, PeerStatus
from ployz.host.wireguard.changes import places


class FakeOverlay:
    """`applied` is every state that changed something, oldest first: what a test of an actor looks at."""

    def __init__(self, key: str) -> None:
        """`key`: the public key that it answers with; one a machine."""
        self._key = key
        self.config: OverlayConfig | None = None
        self.applied: list[OverlayState] = []

    async def public_key(self) -> str:
        return self._key

    async def up(self, config: OverlayConfig) -> None:
        self.config = config

    async def apply(self, state: OverlayState) -> None:
        self._must_be_up()
        if not self.applied or self.applied[-1] != state:
            self.applied.append(state)

    async def status(self) -> Sequence[PeerStatus]:
        """Every peer, none of which ever spoke."""
        self._must_be_up()
        peers = self.applied[-1].peers if self.applied else ()
        return [PeerStatus(peer.public_key, None, 0, 0) for peer in peers]

    def places(self) -> Mapping[str, str | None]:
        """Every address with the key of the peer that has it now; None: it is here."""
        return places(self.applied[-1]) if self.applied else {}

    def _must_be_up(self) -> None:
        if self.config is None:
            raise AssertionError("up() comes first")
