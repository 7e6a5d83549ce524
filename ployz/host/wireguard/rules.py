"""The firewall's rules of the overlay, in chains of ployz's own: what of them is missing, and the text that makes them.

They depend on nobody else's chains: whoever flushes or restores the firewall takes them away whole, which is seen, and
they come back whole. Pure: from what `iptables-save` prints to what `iptables-restore --noflush` is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import frozen

from ployz.host.ports import OverlayConfig

FIRST: Final = "PLOYZ-FORWARD"
LAST: Final = "PLOYZ-LAST"
NAT: Final = "PLOYZ-NAT"
PROGRAMS: Final = ("iptables", "ip6tables")
_OF_DOCKER: Final = "DOCKER"
"""What Docker drops it drops in chains that are called so: ours comes before them."""


@frozen
class Chain:
    table: str
    name: str
    parent: str
    """The chain of the kernel's that jumps to it."""
    is_first: bool
    """Before what Docker asks; else after everything that is there."""
    rules: tuple[str, ...]


def chains(program: str, config: OverlayConfig) -> tuple[Chain, ...]:
    """Between the overlay and the bridge, and on the bridge, all may pass. The rest is Docker's and its users' to
    refuse: what they let pass, or have lost their rules for, is what containers send out and what was sent to a port
    that they publish. Containers reach the outside under this host's IPv4 address, but each other under their own;
    Docker's own masquerading (off for this network) would also hide them from each other across the overlay.
    """
    wg, bridge, subnet = config.interface, config.bridge, config.ipv4_subnet
    between = (
        f"-i {wg} -o {bridge} -j ACCEPT",
        f"-i {bridge} -o {wg} -j ACCEPT",
        f"-i {bridge} -o {bridge} -j ACCEPT",
    )
    first = Chain("filter", FIRST, "FORWARD", True, between)
    if program != "iptables":
        return (first,)
    outside = (
        f"-i {bridge} ! -o {bridge} -j ACCEPT",
        f"-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT",
    )
    masquerade = (f"-s {subnet} ! -d {subnet} ! -o {wg} -j MASQUERADE",)
    return (
        first,
        Chain("filter", LAST, "FORWARD", False, outside),
        Chain("nat", NAT, "POSTROUTING", True, masquerade),
    )


def missing(program: str, config: OverlayConfig, saved: str) -> tuple[str, ...]:
    """`saved`: what `iptables-save` prints. The chains that are not as they must be."""
    tables = _tables(saved)
    return tuple(
        f"{program}: {each.name}" for each in chains(program, config) if list(_lines(each, tables.get(each.table, [])))
    )


def script(program: str, config: OverlayConfig, saved: str) -> str:
    """For `iptables-restore --noflush`, which does all of a table or nothing. Empty: all is as it must be."""
    tables = _tables(saved)
    by_table: dict[str, list[str]] = {}
    for each in chains(program, config):
        by_table.setdefault(each.table, []).extend(_lines(each, tables.get(each.table, [])))
    for table, line in _former(config):
        if line in tables.get(table, []):
            by_table.setdefault(table, []).append(line.replace("-A ", "-D ", 1))
    texts = ["\n".join((f"*{table}", *lines, "COMMIT\n")) for table, lines in by_table.items() if lines]
    return "".join(texts)


def _lines(chain: Chain, there: list[str]) -> Iterator[str]:
    wanted = [f"-A {chain.name} {rule}" for rule in chain.rules]
    found = [line for line in there if line.startswith(f"-A {chain.name} ")]
    if list(map(_words, found)) != list(map(_words, wanted)):
        yield f":{chain.name} - [0:0]"  # made, or emptied
        yield from wanted
    jump = f"-A {chain.parent} -j {chain.name}"
    parent = [line for line in there if line.startswith(f"-A {chain.parent} ")]
    if jump not in parent:
        yield f"-I {chain.parent} 1 -j {chain.name}" if chain.is_first else jump
    elif chain.is_first and any(f"-j {_OF_DOCKER}" in line for line in parent[: parent.index(jump)]):
        yield f"-D {chain.parent} -j {chain.name}"
        yield f"-I {chain.parent} 1 -j {chain.name}"


def _words(rule: str) -> list[list[str]]:
    """One spelling: the order of words in a list is the program's own."""
    return [sorted(word.split(",")) for word in rule.split()]


def _tables(saved: str) -> Mapping[str, list[str]]:
    tables: dict[str, list[str]] = {}
    table: list[str] = []
    for line in saved.splitlines():
        if line.startswith("*"):
            table = tables.setdefault(line[1:].strip(), [])
        elif line.startswith("-A "):
            table.append(line.strip())
    return tables


def _former(config: OverlayConfig) -> Iterator[tuple[str, str]]:
    """Where ployz once wrote its rules: into chains of others."""
    wg, bridge, subnet = config.interface, config.bridge, config.ipv4_subnet
    yield "filter", f"-A DOCKER-USER -i {wg} -o {bridge} -j ACCEPT"
    yield "filter", f"-A DOCKER-USER -i {bridge} -o {wg} -j ACCEPT"
    yield "nat", f"-A POSTROUTING -s {subnet} ! -d {subnet} ! -o {wg} -j MASQUERADE"
