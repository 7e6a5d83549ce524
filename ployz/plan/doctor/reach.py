"""Who should be reached by everybody, and what is said where somebody is not. Pure.

What is known to keep a slot from its users is told of as that: here is what nobody has found another cause for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import Final

from attrs import frozen

from ployz.ids import MachineId, ServiceRef, SlotRef
from ployz.manifest.model import HttpProbe, Service, TcpProbe
from ployz.plan import committed, taken
from ployz.plan.doctor.readings import Examined, Look, Readings
from ployz.plan.naming import host_records, names_of
from ployz.projections.view import ClusterView

BEGUN_MS: Final = 10_000
"""What runs for less may be about to listen."""
SHOWN_MAX: Final = 5
"""Slots of one machine that the same machines do not reach, each with a line of its own."""
_OF_A_SLOT: Final = (taken.CONTAINER, taken.CONNECTION, taken.HOLDER)
"""Of what others take away. Everything else keeps a machine from all others."""


@frozen
class Target:
    slot: SlotRef
    ipv4: str
    port: int


@frozen
class Unreachable:
    """A line about one slot, or about some of a machine."""

    machine: MachineId
    """Where it runs."""
    text: str
    remedy: str


def targets(view: ClusterView) -> tuple[Target, ...]:
    """Every slot that accepts connections by its manifest, with one port: that of its readiness, of a route, or the
    first. Nobody knows what is well for UDP.
    """
    found = []
    for slot, placement in view.placement.slots():
        service = committed.service(view, slot.service)
        port = None if service is None else _port(service)
        if port is not None and placement.machine in view.machines.members:
            found.append(Target(slot, placement.ipv4, port))
    return tuple(found)


def _port(service: Service) -> int | None:
    probe = service.readiness.probe if service.readiness else None
    wanted = [probe.service_port] if isinstance(probe, HttpProbe | TcpProbe) else []
    wanted += [route.service_port for route in service.routes]
    wanted += [each.name for each in service.service_ports]
    ports = [service.port(name) for name in wanted]
    return next((each.container_port for each in ports if each is not None and each.protocol == "tcp"), None)


def service_names(view: ClusterView) -> dict[str, frozenset[str]]:
    """What each service is called, with the IPv4 addresses that the name stands for."""
    services = {names_of(slot)[1] for slot, _ in view.placement.slots()}
    found: dict[str, set[str]] = defaultdict(set)
    for record in host_records(view):
        for name in services.intersection(record.names):
            if ip_address(record.address).version == 4:  # noqa: PLR2004 - IPv4
                found[name].add(record.address)
    return {name: frozenset(addresses) for name, addresses in sorted(found.items())}


def unreachable(examined: Sequence[Examined]) -> Iterator[Unreachable]:
    """By all who looked. Slots that their own machine says to be in order, and no pair with a cause that is told."""
    said = {each.machine: each.readings for each in examined if each.readings is not None}
    lookers = {machine for machine, readings in said.items() if readings.reach is not None}
    cut_off = {machine for machine, readings in said.items() if _is_cut_off(readings)}
    serving = {slot: machine for machine, readings in said.items() for slot in readings.serving}
    whys: dict[SlotRef, dict[MachineId, str]] = defaultdict(dict)
    for machine in sorted(lookers - cut_off):
        reach = said[machine].reach
        for each in reach.unreached if reach is not None else ():
            owner = serving.get(each.slot)
            if owner is not None and owner not in cut_off and not _are_strangers(said[machine], owner):
                whys[each.slot][machine] = each.why
    groups: dict[tuple[MachineId, tuple[MachineId, ...]], list[SlotRef]] = defaultdict(list)
    for slot, by in sorted(whys.items(), key=lambda item: str(item[0])):
        groups[serving[slot], tuple(sorted(by))].append(slot)
    for (owner, by_whom), slots in groups.items():
        nobody = lookers <= set(by_whom)
        for slot in slots[:SHOWN_MAX]:
            yield Unreachable(owner, _text(slot, by_whom, whys[slot].values(), nobody=nobody), _remedy(slot, nobody))
        if rest := slots[SHOWN_MAX:]:
            yield Unreachable(owner, _text_of_many(rest, by_whom, nobody=nobody), "As for the others of it.")


def _is_cut_off(readings: Readings) -> bool:
    """A cause is told of that keeps it from everybody else."""
    overlay = any(each.wrong and each.kind not in _OF_A_SLOT for each in readings.contests)
    return overlay or any(each.look is Look.OVERLAY for each in readings.failed)


def _are_strangers(readings: Readings, other: MachineId) -> bool:
    """They never shook hands, or not for long, which is a finding of its own."""
    return any(each.machine == other and each.is_old for each in readings.peers)


def _text(slot: SlotRef, by: Iterable[MachineId], whys: Iterable[str], *, nobody: bool) -> str:
    return f"{slot} is {_from(by, nobody=nobody)}: {'; '.join(dict.fromkeys(whys))}"


def _text_of_many(slots: Sequence[SlotRef], by: Iterable[MachineId], *, nobody: bool) -> str:
    services: list[ServiceRef] = list(dict.fromkeys(slot.service for slot in slots))
    beside = f" and {len(services) - SHOWN_MAX} more services" if len(services) > SHOWN_MAX else ""
    of = ", ".join(str(each) for each in services[:SHOWN_MAX])
    verb = "slot is" if len(slots) == 1 else "slots are"
    return f"{len(slots)} more {verb} {_from(by, nobody=nobody)}, of {of}{beside}"


def _from(by: Iterable[MachineId], *, nobody: bool) -> str:
    return "reached from no machine" if nobody else f"not reached from {', '.join(by)}"


def _remedy(slot: SlotRef, nobody: bool) -> str:
    if nobody:
        service = slot.service
        logs = f"ployzctl service logs {service} --slot {slot.slot}"
        return f"Does it listen on that port, and on every address? {logs}; and look at service_ports in its manifest."
    return "The others reach it: look at the rules of a firewall on those machines (nft list ruleset)."
