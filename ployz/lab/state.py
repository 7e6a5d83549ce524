"""What a lab must remember between two commands: its subnet, its machines, and what was done to their links.

What runs is not written here: the kernel knows that better.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from attrs import evolve, field, frozen

from ployz.ids import MachineId, Name
from ployz.lab.programs import refused

ROOT = Path("/var/tmp/ployz-lab")  # noqa: S108 - owned by root and 0700; pools and images are too big for a memory-backed /tmp
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
MACHINES_MAX = 200
WIREGUARD_PORT = 51820


class LabName(Name):
    __slots__ = ()
    kind = "lab name"


@frozen(order=True)
class Cut:
    """Frames from one machine to the other are dropped; the other way has a cut of its own."""

    source: MachineId
    target: MachineId


@frozen
class LabState:
    subnet: int
    """The third number of the underlay, 10.77.SUBNET.0/24; two labs never share one."""
    machines: tuple[MachineId, ...] = ()
    """In order of their addresses."""
    cuts: frozenset[Cut] = frozenset()
    limits: Mapping[MachineId, str] = field(factory=dict)
    """Rates as `tc` takes them: `10mbit`."""

    def address(self, machine: MachineId) -> str:
        return f"10.77.{self.subnet}.{self.machines.index(machine) + 1}"

    def endpoint(self, machine: MachineId) -> str:
        return f"{self.address(machine)}:{WIREGUARD_PORT}"

    def require(self, machine: str) -> MachineId:
        if machine not in self.machines:
            known = ", ".join(self.machines) or "none yet"
            raise refused(f"there is no machine {machine!r} in this lab", f"Its machines: {known}.")
        return MachineId(machine)

    def grown_to(self, count: int) -> Self:
        """With the first `count` machines. Never with fewer than before."""
        names = tuple(machine_name(each) for each in range(max(count, len(self.machines))))
        return evolve(self, machines=names)

    def cut(self, first: MachineId, second: MachineId, *, one_way: bool) -> Self:
        more = {Cut(first, second)} if one_way else {Cut(first, second), Cut(second, first)}
        return evolve(self, cuts=self.cuts | more)

    def healed(self, first: MachineId, second: MachineId) -> Self:
        return evolve(self, cuts=self.cuts - {Cut(first, second), Cut(second, first)})

    def all_healed(self) -> Self:
        return evolve(self, cuts=frozenset())

    def limited(self, machine: MachineId, rate: str | None) -> Self:
        """`None` lifts the limit."""
        others = {each: limit for each, limit in self.limits.items() if each != machine}
        return evolve(self, limits=others | {machine: rate} if rate else others)


def machine_name(index: int) -> MachineId:
    """machine-a … machine-z, machine-aa, … : short enough for an interface name (15 characters)."""
    letters = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, len(ALPHABET))
        letters = ALPHABET[digit] + letters
    return MachineId(f"machine-{letters}")


def load(folder: Path) -> LabState | None:
    """`None`: there is no such lab, or it was killed before it had written its first state."""
    try:
        text = (folder / "state.json").read_text()
    except FileNotFoundError:
        return None
    record: dict[str, Any] = json.loads(text)
    return LabState(
        subnet=record["subnet"],
        machines=tuple(MachineId(each) for each in record["machines"]),
        cuts=frozenset(Cut(MachineId(source), MachineId(target)) for source, target in record["cuts"]),
        limits={MachineId(machine): rate for machine, rate in record["limits"].items()},
    )


def save(folder: Path, state: LabState) -> None:
    """Whole or not at all."""
    record = {
        "subnet": state.subnet,
        "machines": state.machines,
        "cuts": sorted([each.source, each.target] for each in state.cuts),
        "limits": state.limits,
    }
    draft = folder / "state.json.new"
    draft.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(draft, folder / "state.json")  # noqa: PTH105 - the atomic one


def free_subnet(root: Path) -> int:
    """The lowest that no lab below `root` uses."""
    taken = {state.subnet for folder in root.iterdir() if folder.is_dir() and (state := load(folder))}
    return next(each for each in range(1, 255) if each not in taken)
