"""The composition root: the only place that picks adapters, and puts the parts of one machine together.

Order matters here and nowhere else: the log first, because it says what this machine has in hand; Docker's network and
the overlay before anything listens on it; the actors last.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import anyio

from ployz import __version__
from ployz.actors.authority import AuthorityActor
from ployz.actors.cell import Make
from ployz.actors.compacting import Compactor
from ployz.actors.distance import DistanceActor
from ployz.actors.doctor import DoctorActor
from ployz.actors.doorkeeper import Doorkeeper
from ployz.actors.drain import DrainActor
from ployz.actors.etcd import EtcdActor
from ployz.actors.events import EventsActor
from ployz.actors.facts import FactsActor
from ployz.actors.following import FollowingFactLog
from ployz.actors.gateway import GatewayActor
from ployz.actors.images import ImagesActor
from ployz.actors.invites import InvitesActor
from ployz.actors.journal import Journal
from ployz.actors.machine import MachineActor
from ployz.actors.membership import MembershipActor
from ployz.actors.names import NamesActor
from ployz.actors.operations import OperationsActor
from ployz.actors.parts import Parts
from ployz.actors.rotation import RotationActor
from ployz.actors.routing import RoutingActor, overlay_config
from ployz.actors.secrets import SecretsActor
from ployz.actors.services import ServicesActor
from ployz.actors.snapshots import EVERY_RECORDS, SnapshotKeeper
from ployz.actors.storage import StorageActor
from ployz.actors.system import ActorSystem, Spawner
from ployz.actors.takeover import TakeoverActor
from ployz.actors.volume import VolumeActor
from ployz.actors.witness import Witness
from ployz.actors.workload import WorkloadActor
from ployz.actors.workloads import WorkloadsActor
from ployz.clock import Clock, SystemClock
from ployz.config import LINK_PATIENCE_S, STALL_S, Config
from ployz.errors import Code, Failed, PloyzError, Refused
from ployz.events.feed import Feed
from ployz.events.sqlite_log import TAIL_CHECKED, SqliteLog
from ployz.events.types import ClusterFounded, Lifecycle, MachineIdentified, MachineJoined, NodeStarted
from ployz.facts.killable import KillableFactLog
from ployz.facts.mirror import Mirror
from ployz.facts.port import FactLog
from ployz.facts.sequencer.embedded import EmbeddedFactLog
from ployz.facts.transactions import found_cluster
from ployz.host.dnsmasq import Dnsmasq
from ployz.host.docker.engine import DockerEngine
from ployz.host.etcd import SystemEtcd
from ployz.host.folders import SystemFolders
from ployz.host.guards import SystemGuards
from ployz.host.haproxy.driver import HaproxyGateway
from ployz.host.private_files import secure_folder
from ployz.host.readiness import SocketLooks
from ployz.host.secret_files import SystemSecretFiles
from ployz.host.soundings import SocketSoundings
from ployz.host.supervisor import Supervisor
from ployz.host.wireguard import WireGuard
from ployz.host.zfs.adapter import SystemZfs
from ployz.ids import Certificate, ClusterName, MachineId, Namespace, VolumeName, VolumeRef
from ployz.install.compaction_file import CompactionFile
from ployz.install.identity import read_identity, read_sealing_key, vouch_for
from ployz.install.premises import SystemPremises
from ployz.install.snapshot_file import SnapshotFile
from ployz.plan.addresses import BRIDGE_NETWORK_NAME, Subnets
from ployz.plan.belonging import require_belonging
from ployz.plan.naming import DOMAIN
from ployz.projections.folded import Folded
from ployz.projections.view import ClusterView
from ployz.wire import last_words
from ployz.wire.aside import ThreadAside
from ployz.wire.certificates import name_of
from ployz.wire.client import PeerClient
from ployz.wire.local_groups import LocalGroups
from ployz.wire.server import WireServer
from ployz.wire.session import Identity
from ployz.wire.tcp_streams import TcpStreams
from ployz.wire.tls import MachineTls

PART_TRIES: Final = 60
PART_PAUSE_S: Final = 1.0
"""Docker and the pool may come up after ployzd: it waits a minute for each, saying so."""

_log = logging.getLogger("ployz.node")


async def run_node(config: Config, supervisor: Supervisor) -> None:
    """One machine, until it is cancelled."""
    cluster = _cluster(config)
    own_ipv6, own_ipv4, subnets = own_addresses(config)
    clock = SystemClock()
    docker = DockerEngine(socket=str(config.docker_socket), network=BRIDGE_NETWORK_NAME)
    async with _event_log(config, clock) as log, CompactionFile(config.compaction_path) as compactions:
        identity = partial(Identity, config.machine, cluster)
        compactor = Compactor(log, compactions, EVERY_RECORDS)
        snapshots = SnapshotKeeper(log, SnapshotFile(config.snapshot_path), compactor)
        folded = await snapshots.fold()
        view = folded.view
        certificate = read_identity(config.identity)
        require_belonging(
            config.machine,
            cluster,
            config.founding is not None,
            name_of(certificate),
            certificate,
            folded.local.machine,
            view.machines,
        )
        tls = MachineTls(config.identity, partial(_trusted, config, view))
        locate = partial(_locate, config, view)
        async with (
            PeerClient(identity, locate, tls, source=own_ipv6) as peers,
            ActorSystem(config.machine, peers) as system,
            _authority(config, clock, system) as facts,
        ):
            streams = TcpStreams(
                stall_s=STALL_S, patience_s=LINK_PATIENCE_S, bytes_per_s=partial(_bandwidth, config, view)
            )
            parts = _parts(config, clock, log, docker, facts, folded, streams)
            await _wait_for(f"Docker at {config.docker_socket}", docker.version, supervisor, config.socket)
            await _wait_for(
                f"the pool {config.pool}", partial(parts.zfs.pool_space, config.pool), supervisor, config.socket
            )
            await docker.ensure_network(subnets.bridge(config.bridge))
            await parts.overlay.up(overlay_config(config, own_ipv6, own_ipv4, subnets))
            witness = Witness(parts.journal, system.deliver, parts.new_operation_id)
            server = WireServer(identity, witness, partial(_address, config, view), tls)
            is_members = partial(_is_members, config, view)
            doorkeeper = Doorkeeper(parts, server, peers)
            async with anyio.create_task_group() as tasks:
                await found(config, parts, certificate)
                spawn_actors(system, parts)
                system.spawn("authority", partial(AuthorityActor, parts, facts))
                etcd = SystemEtcd(config.etcd_dir, config.etcd_programs_dir)
                system.spawn("etcd", partial(EtcdActor, config.etcd_dir, etcd))
                tasks.start_soon(log.run)
                tasks.start_soon(parts.mirror.run)
                tasks.start_soon(snapshots.run)
                tasks.start_soon(compactor.run)
                tasks.start_soon(doorkeeper.end_strangers)
                tasks.start_soon(doorkeeper.receive_newcomers)
                await tasks.start(server.serve_peers, own_ipv6, config.peer_port, is_members)
                await tasks.start(streams.serve, own_ipv6, config.stream_port, is_members)
                await tasks.start(server.serve_local, config.socket, LocalGroups.of_this_machine())
                await parts.journal.record("node", NodeStarted(config.machine, __version__))
                _log.info("%s is up, at fact %d", config.machine, view.position)
                last_words.take_back(config.socket)
                supervisor.ready()


# ---------------------------------------------------------------- who we are


def _cluster(config: Config) -> ClusterName:
    if config.cluster is None or (config.founding is None) == (config.join is None):
        raise Refused(
            Code.NOT_FOUNDED,
            f"{config.machine} is in no cluster yet",
            "Found one with `ployzctl cluster init`, or join one with `ployzctl machine join`.",
        )
    return config.cluster


def own_addresses(config: Config) -> tuple[str, str, Subnets]:
    """This machine's own overlay addresses, and the address plan. The founder is number 1."""
    if config.founding is not None:
        subnets = Subnets.of(
            config.founding.ipv6_prefix, config.founding.machine_ipv4_subnet, config.founding.workload_ipv4_subnet
        )
        return *subnets.machine(1), subnets
    if config.join is None:
        raise AssertionError("a machine in a cluster has founded or joined it")
    join = config.join
    return join.ipv6, join.ipv4, Subnets.of(join.ipv6_prefix, join.machine_ipv4_subnet, join.workload_ipv4_subnet)


