"""One simulated machine: what it stores outlives every crash, and each life of its node begins from that."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv6Address
from typing import Any, cast

import anyio
from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
from attrs import define, field

from ployz.actors.cell import declared_error
from ployz.actors.compacting import Compactor
from ployz.actors.facts import FactsActor, RemoteFactLog
from ployz.actors.journal import Journal
from ployz.actors.parts import Parts
from ployz.actors.routing import overlay_config
from ployz.actors.snapshots import SnapshotKeeper
from ployz.actors.system import ActorSystem
from ployz.config import Config
from ployz.errors import PloyzError
from ployz.events.feed import Feed
from ployz.events.memory_log import MemoryLog
from ployz.events.types import NodeStarted
from ployz.facts.memory import MemoryFactLog
from ployz.facts.mirror import Mirror
from ployz.facts.port import FactLog
from ployz.host.fakes.docker import FakeDocker
from ployz.host.fakes.folders import FakeFolders
from ployz.host.fakes.gateway import FakeGateway
from ployz.host.fakes.guards import FakeGuards
from ployz.host.fakes.names import FakeNameServer
from ployz.host.fakes.overlay import FakeOverlay, made_up_key
from ployz.host.fakes.premises import FakePremises
from ployz.host.fakes.secret_files import FakeSecretFiles
from ployz.host.fakes.zfs import RECEIVE, SEND, FakeZfs
from ployz.host.ports import Image
from ployz.ids import Certificate, Endpoint, MachineId
from ployz.install.identity import read_sealing_key, vouch_for
from ployz.node import found, own_addresses, spawn_actors
from ployz.wire.aside import InlineAside
from ployz.wire.fake_streams import StreamLinks
from ployz.wire.sealing import SealingKey
from tests import identities
from tests.cluster.effects import Effects, Interposed
from tests.cluster.looks import OverlayLooks, OverlaySoundings, Station
from tests.cluster.network import Network
from tests.cluster.ordering import Ordering, TellsWhoOrders
from tests.cluster.snapshots import EVERY_RECORDS, MemoryCompactions, MemorySnapshots
from tests.cluster.virtual_time import VirtualClock

POOL_BYTES = 1 << 30


@define(eq=False)
class Disk:
    """What outlives a power cut, and the programs of the machine that use it."""

    zfs: FakeZfs
    docker: FakeDocker
    guards: FakeGuards
    folders: FakeFolders
    log: MemoryLog
    snapshots: MemorySnapshots = field(factory=MemorySnapshots)
    compactions: MemoryCompactions = field(factory=MemoryCompactions)
    starts: int = 0

    def output_of(self, argv: Sequence[str]) -> bytes:
        if argv[0] == SEND:
            return self.zfs.stream_out(argv)
        _, verb, image_id = argv
        assert verb == "save"
        image = self.docker.images[image_id]
        return f"{image.id} {image.size_bytes}".encode().ljust(image.size_bytes)

    def give(self, argv: Sequence[str], content: bytes) -> None:
        if argv[0] == RECEIVE:
            self.zfs.stream_in(argv, content)
        else:
            image_id, size = content.decode().split()
            self.docker.images[image_id] = Image(image_id, int(size), ())

    def cut(self, argv: Sequence[str], beginning: bytes) -> None:
        if argv[0] == RECEIVE:
            self.zfs.stream_cut(argv, beginning)


@define(eq=False)
class Shared:
    """What all machines of a cluster have in common."""

    random: random.Random
    clock: VirtualClock
    network: Network
    links: StreamLinks
    effects: Effects
    facts: MemoryFactLog
    """The authority's store: on the founder's disk."""
    stations: dict[str, Station] = field(factory=dict)
    """Every machine, by its key."""
    ordering: Ordering = field(factory=Ordering)


@define(eq=False)
class Life:
    """One run of the node, from its start to a crash or the end."""

    machine: Machine
    system: ActorSystem = field(init=False)
    parts: Parts = field(init=False)
    compactor: Compactor = field(init=False)
    snapshots: SnapshotKeeper = field(init=False)
    scope: anyio.CancelScope = field(factory=anyio.CancelScope, init=False)
    ended: anyio.Event = field(factory=anyio.Event, init=False)
    is_up: bool = field(default=False, init=False)
    """Its actors are there. Before that it reads its log."""
    is_on: bool = field(default=True, init=False)

    async def live(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        try:
            with self.scope:
                await self._run(task_status)
        except Exception as error:
            declared = declared_error(error)
            if self.is_on and (declared is None or self.machine.on_failure is None):
                raise  # when it is off, this is what its calls end with
            if self.is_on and declared is not None and self.machine.on_failure is not None:
                self.machine.on_failure(declared)
        finally:
            self.ended.set()

    async def _run(self, task_status: TaskStatus[None]) -> None:
        machine, shared = self.machine, self.machine.shared
        async with ActorSystem(machine.name, shared.network.peers(machine.name)) as system:
            self.system = system
            await self._load(system)
            ipv6, ipv4, subnets = own_addresses(machine.config)
            await self.parts.docker.ensure_network(subnets.bridge(machine.config.bridge))
            await self.parts.overlay.up(overlay_config(machine.config, ipv6, ipv4, subnets))
            async with anyio.create_task_group() as tasks:
                station = shared.network.join(machine.name, system.deliver, tasks)
                await found(machine.config, self.parts, machine.certificate)
                spawn_actors(system, self.parts)
                system.spawn("authority", lambda: TellsWhoOrders(self.parts, shared.ordering))
                tasks.start_soon(self.parts.log.run)
                tasks.start_soon(self.parts.mirror.run)
                tasks.start_soon(self.snapshots.run)
                tasks.start_soon(self.compactor.run)
                await self.parts.journal.record("node", NodeStarted(machine.name, "simulated"))
                self.is_up = True
                task_status.started()
                try:
                    await anyio.sleep_forever()
                finally:
                    station.takes = False

    async def _load(self, system: ActorSystem) -> None:
        machine, shared, disk = self.machine, self.machine.shared, self.machine.disk
        log = Feed(self._port("log", disk.log))
        disk.starts += 1
        if disk.starts % 2 == 0:
            disk.snapshots.data = None  # lost: this life begins by the compaction
        self.compactor = Compactor(log, self._port("compactions", disk.compactions), EVERY_RECORDS)
        self.snapshots = SnapshotKeeper(log, self._port("snapshots", disk.snapshots), self.compactor, EVERY_RECORDS)
        folded = await self.snapshots.fold()
        self.parts = Parts(
            config=machine.config,
            clock=shared.clock,
            entropy=shared.random.randbytes,
            log=log,
            journal=Journal(log, folded.local),
            local=folded.local,
            facts=self._facts(system),
            view=folded.view,
            zfs=self._port("zfs", disk.zfs),
            docker=self._port("docker", disk.docker),
            guards=self._port("guards", disk.guards),
            overlay=self._port("overlay", machine.overlay),
            folders=self._port("folders", disk.folders),
            secret_files=self._port("secret_files", machine.secret_files),
            sealing_key=sealing_key(machine.name),
            vouch=partial(vouch_for, identities.identity(machine.name), machine.name),
            looks=self._port("looks", OverlayLooks(machine, shared.stations, shared.network)),
            soundings=self._port("soundings", OverlaySoundings(machine, shared.stations, shared.network)),
            names=self._port("names", machine.names),
            gateway=self._port("gateway", machine.gateway),
            streams=self._port("streams", shared.links.at(machine.name, disk)),
            premises=self._port("premises", machine.premises),
            aside=InlineAside(),
        )
        self.parts.mirror = Mirror(
            self.parts.facts, log, [self.parts.take_fact], folded.view.position, folded.fact_hash
        )

    def _facts(self, system: ActorSystem) -> FactLog:
        """At the founder the store itself, for everybody; elsewhere over the network."""
        join = self.machine.config.join
        if join is not None:
            remote = RemoteFactLog(system.remote(join.founder, "facts"))
            return cast("FactLog", self._port("facts", remote))
        store = self._port("facts", self.machine.shared.facts)
        system.spawn("facts", lambda: FactsActor(store))
        return cast("FactLog", store)

    def _port(self, name: str, port: object) -> Any:
        return Interposed(port, name, self.machine.name, self.machine.shared.effects, lambda: self.is_on)


@define(eq=False)
class Machine:
    name: MachineId
    config: Config
    shared: Shared
    disk: Disk
    overlay: FakeOverlay
    gateway: FakeGateway
    """Outlives ployzd, as the real one does."""
    secret_files: FakeSecretFiles
    names: FakeNameServer = field(factory=FakeNameServer, init=False)
    """As the gateway."""
    premises: FakePremises = field(init=False)
    life: Life | None = None
    """None: it is off."""
    on_failure: Callable[[PloyzError], None] | None = None
    """Told when ployzd ends by itself, as its supervisor would be. None: that must not happen."""

    def __attrs_post_init__(self) -> None:
        self.premises = FakePremises(self.certificate)

    @property
    def zfs(self) -> FakeZfs:
        return self.disk.zfs

    @property
    def docker(self) -> FakeDocker:
        return self.disk.docker

    @property
    def guards(self) -> FakeGuards:
        return self.disk.guards

    @property
    def key(self) -> str:
        return made_up_key(self.name)

    @property
    def certificate(self) -> Certificate:
        return certificate(self.name)

    @property
    def parts(self) -> Parts:
        assert self.life is not None, f"{self.name} is off"
        return self.life.parts

    @property
    def system(self) -> ActorSystem:
        assert self.life is not None, f"{self.name} is off"
        return self.life.system


def new_machine(name: MachineId, config: Config, shared: Shared) -> Machine:
    docker = FakeDocker(wall_ms=shared.clock.wall_ms)
    folders = FakeFolders()
    secret_files = FakeSecretFiles(str(config.secrets_dir))
    docker.path_exists = lambda path: path in folders.modes or secret_files.has(path)
    disk = Disk(
        # As in a fleet that is being renewed: one machine's ZFS is older than the others'.
        zfs=FakeZfs(shared.clock, seed=name, size_bytes=POOL_BYTES, resumes=name != "machine-b"),
        docker=docker,
        guards=FakeGuards(docker),
        folders=folders,
        log=MemoryLog(shared.clock),
    )
    machine = Machine(
        name, config, shared, disk, FakeOverlay(made_up_key(name)), FakeGateway(shared.clock), secret_files
    )
    shared.stations[machine.key] = machine
    return machine


def certificate(machine: MachineId) -> Certificate:
    """The simulated network proves by itself who sends; secrets are encrypted for it."""
    return identities.certificate(machine)


def sealing_key(machine: MachineId) -> SealingKey:
    return read_sealing_key(identities.identity(machine))


def endpoint(number: int) -> Endpoint:
    return Endpoint(f"[{IPv6Address('2001:db8::') + number}]:51820")
