"""The Overlay port on WireGuard: look, take the difference, write it.

The data plane outlives this process: the interface, its routes and its rules stay when ployzd ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import anyio

from ployz.clock import Clock
from ployz.errors import Code, Failed
from ployz.host.ports import Offer, OverlayConfig, OverlayState, PeerStatus
from ployz.host.wireguard import rules
from ployz.host.wireguard.changes import changes, usable
from ployz.host.wireguard.commands import Commands
from ployz.host.wireguard.doors import door_script
from ployz.host.wireguard.drift import bridge_lines, drift
from ployz.host.wireguard.kept_table import KeptTable
from ployz.host.wireguard.keys import ensure_private_key, next_to, take_next
from ployz.host.wireguard.losses import Losses
from ployz.host.wireguard.observed import ObservedDevice, ObservedPaths
from ployz.host.wireguard.ports import TABLE as PORTS
from ployz.host.wireguard.ports import ports_script
from ployz.host.wireguard.reach import FAMILIES, reach_script
from ployz.host.wireguard.reach import TABLE as REACH
from ployz.host.wireguard.seats import Seats
from ployz.host.wireguard.settings import (
    FORWARDING,
    bridge_switches,
    interface_lines,
    undoubted_lines,
)
from ployz.host.wireguard.sizes import fitting, host_of
from ployz.ids import MTU_MAX

DYING_LOOKS = 20
DYING_PAUSE_S = 0.05
"""A wireguard-go that was killed takes its interface with it, but not in the same instant: a second is plenty."""


class WireGuard:
    """One interface on one machine. Its calls are made one after the other: the machine actor owns it."""

    def __init__(self, key_path: Path, clock: Clock, *, prefix: Sequence[str] = ()) -> None:
        """`key_path` is made on first use, in a folder that exists. `prefix` is put before every program."""
        self._key_path = key_path
        self._clock = clock
        self._commands = Commands(tuple(prefix))
        self._seats = Seats(self._commands)
        self._config: OverlayConfig | None = None
        self._settled_bridge: int | None = None
        self._ports = KeptTable(self._commands, PORTS)
        self._reach = KeptTable(self._commands, REACH, FAMILIES)
        self._kept = {"ports": self._ports, "stations": self._seats.table, "reach": self._reach}
        """By kind of what `drift` finds."""
        self._offered: frozenset[Offer] | None = None
        """As it was written last."""
        self._losses = Losses()
        self._doors: str | None = None
        """As they were closed last. None: what a ployzd before this one closed is not known."""

    async def public_key(self) -> str:
        return await anyio.to_thread.run_sync(ensure_private_key, self._key_path)

    async def next_key(self) -> str:
        return await anyio.to_thread.run_sync(ensure_private_key, next_to(self._key_path))

    async def switch_key(self) -> None:
        """The file first: whatever happens after that, the next `up` uses it."""
        await anyio.to_thread.run_sync(take_next, self._key_path)
        await self._commands.wg_set(self._up().interface, ("private-key", str(self._key_path)))

    async def up(self, config: OverlayConfig) -> None:
        """Needs no bridge: its settings and rules follow with the first `apply` that finds one.

        To be called again when anything of it may be lost.
        """
        self._config = config
        self._losses.interfaces = frozenset({config.interface, config.bridge})
        with self._losses.ours():
            await self._bring_up(config)

    async def _bring_up(self, config: OverlayConfig) -> None:
        await self._settle_ports(config)
        device = await self._living_device(config)
        key = await self.public_key()
        if (device.public_key, device.listen_port) != (key, config.listen_port):
            words = ("private-key", str(self._key_path), "listen-port", str(config.listen_port))
            await self._commands.wg_set(config.interface, words)
        link = await self._commands.link(config.interface)
        if link is None:
            raise Failed(Code.OVERLAY_FAILED, f"the interface {config.interface} went away while it was set up")
        if lines := interface_lines(config, link):
            await self._commands.ip(lines)
        await self._switch_forwarding_on()
        await self._settle_bridge(config, await self._commands.bridge_index(config.bridge))

    async def apply(self, state: OverlayState) -> None:
        """Reads first, so that it repairs what others changed, and writes nothing when nothing differs.

        Doors come first: a candidate is closed off before anything leads to it. Peers come before routes: a route into
        a tunnel without a peer refuses connections, a missing route only delays them.
        """
        with self._losses.ours():
            await self._apply(self._up(), usable(state))

    async def _apply(self, config: OverlayConfig, state: OverlayState) -> None:
        device, paths = await self._look(config)
        if paths.bridge_index != self._settled_bridge:
            await self._settle_bridge(config, paths.bridge_index)
        doors = door_script(config.bridge, state.closed, state.hidden)
        if doors != self._doors:
            await self._commands.rules(doors)
            self._doors = doors
        await self._seats.apply(config, state.stations, paths)
        await self._reach.write(reach_script(config, state.circles))
        self._offered = state.offered
        await self._ports.write(ports_script(config, state.offered))
        change = changes(config, state, device, paths, now_s=self._now_s())
        if change.wg:
            await self._commands.wg_set(config.interface, change.wg)
        if change.ip:
            await self._commands.ip(change.ip)
        if change.announce:
            await self._commands.announce(config.bridge, change.announce)

    async def drift(self, state: OverlayState) -> Mapping[str, tuple[str, ...]]:
        config = self._up()
        seen = await self._commands.see(config)
        if seen is None:
            return {"interface": (f"no WireGuard answers on {config.interface}",)}
        found = drift(config, state, seen)
        for kind, table in self._kept.items():
            if lost := await table.lost():
                found[kind] = (lost,)
        return found

    async def restore(self, state: OverlayState, kinds: Collection[str]) -> None:
        """What a whole `up` does is done for an interface alone: the rest is put back by itself."""
        with self._losses.ours():
            await self._restore(self._up(), state, kinds)

    async def _restore(self, config: OverlayConfig, state: OverlayState, kinds: Collection[str]) -> None:
        if "interface" in kinds:
            await self.up(config)
        seen = await self._commands.see(config)
        if seen is not None and seen.paths.bridge_index is not None:
            if "bridge" in kinds and (lines := bridge_lines(config, seen)):
                await self._commands.ip(lines)
            if "switches" in kinds:
                await self._commands.switches(bridge_switches(config.bridge))
            if "rules" in kinds:
                await self._restore_rules(config)
        if "switches" in kinds:
            await self._switch_forwarding_on()
        self._write_anew(kinds)
        if {"peers", "routes", "doors", *self._kept}.intersection(kinds):
            await self.apply(state)

    def _write_anew(self, kinds: Collection[str]) -> None:
        if "doors" in kinds:
            self._doors = None
        for kind in self._kept.keys() & set(kinds):
            self._kept[kind].forget()

    async def next_loss(self) -> None:
        """In the namespace of this process, whatever the prefix is."""
        try:
            await self._losses.next()
        except OSError as error:
            raise Failed(Code.OVERLAY_FAILED, f"the kernel does not tell what goes: {error.strerror}") from error

    async def status(self) -> Sequence[PeerStatus]:
        """A dead device is `Failed`; the next `apply` brings it back."""
        config = self._up()
        device = await self._commands.device(config.interface)
        if device is None:
            raise Failed(
                Code.OVERLAY_FAILED,
                f"no WireGuard answers on {config.interface}",
                "If wireguard-go was killed, ployzd starts it again with the next change of the overlay.",
            )
        return [
            PeerStatus(
                public_key=key,
                handshake_age_s=max(0.0, self._now_s() - peer.handshake_at_s) if peer.handshake_at_s else None,
                received_bytes=peer.received_bytes,
                sent_bytes=peer.sent_bytes,
                endpoint=peer.endpoint,
            )
            for key, peer in device.peers.items()
        ]

    async def ways(self) -> Mapping[str, int]:
        device = await self._commands.device(self._up().interface)
        endpoints = {} if device is None else {key: each.endpoint for key, each in device.peers.items()}
        hosts = {key: host for key, endpoint in endpoints.items() if (host := host_of(endpoint))}
        mtus = await self._commands.interface_mtus(sorted(set(hosts.values()))) if hosts else {}
        return {key: fitting(hosts[key], mtus.get(hosts[key])) if key in hosts else MTU_MAX for key in endpoints}

    async def seek(self, public_key: str, endpoint: str) -> None:
        """One that is removed in this instant is made again, without addresses: the next look takes it away."""
        interface = self._up().interface
        device = await self._commands.device(interface)
        if device is not None and public_key in device.peers:
            await self._commands.wg_set(interface, ("peer", public_key, "endpoint", endpoint))

    async def doors(self) -> frozenset[str]:
        return await self._commands.doors_now()

    def _up(self) -> OverlayConfig:
        if self._config is None:
            raise AssertionError("up() comes first")
        return self._config

    def _now_s(self) -> float:
        return self._clock.wall_ms() / 1000

    async def _look(self, config: OverlayConfig) -> tuple[ObservedDevice, ObservedPaths]:
        seen = await self._commands.look(config)
        if seen is None:
            await self.up(config)
            seen = await self._commands.look(config)
        if seen is None:
            raise Failed(Code.OVERLAY_FAILED, f"{config.interface} was set up, and is gone again")
        return seen

    async def _living_device(self, config: OverlayConfig) -> ObservedDevice:
        """Adopts the one that runs, whoever started it, or makes one. Takes no interface that is somebody else's."""
        if device := await self._commands.device(config.interface):
            return device
        for _ in range(DYING_LOOKS):
            if await self._commands.link(config.interface) is None:
                break
            await anyio.sleep(DYING_PAUSE_S)
        else:
            raise Failed(
                Code.OVERLAY_FAILED,
                f"there is an interface {config.interface} already, and no WireGuard answers on it",
                "Remove it if nothing needs it, or configure another name for the overlay's interface.",
            )
        await self._commands.make_device(config.interface)
        if device := await self._commands.device(config.interface):
            return device
        raise Failed(Code.OVERLAY_FAILED, f"{config.interface} was made, but no WireGuard answers on it")

    async def _switch_forwarding_on(self) -> None:
        """A host that forwards IPv6 stops listening to routers, and would lose its own default route with that."""
        switches = dict(FORWARDING)
        for uplink in await self._commands.advertised_uplinks():
            key = f"net/ipv6/conf/{uplink}/accept_ra"
            if await self._commands.switch(key) == "1":
                switches[key] = "2"
        await self._commands.switches(switches)

    async def _settle_bridge(self, config: OverlayConfig, index: int | None) -> None:
        self._settled_bridge = None
        if index is None:
            return
        await self._commands.switches(bridge_switches(config.bridge))
        if lines := undoubted_lines(config.bridge, await self._commands.tentative(config.bridge)):
            await self._commands.ip(lines)
        await self._restore_rules(config)
        self._settled_bridge = index

    async def _settle_ports(self, config: OverlayConfig) -> None:
        """What a ployzd before this one wrote holds until it is known what is offered now."""
        if self._offered is not None or not await self._ports.is_there():
            await self._ports.write(ports_script(config, self._offered or ()))

    async def _restore_rules(self, config: OverlayConfig) -> None:
        for program, saved in (await self._commands.saved_rules()).items():
            if script := rules.script(program, config, saved):
                await self._commands.restore_rules(program, script)