def name_server_addresses(config: Config) -> tuple[str, ...]:
    """The bridge's, where the containers ask, and the machine's own, for the machine and its neighbours."""
    own_ipv6, own_ipv4, subnets = own_addresses(config)
    return (*subnets.gateway, own_ipv6, own_ipv4)


def _address(config: Config, view: ClusterView, machine: MachineId) -> str | None:
    """The overlay address of a machine, by the facts; before the first of them, of the founder alone."""
    member = view.machines.get(machine)
    if member is not None:
        return member.ipv6
    join = config.join
    return join.founder_ipv6 if join is not None and view.position == 0 and machine == join.founder else None


def _is_members(config: Config, view: ClusterView, address: str) -> bool:
    """Whether an overlay address is that of a machine which this one may hear: as `_address`."""
    join = config.join
    if join is not None and view.position == 0:
        return address == join.founder_ipv6
    return any(address == member.ipv6 for member in view.machines.members.values())


def _trusted(config: Config, view: ClusterView) -> Mapping[MachineId, Certificate]:
    """Whom this machine believes by their keys: as `_address`."""
    join = config.join
    if join is not None and view.position == 0:
        return {join.founder: join.founder_certificate}
    return view.machines.certificates


def _locate(config: Config, view: ClusterView, machine: MachineId) -> tuple[str, int] | None:
    address = _address(config, view, machine)
    return (address, config.peer_port) if address is not None else None


