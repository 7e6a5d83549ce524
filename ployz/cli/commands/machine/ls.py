"""`ployzctl machine ls`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.machine import ListMachines, MachineList, MachineRow
from ployz.cli import human
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Fields, Lines, Table
from ployz.cli.call import ANSWER_S, Call


def add_arguments(parser: Parser) -> None:
    pass


def run(call: Call) -> None:
    call.out.show("machine.list", call.node.ask("machine", ListMachines(), timeout_s=ANSWER_S), render)


def render(listed: MachineList) -> Iterator[Block]:
    yield Fields((("cluster", listed.cluster or "none"), ("facts", str(listed.position))))
    if listed.removed:
        yield Lines.of([f"This machine was removed from {listed.cluster}: it hears no more of the others."])
    yield Table(
        columns=(
            "MACHINE",
            "STATE",
            "LAST SEEN",
            "ENDPOINT",
            "OVERLAY",
            "FACTS",
            "SLOTS",
            "VOLUMES",
            "VERSION",
            "SETTINGS",
        ),
        spare=("SETTINGS", "OVERLAY", "VERSION", "ENDPOINT"),
        rows=tuple(_row(machine) for machine in listed.machines),
        right=frozenset({"FACTS", "SLOTS", "VOLUMES"}),
        empty="this machine is in no cluster",
    )


def _row(row: MachineRow) -> tuple[str, ...]:
    return (
        f"{row.machine}{' (founder)' if row.founder else ''}",
        row.lifecycle,
        seen(row),
        row.heard_at or row.endpoint,
        f"{row.ipv4}, {row.ipv6}",
        str(row.position) if row.reachable else "-",
        str(row.slots),
        str(row.volumes),
        row.version or "-",
        human.listed(f"{each.key}={each.value}" for each in row.settings if not each.is_default),
    )


def seen(row: MachineRow) -> str:
    """`now`, `3 min 5 s ago`, or `-` where nobody who answers has heard of it."""
    if row.reachable:
        return "now"
    return human.NOTHING if row.silent_ms < 0 else f"{human.duration(row.silent_ms)} ago"
