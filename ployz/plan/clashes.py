"""What a new container would meet on its machine: ports and volumes that another one still has when it starts.

An old container is stopped before the new one of its own slot. What else goes away does so after the commit, or, when
it moves, in the cut-over, before anything that arrives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from attrs import frozen

from ployz.errors import Code
from ployz.ids import MachineId, ServiceName, ServiceRef
from ployz.manifest import Manifest
from ployz.manifest.model import Protocol, Service, VolumeSource
from ployz.plan import committed
from ployz.plan.blockers import Blockers
from ployz.plan.model import Change, SlotPlan
from ployz.plan.reports import Answers
from ployz.projections.view import ClusterView

STARTED = (Change.CREATE, Change.REPLACE, Change.MOVE)


@frozen
class Port:
    machine: MachineId
    number: int
    protocol: Protocol
    address: str
    """Empty: on all of the machine's."""

    def meets(self, other: Port) -> bool:
        same = (self.machine, self.number, self.protocol) == (other.machine, other.number, other.protocol)
        return same and (self.address == other.address or not self.address or not other.address)


def check_clashes(
    slots: Sequence[SlotPlan], manifest: Manifest, view: ClusterView, answers: Answers, blockers: Blockers
) -> None:
    new = {service.name: service for service in manifest.services}
    before = committed.of_namespace(view, manifest.namespace)
    old = {service.name: service for service in before.services} if before else {}
    clashes = _Clashes(slots, manifest, new, old, blockers)
    clashes.check_ports_of_ployz(answers)
    clashes.check_addresses(answers)
    clashes.check_ports_of_others(view)
    clashes.check_ports_of_replicas()
    clashes.check_ports_given_up()
    clashes.check_volumes_given_up()