def _bandwidth(config: Config, view: ClusterView) -> int | None:
    """What an operator set for this machine."""
    member = view.machines.get(config.machine)
    return None if member is None else member.settings.bandwidth_bytes_s


# ---------------------------------------------------------------- the parts


@asynccontextmanager
async def _event_log(config: Config, clock: Clock) -> AsyncIterator[Feed]:
    config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in secure_folder(config.state_dir):
        _log.warning("%s could be read by others than its owner; now it cannot", path)
    log = await SqliteLog.open(config.log_path, clock)
    try:
        yield Feed(log)
    finally:
        with anyio.CancelScope(shield=True):
            await log.aclose()


@asynccontextmanager
async def _authority(config: Config, clock: Clock, system: ActorSystem) -> AsyncIterator[FollowingFactLog]:
    """The fact log: here at the founding machine, where its actor serves the others; over the overlay; or in etcd."""
    founder = system.remote(config.join.founder if config.join is not None else config.machine, "facts")
    if config.join is not None:
        async with FollowingFactLog(None, founder, config.etcd_path, clock) as facts:
            yield facts
        return
    # What a crash or a failing disk would have hurt. Who follows checks what it is given, and a copy or a move all.
    embedded = await EmbeddedFactLog.open(config.facts_path, clock, checked=TAIL_CHECKED)
    try:
        system.spawn("facts", partial(FactsActor, embedded))
        async with FollowingFactLog(embedded, founder, config.etcd_path, clock) as facts:
            yield facts
    finally:
        with anyio.CancelScope(shield=True):
            await embedded.aclose()


def _parts(
    config: Config,
    clock: Clock,
    log: Feed,
    docker: DockerEngine,
    facts: FactLog,
    folded: Folded,
    streams: TcpStreams,
) -> Parts:
    parts = Parts(
        config=config,
        clock=clock,
        entropy=os.urandom,
        log=log,
        journal=Journal(log, folded.local),
        local=folded.local,
        facts=KillableFactLog(facts),
        view=folded.view,
        zfs=SystemZfs(),
        docker=docker,
        guards=SystemGuards(config.docker_socket, config.leases_dir),
        overlay=WireGuard(config.private_key, clock),
        folders=SystemFolders(),
        secret_files=SystemSecretFiles(config.secrets_dir),
        sealing_key=read_sealing_key(config.identity),
        vouch=partial(vouch_for, config.identity, config.machine),
        looks=SocketLooks(),
        soundings=SocketSoundings(),
        names=Dnsmasq(
            folder=config.names_dir,
            programs=config.programs_dir,
            domain=DOMAIN,
            listens_on=name_server_addresses(config),
        ),
        gateway=HaproxyGateway(config.gateway_dir, config.certificates_dir),
        streams=streams,
        premises=SystemPremises(config),
        aside=ThreadAside(),
    )
    parts.mirror = Mirror(facts, log, [parts.take_fact], folded.view.position, folded.fact_hash)
    return parts


