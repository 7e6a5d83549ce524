"""The port to the overlay: where every address is, as values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Protocol

from attrs import field, frozen

from ployz.ids import MTU_MAX

BLOCK_BYTES: Final = 16
"""WireGuard fills packets up to a multiple of it."""


@frozen
class OverlayPeer:
    public_key: str
    endpoint: str
    """`192.0.2.7:51820` or `[2001:db8::7]:51820`."""
    addresses: frozenset[str]
    """Every single address that lives behind this peer: its own, and those of the instances it runs."""
    mtu: int = MTU_MAX
    """No larger packet gets there."""

    @property
    def packet_bytes(self) -> int:
        """The largest packet to it that stays within `mtu` when WireGuard has filled it up."""
        return self.mtu if self.mtu >= MTU_MAX else self.mtu - self.mtu % BLOCK_BYTES


@frozen(order=True)
class Station:
    """Who is, or is about to be, on this machine's bridge."""

    ipv4: str
    """Its hardware address follows from it."""
    ipv6: str
    process: int = 0
    """The id of one in its network; 0: none is known."""


@frozen(order=True)
class Offer:
    """A port of the machine."""

    protocol: str
    """`tcp` or `udp`."""
    port: int
    address: str = ""
    """The one address on which it is. Empty: on all."""


@frozen(order=True)
class Circle:
    """The containers of a namespace here, and which containers reach them. Machines always do."""

    namespace: str
    inside: frozenset[str] = field(order=False)
    admitted: frozenset[str] = field(order=False)
    """Addresses of other slots, here or elsewhere, and of its own."""


@frozen
class OverlayState:
    """Where every overlay address is, as one machine sees it. The driver makes the kernel agree with it."""

    peers: tuple[OverlayPeer, ...]
    local: frozenset[str]
    """Addresses of instances on this machine: they are reached over the bridge, not through a peer."""
    closed: frozenset[str] = frozenset()
    """Those on this machine's bridge that nothing reaches but ployzd's own looks: what is written there may be lost."""
    hidden: frozenset[str] = frozenset()
    """IPv4 addresses of networks that were made on this machine's bridge ahead of their containers: nothing there hears
    of them, and whoever means such an address reaches the machine that has it."""
    stations: frozenset[Station] | None = None
    """Everybody who may speak on this machine's bridge, each for itself alone. None: it is not known yet, and what was
    said of it before holds."""
    circles: tuple[Circle, ...] = ()
    """Of namespaces that are not for everybody."""
    offered: frozenset[Offer] = frozenset()
    """What this machine itself answers to containers, beside names."""


@frozen
class OverlayConfig:
    interface: str
    ipv6: str
    """This machine's own address, without prefix length."""
    ipv4: str
    listen_port: int
    bridge: str
    ipv6_subnet: str
    """The workloads' subnet, `fd…::/64`."""
    ipv4_subnet: str
    machine_ports: frozenset[int] = frozenset()
    """TCP ports of this machine that are for machines: nothing on the bridge, nor any workload, reaches them."""
    control_ports: frozenset[int] = frozenset()
    """Those of them that are for words and not for bulk: what goes there fits into the smallest packet, on any way."""
    mtu: int = MTU_MAX
    gateways: tuple[str, ...] = ()
    """The bridge's own addresses with their prefix lengths, IPv6 first. Docker gives them; a flush takes them."""


@frozen
class PeerStatus:
    public_key: str
    handshake_age_s: float | None
    """None: never."""
    received_bytes: int
    sent_bytes: int
    endpoint: str = ""
    """Where it was heard last, or will be looked for; empty: nobody said."""


class Overlay(Protocol):
    async def public_key(self) -> str: ...

    async def next_key(self) -> str:
        """The public half of the key that `switch_key` would change to. Made when there is none; kept until then."""
        ...

    async def switch_key(self) -> None:
        """Uses the next key from here on, also after a restart. Without a next key it is done."""
        ...

    async def up(self, config: OverlayConfig) -> None:
        """Makes the interface, its addresses, forwarding and proxy settings. Up already is done."""
        ...

    async def apply(self, state: OverlayState) -> None:
        """Makes peers, allowed addresses, routes and proxy neighbours agree with `state`, and nothing else."""
        ...

    async def drift(self, state: OverlayState) -> Mapping[str, tuple[str, ...]]:
        """What is not as `up` and `apply` of this state leave it, by kind, each in a few words. Only reads."""
        ...

    async def next_loss(self) -> None:
        """Returns when something of it may have been taken away since it was last called. `Failed`: nobody says so."""
        ...

    async def restore(self, state: OverlayState, kinds: Collection[str]) -> None:
        """Puts these kinds of what `drift` found back."""
        ...

    async def status(self) -> Sequence[PeerStatus]: ...

    async def ways(self) -> Mapping[str, int]:
        """By the key of each peer, the largest packet to it that the interface on the way takes. MTU_MAX: any, or none
        leads there.
        """
        ...

    async def seek(self, public_key: str, endpoint: str) -> None:
        """Sends to this peer there from here on, until it is heard elsewhere. A peer that is none stays none."""
        ...

    async def doors(self) -> frozenset[str]:
        """Every address that is closed or hidden now, by the kernel's word."""
        ...