@frozen
class _Clashes:
    slots: Sequence[SlotPlan]
    manifest: Manifest
    new: dict[ServiceName, Service]
    old: dict[ServiceName, Service]
    blockers: Blockers

    def check_ports_of_ployz(self, answers: Answers) -> None:
        """What runs already has shown that it may."""
        instead = "let clients use its overlay address"
        for slot in self.slots:
            for port in self._wants(slot) if slot.change in STARTED else ():
                report = answers.machine(port.machine)
                for own in report.own_ports if report else ():
                    is_there = not port.address or not own.addresses or port.address in own.addresses
                    if (own.number, own.protocol) == (port.number, port.protocol) and is_there:
                        self._port_taken(port, f"({port.protocol}) is taken by {own.by}", instead)

    def check_addresses(self, answers: Answers) -> None:
        """Docker would find out when the container starts: in a move, when the old one is stopped."""
        for slot in self.slots:
            for port in self._wants(slot) if slot.change in STARTED else ():
                report = answers.machine(port.machine)
                if report and port.address and not _is_own(port.address, report.addresses):
                    self.blockers.add(
                        Code.NO_SUCH_ADDRESS,
                        f"{slot.service} is published at {port.address}, which {port.machine} does not have",
                        f"It has {', '.join(report.addresses)}. Publish without `host_ip`, or where it is.",
                    )

    def check_ports_of_others(self, view: ClusterView) -> None:
        """A published port of a machine belongs to one service of all namespaces."""
        taken = [
            (port, ServiceRef(state.namespace, slot.service))
            for state in view.placement.namespaces.values()
            if state.namespace != self.manifest.namespace
            for services in [{each.name: each for each in committed.from_fact(state.manifest).services}]
            for slot in state.slots.values()
            for port in _ports(services.get(slot.service), slot.machine)
        ]
        for slot in self.slots:
            for port in self._wants(slot):
                holder = next((each for other, each in taken if other.meets(port)), None)
                if holder is not None:
                    self._port_taken(port, f"is published by {holder}", "move one of the two services")

    def check_ports_of_replicas(self) -> None:
        """Between services the manifest was checked; replicas of one may meet on one machine."""
        taken: set[Port] = set()
        for slot in self.slots:
            for port in self._wants(slot):
                if port in taken:
                    self._port_taken(
                        port, f"would be published by several replicas of {slot.service}", "have no more than machines"
                    )
                taken.add(port)

    def check_ports_given_up(self) -> None:
        leaving = [
            (port, holder)
            for holder, machine in self._leaving()
            for port in _ports(self.old.get(holder.service), machine)
        ]
        for slot in self.slots:
            for port in self._wants(slot) if slot.change in STARTED else ():
                for other, holder in leaving:
                    if other.meets(port) and _still_runs(holder, slot):
                        self._port_taken(
                            port,
                            f"is published by the container of {holder.service} until this is committed",
                            f"deploy without it in {holder.service} first",
                        )

    def check_volumes_given_up(self) -> None:
        """A volume that goes from one service to another: never two that write to it and do not know of each other."""
        holders: dict[tuple[MachineId, str], list[SlotPlan]] = {}
        for holder, machine in self._leaving():
            for name in _mounts(self.old.get(holder.service)):
                holders.setdefault((machine, name), []).append(holder)
        for slot in self.slots:
            for name in _mounts(self.new.get(slot.service)) if slot.change in STARTED else ():
                for holder in holders.get((slot.machine, name), ()):
                    if _still_runs(holder, slot) and self._goes_over(name, holder, slot):
                        self.blockers.add(
                            Code.VOLUME_IN_USE,
                            f"volume {name} goes from service {holder.service} to {slot.service}, which would start "
                            "while the other still runs",
                            f"Deploy without it in {holder.service} first: its data stays. Then deploy this.",
                        )

    def _leaving(self) -> Iterator[tuple[SlotPlan, MachineId]]:
        """Slots whose old container ends with this plan, and where it is."""
        for slot in self.slots:
            if slot.source is not None and slot.change is not Change.UNCHANGED:
                yield slot, slot.source

    def _goes_over(self, name: str, holder: SlotPlan, slot: SlotPlan) -> bool:
        """Services that share a volume before or after this plan know of each other, and readers need not."""
        keeps = holder.change is not Change.REMOVE and name in _mounts(self.new.get(holder.service))
        knew = slot.previous is not None and name in _mounts(self.old.get(slot.service))
        writes = _mounts(self.old.get(holder.service))[name] or _mounts(self.new.get(slot.service))[name]
        return writes and not keeps and not knew

    def _wants(self, slot: SlotPlan) -> Iterator[Port]:
        if slot.change is not Change.REMOVE:
            yield from _ports(self.new.get(slot.service), slot.machine)

    def _port_taken(self, port: Port, how: str, instead: str) -> None:
        text = f"port {port.number} of {port.machine} {how}"
        self.blockers.add(Code.PORT_TAKEN, text, f"Publish another port, or {instead}.")


def _still_runs(holder: SlotPlan, starts: SlotPlan) -> bool:
    """Whether the old container of `holder` is there when the new one of `starts` starts. See plan/effects."""
    if (holder.service, holder.slot) == (starts.service, starts.slot):
        return False
    if starts.change is Change.MOVE:
        return holder.change is Change.REMOVE
    return True


def _ports(service: Service | None, machine: MachineId) -> Iterator[Port]:
    for publish in service.publish if service else ():
        if service is not None and (port := service.port(publish.service_port)) is not None:
            yield Port(machine, publish.host_port, port.protocol, publish.host_ip)


def _is_own(address: str, addresses: Sequence[str]) -> bool:
    return address in addresses or ip_address(address).is_loopback


def _mounts(service: Service | None) -> dict[str, bool]:
    """The volumes of a service, and whether it writes to them."""
    found: dict[str, bool] = {}
    for mount in service.template.mounts if service else ():
        if isinstance(mount.source, VolumeSource):
            found[mount.source.volume] = found.get(mount.source.volume, False) or not mount.readonly
    return found
