"""The machine actor: what this machine has, and who the members are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import anyio

from ployz import __version__
from ployz.actors.core import Actor, handles
from ployz.actors.dataset import OWNERS_AUTO_SNAPSHOT, epoch_of
from ployz.actors.messages.gateway import CheckGateway
from ployz.actors.messages.machine import (
    AskSilence,
    ClusterSettingList,
    ListMachines,
    MachineDetail,
    MachineList,
    MachineRow,
    Ping,
    Pong,
    SetCluster,
    SetMachine,
    SettingRow,
    ShowMachine,
    Silence,
)
from ployz.actors.messages.probing import ProbeMachine
from ployz.actors.parts import Parts
from ployz.actors.sounding import packets_lost
from ployz.actors.together import together
from ployz.actors.work import transact
from ployz.config import ASK_TIMEOUT_S, PROBE_TIMEOUT_S
from ployz.errors import Code, PloyzError, Refused
from ployz.events.types import ClusterFounded, ClusterSettingChanged, MachineSettingChanged
from ployz.facts.transactions import set_cluster, set_machine
from ployz.host.ports import Container
from ployz.ids import InvalidName, MachineId, Namespace, OperationId, ServiceRef, SlotRef, VolumeRef
from ployz.plan import committed, names, properties, taken
from ployz.plan.addresses import Subnets
from ployz.plan.holdings import holdings, member_of
from ployz.plan.reports import (
    AsideReport,
    EndedReport,
    HolderReport,
    ImageReport,
    KeepReport,
    MachineReport,
    OwnPort,
    PacketReport,
    SnapshotReport,
    UncoveredReport,
    VolumeReport,
)
from ployz.plan.restart import should_restart
from ployz.plan.route_clashes import in_the_way_of_gateway
from ployz.projections.machines import Member
from ployz.projections.settings import (
    DEFAULTS,
    ENDPOINT,
    GATEWAY,
    ON,
    ClusterSettings,
    parse_cluster_setting,
    parse_settings,
)

DNS_PORT: Final = 53
REACH_S: Final = PROBE_TIMEOUT_S / 2
"""How long another machine may take to answer, while whoever wants to know waits for this one."""
HINDRANCES_MAX: Final = 5
VOLUMES_AT_ONCE: Final = 4
"""Looked at side by side in one report: each costs a few programs of ZFS."""
REACH_AGAIN_S: Final = 0.5


class MachineActor(Actor):
    """`machine`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @handles(Ping, concurrent=True)
    async def ping(self, message: Ping) -> Pong:  # noqa: ARG002 - being asked is the question
        return Pong(self._parts.me, self._parts.view.position, __version__)

    # ------------------------------------------------------------ probing

    @handles(ProbeMachine, concurrent=True)
    async def probe(self, message: ProbeMachine) -> MachineReport:
        unreached = await together(*(partial(self._unreached, each) for each in message.sends_to))
        zfs = self._parts.zfs
        space = await zfs.pool_space(self._parts.config.pool)
        root = await zfs.state(self._parts.config.root_dataset)
        there = set(await zfs.children(self._parts.config.root_dataset)) if message.volumes else set()
        aside = await zfs.children(names.asides(self._parts.config.root_dataset)) if message.volumes else ()
        present = [volume for volume in message.volumes if self._parts.dataset(volume) in there]
        limiter = anyio.CapacityLimiter(VOLUMES_AT_ONCE)
        volumes = await together(*(partial(self._volume_within, limiter, each, message) for each in present))
        containers = await self._containers(message.namespace)
        images = [found for image in message.images if (found := await self._image(image)) is not None]
        return MachineReport(
            machine=self._parts.me,
            position=self._parts.view.position,
            pool_size_bytes=space.size_bytes,
            # A quota on the root or above it counts as much as the pool's end.
            pool_free_bytes=min(space.free_bytes, root.available_bytes if root else space.free_bytes),
            pool_health=space.health,
            volumes=tuple(filter(None, volumes)),
            images=tuple(images),
            asides=tuple([each for volume in message.volumes for each in await self._asides(volume, aside)]),
            unreached=tuple(filter(None, unreached)),
            packets=await self._packets_lost(message.sends_to),
            missing=await self._missing(),
            uncovered=tuple(await self._uncovered(containers)),
            ended=tuple(self._ended(message.namespace, containers)),
            own_ports=self._own_ports(),
            addresses=tuple(await self._parts.premises.addresses()),
        )

    async def _missing(self) -> tuple[SlotRef, ...]:
        """Of those that run for ever: what ends by itself may have been done, and cleaned away."""
        try:
            census = await self._parts.docker.census()
        except PloyzError:
            return ()  # whoever needs Docker here is told so
        wanted = taken.must_be_here(self._parts.view, self._parts.me, self._parts.local.fences)
        return tuple(slot for name, slot in sorted(wanted.items()) if name not in census.containers)

    def _own_ports(self) -> tuple[OwnPort, ...]:
        """On overlay addresses only, some; what a container publishes on every address meets them. What a gateway
        listens on goes by its routes, which are compared by themselves.
        """
        config, view = self._parts.config, self._parts.view
        cluster, member = view.machines.cluster, view.machines.get(self._parts.me)
        own = () if member is None else (member.ipv6, member.ipv4)
        asked = own if cluster is None else (*own, *Subnets.of_cluster(cluster).gateway)
        return (
            OwnPort(DNS_PORT, "udp", "ployz's name server", asked),
            OwnPort(DNS_PORT, "tcp", "ployz's name server", asked),
            OwnPort(config.peer_port, "tcp", "ployzd", own),
            OwnPort(config.stream_port, "tcp", "ployzd", own),
            OwnPort(config.listen_port, "udp", "ployz's WireGuard"),
        )

    async def _containers(self, namespace: Namespace | None) -> Sequence[Container]:
        """A Docker that does not answer is found out by whoever needs it."""
        if namespace is None:
            return ()
        try:
            return await self._parts.docker.containers({names.LABEL_NAMESPACE: namespace})
        except PloyzError:
            return ()

    def _ended(self, namespace: Namespace | None, containers: Sequence[Container]) -> Iterator[EndedReport]:
        """Also what somebody has cleaned away since."""
        local, there = self._parts.local, {each.name: each for each in containers}
        state = self._parts.view.placement.namespace(namespace) if namespace is not None else None
        for placement in state.slots.values() if state is not None else ():
            if namespace is None or placement.machine != self._parts.me:
                continue
            slot = SlotRef(ServiceRef(namespace, placement.service), placement.slot)
            name = names.container(slot, placement.operation_id)
            found, service = there.get(name), committed.service(self._parts.view, slot.service)
            exit_code = local.ended_with(name) if found is None or found.exit_code is None else found.exit_code
            is_up = local.stopped_by_us(name) or (found is not None and found.running)
            if exit_code is None or is_up or service is None:
                continue
            if not should_restart(service.restart, exit_code):
                yield EndedReport(slot, placement.operation_id, exit_code)

    async def _uncovered(self, containers: Sequence[Container]) -> list[UncoveredReport]:
        return [
            UncoveredReport(
                names.slot_of(each.labels),
                OperationId(each.labels[names.LABEL_OPERATION]),
                volume.path,
                await self._parts.folders.written_since(volume.folder, each.created_ms),
            )
            for each in containers
            for volume in each.volumes
        ]

    async def _unreached(self, machine: MachineId) -> MachineId | None:
        """It is asked more than once: a link that was just mended is not called again at once."""
        ref = self.system.remote(machine, "machine")
        with anyio.move_on_after(REACH_S):
            while True:
                try:
                    await ref.ask(Ping(), timeout_s=REACH_S)
                except PloyzError:
                    await anyio.sleep(REACH_AGAIN_S)
                else:
                    return None
        return machine

    async def _packets_lost(self, machines: Sequence[MachineId]) -> tuple[PacketReport, ...]:
        """Where it cannot be asked, nothing is known to be lost."""
        try:
            return tuple(await packets_lost(self._parts, machines)) if machines else ()
        except PloyzError:
            return ()

    async def _asides(self, volume: VolumeRef, aside: Sequence[str]) -> list[AsideReport]:
        folder = names.aside_folder(self._parts.config.root_dataset, volume.namespace)
        below = [each for each in aside if each.startswith(f"{folder}/")]
        states = [await self._parts.zfs.state(each) for each in below if names.is_aside_of(each, volume)]
        return [AsideReport(volume, each.name, each.referenced_bytes) for each in states if each is not None]

    async def _volume_within(
        self, limiter: anyio.CapacityLimiter, volume: VolumeRef, asked: ProbeMachine
    ) -> VolumeReport | None:
        async with limiter:
            return await self._volume(volume, asked)

    async def _volume(self, volume: VolumeRef, asked: ProbeMachine) -> VolumeReport | None:
        dataset = self._parts.dataset(volume)
        found = await self._parts.zfs.state(dataset)
        if found is None:
            return None
        return VolumeReport(
            volume=volume,
            epoch=epoch_of(found),
            referenced_bytes=found.referenced_bytes,
            quota_bytes=found.quota_bytes or found.total_quota_bytes,
            snapshots=tuple(SnapshotReport(each.name, each.guid) for each in found.snapshots),
            strangers=tuple([each async for each in self._strangers(volume, dataset)]),
            children=tuple(await self._parts.zfs.children(dataset))[:HINDRANCES_MAX] if asked.hindrances else (),
            keeps=await self._keeps(dataset) if asked.hindrances else (),
            snapshots_bytes=found.snapshots_bytes,
            logical_bytes=found.logical_bytes,
            local=properties.of_owner(found.local, found.properties.get(OWNERS_AUTO_SNAPSHOT)),
        )

    async def _keeps(self, dataset: str) -> tuple[KeepReport, ...]:
        """Of others: ployz ends its own holds by itself."""
        keeps = list(await self._parts.zfs.keeps(dataset))
        others = [each for place, each in enumerate(keeps) if not names.is_our_hold(each, keeps[:place])]
        return tuple(
            KeepReport(each.snapshot, each.why(dataset), each.remedy(dataset)) for each in others[:HINDRANCES_MAX]
        )

    async def _strangers(self, volume: VolumeRef, dataset: str) -> AsyncIterator[HolderReport]:
        """The namespace's own containers use the volume by right."""
        labels = {names.LABEL_NAMESPACE: str(volume.namespace)}
        ours = {each.id for each in await self._parts.docker.containers(labels)}
        others = [each for each in await self._parts.zfs.holders(dataset) if each.container_id not in ours]
        found = await self._parts.docker.containers({}) if any(each.container_id for each in others) else ()
        by_id = {each.id: each.labels for each in found}
        for each in others:
            yield HolderReport(each.pid, each.command, _slot(by_id.get(each.container_id or "", {})), each.how)

    async def _image(self, reference: str) -> ImageReport | None:
        found = await self._parts.docker.image(reference)
        return ImageReport(reference, found.id, found.size_bytes, found.volumes) if found else None

    # ------------------------------------------------------------ members

    @handles(ListMachines, concurrent=True)
    async def list(self, message: ListMachines) -> MachineList:  # noqa: ARG002 - it has nothing to say but "now"
        view = self._parts.view
        cluster = view.machines.cluster
        calls = [partial(self._row, member, cluster) for member in view.machines.in_order()]
        rows = tuple(await together(*calls))
        return MachineList(cluster.cluster if cluster else None, view.position, rows, self._parts.is_removed)

    async def _row(self, member: Member, cluster: ClusterFounded | None) -> MachineRow:
        try:
            pong = await self.system.remote(member.machine, "machine").ask(Ping(), timeout_s=PROBE_TIMEOUT_S)
        except PloyzError:
            pong = None
        placement = self._parts.view.placement
        return MachineRow(
            machine=member.machine,
            lifecycle=member.lifecycle,
            founder=cluster is not None and member.machine == cluster.founder,
            ipv6=member.ipv6,
            ipv4=member.ipv4,
            endpoint=member.endpoint,
            reachable=pong is not None,
            version=pong.version if pong else "",
            position=pong.position if pong else 0,
            slots=sum(slot.machine == member.machine for _, slot in placement.slots()),
            volumes=len(placement.volumes_on(member.machine)),
            settings=tuple(SettingRow(each.key, each.value, each in DEFAULTS) for each in member.settings.listed()),
            silent_ms=0 if pong else await self._silent_ms(member.machine),
            heard_at=await self._heard_at(member),
        )

    async def _heard_at(self, member: Member) -> str:
        """Empty where that is its endpoint, or nothing was heard."""
        try:
            status = await self._parts.overlay.status()
        except PloyzError:
            return ""
        keys = {member.public_key, member.next_key}
        heard = [each.endpoint for each in status if each.public_key in keys and each.handshake_age_s is not None]
        return next((each for each in heard if each != member.endpoint), "")

    @handles(AskSilence, concurrent=True)
    async def silence(self, message: AskSilence) -> Silence:
        silent_s = self.system.silent_s(message.machine)
        return Silence(-1 if silent_s is None else round(silent_s * 1000))

    async def _silent_ms(self, machine: MachineId) -> int:
        """By whoever heard from it last: most machines hear from the authority alone, and it from all."""
        others = [each.machine for each in self._parts.view.machines.in_order() if each.machine != machine]
        heard = await together(*(partial(self._ask_silence, each, machine) for each in others))
        return min((each for each in heard if each >= 0), default=-1)

    async def _ask_silence(self, asked: MachineId, about: MachineId) -> int:
        try:
            reply = await self.system.remote(asked, "machine").ask(AskSilence(about), timeout_s=PROBE_TIMEOUT_S)
        except PloyzError:
            return -1
        return reply.silent_ms

    @handles(ShowMachine, concurrent=True)
    async def show(self, message: ShowMachine) -> MachineDetail:
        return await self._detail(message.machine)

    async def _detail(self, machine: MachineId) -> MachineDetail:
        view = self._parts.view
        row = await self._row(member_of(view, machine), view.machines.cluster)
        held = holdings(view, machine)
        return MachineDetail(row, held.volumes, held.slots, held.operations)

    @handles(SetMachine)
    async def set(self, message: SetMachine) -> MachineDetail:
        """What it is already is no fact."""
        member = member_of(self._parts.view, message.machine)
        settings = parse_settings(message.settings)
        changes = [
            MachineSettingChanged(member.machine, each.key, each.value)
            for each in settings
            if member.with_(each) != member
        ]
        for each in changes:
            if each.key == ENDPOINT:
                self._check_endpoint(each)
        if any((each.key, each.value) == (GATEWAY, ON) for each in changes):
            await self._check_gateway(message.machine)
        if changes:
            await transact(self._parts, set_machine(member.lifecycle, changes))
        return await self._detail(message.machine)

    @handles(SetCluster)
    async def set_cluster(self, message: SetCluster) -> ClusterSettingList:
        """What it is already is no fact."""
        machines = self._parts.view.machines
        wanted = parse_cluster_setting(message.setting)
        if machines.settings.with_(wanted) != machines.settings:
            await transact(self._parts, set_cluster(ClusterSettingChanged(wanted.key, wanted.value)))
        defaults = ClusterSettings().listed()
        return ClusterSettingList(
            tuple(SettingRow(each.key, each.value, each in defaults) for each in machines.settings.listed())
        )

    def _check_endpoint(self, wanted: MachineSettingChanged) -> None:
        """`Refused`, with nothing changed: no two machines are at one endpoint."""
        for member in self._parts.view.machines.in_order():
            if member.machine != wanted.machine and member.endpoint == wanted.value:
                raise Refused(
                    Code.INVALID_SETTING,
                    f"{wanted.value} is the endpoint of {member.machine}",
                    f"If {member.machine} has another one now, set that first: "
                    f"ployzctl machine set {member.machine} endpoint=IP:PORT",
                )

    async def _check_gateway(self, machine: MachineId) -> None:
        """`Refused`, with nothing changed: it lacks what a gateway needs, does not answer, or its ports are in use."""
        blockers = in_the_way_of_gateway(self._parts.view, machine)
        if blockers:
            raise Refused(blockers[0].code, "; ".join(each.text for each in blockers), blockers[0].advice)
        await self.system.remote(machine, "gateway").ask(CheckGateway(), timeout_s=ASK_TIMEOUT_S)


def _slot(labels: Mapping[str, str]) -> SlotRef | None:
    """None: it is no container of ours, or somebody gave it our labels for something else."""
    try:
        return names.slot_of(labels)
    except (KeyError, InvalidName):
        return None