async def found(config: Config, parts: Parts, certificate: Certificate) -> None:
    """At the founding machine's first start: the first facts. Founded already is done."""
    if config.founding is None or parts.view.position > 0:
        return
    ipv6, ipv4, _ = own_addresses(config)
    founded = ClusterFounded(
        cluster=_cluster(config),
        founder=config.machine,
        ipv6_prefix=config.founding.ipv6_prefix,
        machine_ipv4_subnet=config.founding.machine_ipv4_subnet,
        workload_ipv4_subnet=config.founding.workload_ipv4_subnet,
    )
    founder = MachineJoined(
        machine=config.machine,
        number=1,
        ipv6=ipv6,
        ipv4=ipv4,
        endpoint=config.endpoint,
        public_key=await parts.overlay.public_key(),
        lifecycle=Lifecycle.ACTIVE,
    )
    identified = MachineIdentified(config.machine, certificate)
    await parts.facts.transact(found_cluster(founded, founder, identified))


def spawn_actors(system: ActorSystem, parts: Parts) -> None:
    actors: dict[str, Make] = {
        "machine": partial(MachineActor, parts),
        "names": partial(NamesActor, parts),
        "routing": partial(RoutingActor, parts),
        "gateway": partial(GatewayActor, parts),
        "storage": partial(StorageActor, parts),
        "images": partial(ImagesActor, parts),
        "invites": partial(InvitesActor, parts),
        "workloads": partial(WorkloadsActor, parts),
        "operations": partial(OperationsActor, parts),
        "services": partial(ServicesActor, parts),
        "secrets": partial(SecretsActor, parts),
        "rotation": partial(RotationActor, parts),
        "takeover": partial(TakeoverActor, parts),
        "membership": partial(MembershipActor, parts),
        "distance": partial(DistanceActor, parts),
        "doctor": partial(DoctorActor, parts),
        "drain": partial(DrainActor, parts),
        "events": partial(EventsActor, parts),
    }
    spawners: dict[str, Spawner] = {
        "volume": partial(_volume_maker, parts),
        "workload": partial(_workload_maker, parts),
    }
    for prefix, spawner in spawners.items():
        system.spawn_on_demand(prefix, spawner)
    for address, make in actors.items():
        system.spawn(address, make)


def _volume_maker(parts: Parts, address: str) -> Make:
    _, *names = address.split("/")
    if len(names) != 2:  # noqa: PLR2004 - volume/NAMESPACE/VOLUME
        raise Refused(Code.UNKNOWN_ACTOR, f"there is no actor {address!r}: write volume/NAMESPACE/VOLUME")
    return partial(VolumeActor, parts, VolumeRef(Namespace(names[0]), VolumeName(names[1])))


def _workload_maker(parts: Parts, address: str) -> Make:
    return partial(WorkloadActor, parts, Namespace(address.partition("/")[2]))


async def _wait_for(what: str, look: Callable[[], Awaitable[object]], supervisor: Supervisor, socket: Path) -> None:
    for attempt in range(PART_TRIES):
        try:
            await look()
        except PloyzError as error:
            if attempt == 0:
                _log.warning("waiting for %s: %s", what, error)
                supervisor.status(f"waiting for {what}: {error}")
                last_words.leave(socket, f"it waits for {what}: {error}", error.problem.advice)
            await anyio.sleep(PART_PAUSE_S)
        else:
            return
    raise Failed(Code.MISSING_PART, f"{what} did not come up within {PART_TRIES * PART_PAUSE_S:g} s")
