"""Looks at the whole cluster after every step, and gathers what must never be.

Each check itself is in checks/, on values; here is where the values come from, and which step could change which.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import define, field

from ployz.events.types import DeployCommitted
from ployz.facts import keys
from ployz.ids import MachineId, OperationId
from ployz.plan import names
from tests.cluster.cluster import Cluster
from tests.cluster.effects import Effect
from tests.cluster.machine import Machine
from tests.cluster.scenes import ROOT
from tests.sim.checks import mirrors, routes
from tests.sim.checks.picture import ContainerSeen, DatasetSeen, MachineSeen, Picture
from tests.sim.checks.truth import Truth
from tests.sim.clients import RECORDS, Clients
from tests.sim.history import History


@define(eq=False)
class Watch:
    cluster: Cluster
    history: History
    clients: Clients = field(init=False)
    truth: Truth = field(factory=Truth, init=False)
    wrong: list[str] = field(factory=list, init=False)
    before: dict[OperationId, str] = field(factory=dict, init=False)
    """Operations that had ended before the first order."""
    _mirrors: dict[MachineId, tuple[int, int]] = field(factory=dict, init=False)
    """How far each log was looked at, and its mirror's position there."""
    _applying: dict[MachineId, int] = field(factory=dict, init=False)
    """The mirror's position when an overlay was begun to be made so."""

    def __attrs_post_init__(self) -> None:
        """What happened before is taken as it is, and not told."""
        self.clients = Clients(self.cluster)
        for fact in self.cluster.shared.facts._facts:
            self.truth.take(fact.fact)
        self.before = dict(self.truth.ended)

    def step(self, effect: Effect) -> None:
        """Each check where its subject can have changed, which is as good as all of them after every step."""
        self.clients.step()
        more_facts = self.truth.position < self.cluster.shared.facts.position
        if more_facts:
            self._facts()
        name = effect.name
        if name.startswith("log."):
            self._mirror(self.cluster.machines[effect.machine])
        elif name == "overlay.apply":
            self._route(self.cluster.machines[effect.machine], effect)
        if more_facts or (effect.done and name.startswith(("zfs.", "streams."))):
            self.records()
        if self.cluster.world.violations:
            self._say(self.cluster.world.violations)
            self.cluster.world.violations.clear()

    # ------------------------------------------------------------ after every step

    def _facts(self) -> None:
        facts = self.cluster.shared.facts._facts
        while self.truth.position < len(facts):
            fact = facts[self.truth.position]
            self.history.fact(fact)
            self._say(self.truth.take(fact.fact))
            if isinstance(fact.fact, DeployCommitted):
                self._lock(fact.fact)

    def _lock(self, committed: DeployCommitted) -> None:
        record = keys.lock(committed.namespace)
        there = self.cluster.shared.facts._records.get(record.text)
        holder = record.decode(there.held.value) if there else None
        if holder is None or holder.operation_id != committed.operation_id:
            self._say([f"{committed.operation_id} is committed without holding the lock"])

    def records(self) -> None:
        for dataset, records in self.clients.written.items():
            volume = dataset.removeprefix(f"{ROOT}/")
            owner = self.truth.owners[volume]
            content = self.cluster[owner].zfs._sets.get(dataset)
            missing = records.missing_from(content.files.get(RECORDS, b"") if content else b"")
            if missing:
                count = len(records.acknowledged)
                self._say([f"{owner} owns {volume}, which lacks {len(missing)} of {count} acknowledged records"])

    def _mirror(self, machine: Machine) -> None:
        seen, position = self._mirrors.get(machine.name, (0, 0))
        log = machine.disk.log
        if log.head == seen:
            return
        if log.head < seen:
            self._say([f"{machine.name}: its log lost {seen - log.head} of {seen} acknowledged events"])
        wrong, position = mirrors.strays(log._records[seen:], self.cluster.shared.facts._facts, position)
        self._mirrors[machine.name] = log.head, position
        self._say([f"{machine.name} {each}" for each in wrong])

    def _route(self, machine: Machine, effect: Effect) -> None:
        if not effect.done:
            self._applying[machine.name] = self._mirrors.get(machine.name, (0, 0))[1]
            return
        by_key = {each.key: each.name for each in self.cluster.machines.values()}
        homes = self.truth.homes_since(self._applying.get(machine.name, 0))
        self._say(routes.misled(machine.name, effect.args[0], by_key, homes))

    def _say(self, wrong: list[str]) -> None:
        for each in wrong:
            if each not in self.wrong:
                self.wrong.append(each)
                self.history.tell("WRONG", each)

    # ------------------------------------------------------------ at rest

    def picture(self) -> Picture:
        return tuple(self._seen(machine) for machine in self.cluster.machines.values())

    def _seen(self, machine: Machine) -> MachineSeen:
        life = machine.life
        state = machine.overlay.applied[-1] if machine.overlay.applied else None
        by_key = {each.key: each.name for each in self.cluster.machines.values()}
        slots = {address for slot in self.truth.slots.values() for address in slot.addresses}
        sent_to = [(ip, by_key[peer.public_key]) for peer in (state.peers if state else ()) for ip in peer.addresses]
        return MachineSeen(
            machine=machine.name,
            containers=tuple(_container(machine, name) for name in machine.docker.names()),
            datasets=tuple(_datasets(machine)),
            fences=tuple(sorted(map(str, life.parts.local.fences))) if life and life.is_up else ("nobody knows",),
            leases=tuple(sorted(machine.guards.leases)),
            local=state.local if state else frozenset(),
            closed=state.closed if state else frozenset(),
            hidden=state.hidden if state else frozenset(),
            sent_to=tuple(sorted((ip, where) for ip, where in sent_to if ip in slots)),
            position=life.parts.view.position if life and life.is_up else -1,
            taken=tuple(_taken(machine)),
        )


def _taken(machine: Machine) -> Iterator[str]:
    docker = machine.docker
    if docker.network is None:
        yield "no network for its containers"
    yield from (f"a network that is held for {each}, which is gone" for each in sorted(docker._orphans))
    yield from (f"{each}, which keeps an image" for each in docker.keepers)
    if machine.overlay.changed:
        yield "the firewall flushed"


def _container(machine: Machine, name: str) -> ContainerSeen:
    made = machine.docker._containers[name]
    labels = made.spec.labels
    return ContainerSeen(
        id=made.id,
        name=name,
        operation=labels[names.LABEL_OPERATION],
        slot=str(names.slot_of(labels)),
        running=made.running,
    )


def _datasets(machine: Machine) -> list[DatasetSeen]:
    found = []
    for name, content in machine.zfs.contents():
        volume = name.removeprefix(f"{ROOT}/")
        if volume == name or "/" not in volume:
            continue
        ours = [each for each in content.snapshots if names.is_ours(each.name)]
        found.append(
            DatasetSeen(
                volume=volume,
                epoch=int(content.properties.get(names.PROPERTY_EPOCH, "0")),
                mounted=content.mounted_at is not None,
                readonly=content.properties.get("readonly") == "on",
                snapshots=tuple(each.name for each in ours),
                held=tuple(each.name for each in ours if each.holds),
                partial=bool(content.partial),
            )
        )
    return found
