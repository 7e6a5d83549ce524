"""The programs that this driver runs, as typed calls: `wg`, `ip`, `sysctl`, `iptables`, `nft`, `wireguard-go`.

Nothing is decided here but what a program's answer means.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

import anyio
from attrs import frozen

from ployz.errors import Code, Failed
from ployz.host.ports import OverlayConfig
from ployz.host.program import Output, run
from ployz.host.wireguard import announce, networks, rules
from ployz.host.wireguard.doors import FAMILIES, TABLE, parse_doors
from ployz.host.wireguard.drift import SWITCHES, Seen, parse_links, parse_subnets, parse_switches, switches_of
from ployz.host.wireguard.observed import (
    ObservedDevice,
    ObservedLink,
    ObservedPaths,
    parse_addresses,
    parse_dump,
    parse_link,
    parse_paths,
    parse_uplinks,
)
from ployz.host.wireguard.sizes import parse_ways
from ployz.surroundings import SLOWNESS

DEADLINE_S = 10.0 * SLOWNESS
"""Each takes milliseconds. What takes this long waits for a lock that nobody gives back."""

_NOT_FOUND = 127
_NO_TABLE = "No such file or directory"
_NO_KERNEL_WIREGUARD = ("Unknown device type", "not supported")


@frozen
class Commands:
    prefix: Sequence[str] = ()
    """Put before every argv: `nsenter …` or `ip netns exec …` for a machine that is a namespace."""

    async def device(self, interface: str) -> ObservedDevice | None:
        """None: no WireGuard answers under this name."""
        output = await self._try("wg", "show", interface, "dump")
        return parse_dump(output.text) if output.exit_code == 0 else None

    async def link(self, interface: str) -> ObservedLink | None:
        output = await self._try("ip", "-j", "addr", "show", "dev", interface)
        return parse_link(output.text) if output.exit_code == 0 else None

    async def look(self, config: OverlayConfig) -> tuple[ObservedDevice, ObservedPaths] | None:
        """Everything that a change is computed from, read at once; None: the interface or its daemon is gone.

        Two `ip`, because it shows the routes of one family at a time.
        """
        routes = f"route show dev {config.interface}"
        outputs = await self._together(
            (("wg", "show", config.interface, "dump"), None),
            (("ip", "-j", "-4", "-batch", "-"), _batch([routes, "link show"])),
            (("ip", "-j", "-6", "-batch", "-"), _batch([routes, "neigh show proxy"])),
        )
        if any(output.exit_code != 0 for output in outputs):
            return None
        dump, *paths = (output.text for output in outputs)
        return parse_dump(dump), parse_paths(paths, config.bridge)

    async def interface_mtus(self, hosts: Sequence[str]) -> Mapping[str, int]:
        """By host, of the route or the interface that leads there. Those to which none leads are left out."""
        lines = ["link show", *(f"route get {host}" for host in hosts)]
        output = await self._try("ip", "-j", "-force", "-batch", "-", stdin=_batch(lines))
        return parse_ways(output.text)

    async def bridge_index(self, bridge: str) -> int | None:
        output = await self._do("ip", "-j", "link", "show", "type", "bridge")
        return parse_paths([output.text], bridge).bridge_index

    async def tentative(self, interface: str) -> Sequence[str]:
        """Its IPv6 addresses, with prefix length, that may not be used yet."""
        output = await self._do("ip", "-j", "-6", "addr", "show", "dev", interface, "tentative")
        return parse_addresses(output.text)

    async def make_device(self, interface: str) -> None:
        """In the kernel, or else by wireguard-go, which stays behind as a daemon of its own.

        It ends with its interface or its namespace, not with us: the overlay carries traffic while ployzd is down.
        """
        output = await self._try("ip", "link", "add", "dev", interface, "type", "wireguard")
        if output.exit_code == 0:
            return
        if not any(words in output.words for words in _NO_KERNEL_WIREGUARD):
            raise Failed(Code.OVERLAY_FAILED, f"the interface {interface} could not be made: {output.words}")
        # With LOG_LEVEL set it would write to our pipes, and die of the first word after we are gone.
        output = await self._try("env", "--chdir=/", "--unset=LOG_LEVEL", "wireguard-go", interface)
        if output.exit_code == _NOT_FOUND:
            raise Failed(
                Code.MISSING_PART,
                "this kernel has no WireGuard, and wireguard-go is not installed",
                "Install wireguard-go, or a kernel that has WireGuard.",
            )
        if output.exit_code != 0:
            raise Failed(Code.OVERLAY_FAILED, f"wireguard-go could not make {interface}: {output.words}")

    async def wg_set(self, interface: str, words: Sequence[str]) -> None:
        await self._do("wg", "set", interface, *words)

    async def ip(self, lines: Sequence[str]) -> None:
        await self._do("ip", "-batch", "-", stdin=_batch(lines))

    async def rules(self, script: str) -> None:
        await self._do("nft", "-f", "-", stdin=script.encode())

    async def doors_now(self) -> frozenset[str]:
        """A table that is not there keeps nobody away."""
        outputs = [await self._try("nft", "list", "table", family, TABLE) for family in FAMILIES]
        for each in outputs:
            if each.exit_code != 0 and _NO_TABLE not in each.words:
                raise Failed(Code.OVERLAY_FAILED, f"nft list table: {each.words}")
        return parse_doors("\n".join(each.text for each in outputs if each.exit_code == 0))

    async def table(self, family: str, name: str) -> str:
        """As nft prints it. Empty: it is not there."""
        output = await self._try("nft", "list", "table", family, name)
        if output.exit_code != 0 and _NO_TABLE not in output.words:
            raise Failed(Code.OVERLAY_FAILED, f"nft list table: {output.words}")
        return output.text if output.exit_code == 0 else ""

    async def announce(self, bridge: str, addresses: Sequence[str]) -> None:
        """A process, because a socket belongs to the network namespace that it was opened in."""
        await self._do(sys.executable, "-I", "-S", announce.__file__, bridge, *addresses)

    async def networks(self, processes: Sequence[int]) -> dict[int, int]:
        """By the id of a process, its network in this host's numbers. Those that have ended are left out."""
        argv = (sys.executable, "-I", "-S", networks.__file__, *map(str, processes))
        return {int(each): number for each, number in json.loads((await self._do(*argv)).text).items()}

    async def switches(self, values: Mapping[str, str]) -> None:
        await self._do("sysctl", "-q", "-w", *(f"{key}={value}" for key, value in values.items()))

    async def switch(self, key: str) -> str:
        return (await self._do("sysctl", "-n", key)).text.strip()

    async def advertised_uplinks(self) -> Sequence[str]:
        """Interfaces whose IPv6 default route came from a router's advertisement."""
        output = await self._do("ip", "-j", "-6", "route", "show", "default", "proto", "ra")
        return parse_uplinks(output.text)

    async def saved_rules(self) -> dict[str, str]:
        """By program, of those that are here and that the kernel has anything for."""
        outputs = await self._together(
            *(((f"{program}-save",), None) for program in rules.PROGRAMS), missing_is_done=True
        )
        return {
            program: output.text
            for program, output in zip(rules.PROGRAMS, outputs, strict=True)
            if output.exit_code == 0
        }

    async def restore_rules(self, program: str, script: str) -> None:
        await self._do(f"{program}-restore", "-w", "--noflush", stdin=script.encode())

    async def see(self, config: OverlayConfig) -> Seen | None:
        """Everything that others may have changed. None: the interface or its daemon is gone."""
        seen = await self.look(config)
        if seen is None:
            return None
        device, paths = seen
        links, ipv4, ipv6, switches = await self._together(
            (("ip", "-j", "addr", "show"), None),
            (("ip", "-j", "-4", "route", "show"), None),
            (("ip", "-j", "-6", "route", "show"), None),
            (("grep", "-H", ".", *(f"{SWITCHES}{key}" for key in switches_of(config, paths))), None),
        )
        return Seen(
            device=device,
            paths=paths,
            links=parse_links(links.text),
            subnets=parse_subnets([ipv4.text, ipv6.text], config.bridge),
            switches=parse_switches(switches.text),
            saved=await self.saved_rules(),
            doors=await self.doors_now(),
        )

    async def _try(self, *argv: str, stdin: bytes | None = None) -> Output:
        return await run([*self.prefix, *argv], deadline_s=DEADLINE_S, stdin=stdin)

    async def _together(
        self, *calls: tuple[Sequence[str], bytes | None], missing_is_done: bool = False
    ) -> list[Output]:
        """Their outputs in this order. Of several failures, the first. `missing_is_done`: a program that is not here
        has said nothing.
        """
        outputs: dict[int, Output] = {}

        async def call(place: int, argv: Sequence[str], stdin: bytes | None) -> None:
            try:
                outputs[place] = await self._try(*argv, stdin=stdin)
            except Failed as error:
                if error.code is not Code.MISSING_PART or not missing_is_done:
                    raise
                outputs[place] = Output(_NOT_FOUND, b"", b"")

        try:
            async with anyio.create_task_group() as group:
                for place, (argv, stdin) in enumerate(calls):
                    group.start_soon(call, place, argv, stdin)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return [outputs[place] for place in range(len(calls))]

    async def _do(self, *argv: str, stdin: bytes | None = None) -> Output:
        return await run([*self.prefix, *argv], deadline_s=DEADLINE_S, stdin=stdin, check=Code.OVERLAY_FAILED)


def _batch(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
