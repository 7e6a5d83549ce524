"""The underlay: one bridge in a network namespace of its own, a veth for each machine, and what disturbs them.

In the host's namespace Docker's FORWARD policy would drop every frame; here nothing else lives, and nothing leads out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import frozen

from ployz.lab.namespaces import Namespaces
from ployz.lab.programs import refused, run
from ployz.lab.state import Cut

RATE = re.compile(r"[1-9][0-9]{0,9}[kmg]?bit\Z")
BRIDGE = "underlay"
UPLINK = "eth0"
"""A machine's own end of its veth; the switch's end is called like the machine."""


@frozen
class Switch:
    namespaces: Namespaces

    def prepare(self) -> None:
        if not self.namespaces.has_interface(BRIDGE):
            self._ip(f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up")

    def is_connected(self, machine: Namespaces) -> bool:
        return machine.has_interface(UPLINK) and self.namespaces.has_interface(machine.who)

    def connect(self, machine: Namespaces, address: str) -> None:
        """Plugs the machine in, in place of an end that a machine of this name left behind."""
        if self.namespaces.has_interface(machine.who):
            self._ip(f"link del {machine.who}")
        self._ip(
            f"link add {machine.who} type veth peer name {UPLINK} netns {machine.pid}",
            f"link set {machine.who} master {BRIDGE} up",
        )
        machine.run(
            ["ip", "-batch", "-"], stdin=f"link set lo up\naddr add {address}/24 dev {UPLINK}\nlink set {UPLINK} up\n"
        )

    def apply_cuts(self, cuts: Iterable[Cut]) -> None:
        self.namespaces.run(["nft", "-f", "-"], stdin=render_cuts(cuts))

    def limit(self, machine: Namespaces, rate: str | None) -> None:
        """Both ways, each to `rate`: at the switch's end what the machine receives, at its own what it sends."""
        for namespaces, interface in ((self.namespaces, machine.who), (machine, UPLINK)):
            if rate:
                bucket = ["tbf", "rate", rate, "burst", "128kb", "latency", "100ms"]
                namespaces.run(["tc", "qdisc", "replace", "dev", interface, "root", *bucket])
            elif "tbf" in namespaces.run(["tc", "qdisc", "show", "dev", interface]):
                namespaces.run(["tc", "qdisc", "del", "dev", interface, "root"])

    def _ip(self, *commands: str) -> None:
        run(self.namespaces.enter(["ip", "-batch", "-"]), stdin="".join(f"{each}\n" for each in commands))


def render_cuts(cuts: Iterable[Cut]) -> str:
    """The whole rule set. nft loads it in one transaction: no instant has half of it."""
    rules = "".join(f'    iifname "{each.source}" oifname "{each.target}" drop\n' for each in sorted(cuts))
    return (
        "table bridge lab\n"  # makes it, so that the first delete has something to delete
        "delete table bridge lab\n"
        "table bridge lab {\n"
        "  chain forward {\n"
        "    type filter hook forward priority 0; policy accept;\n"
        f"{rules}"
        "  }\n"
        "}\n"
    )


def validate_rate(rate: str) -> str:
    """As `tc` spells it. Refused here, because `tc` names neither the value nor what would be right."""
    if not RATE.match(rate):
        raise refused(f"{rate!r} is no rate", "Write for example 500kbit, 10mbit, 1gbit, or `none` to lift the limit.")
    return rate
