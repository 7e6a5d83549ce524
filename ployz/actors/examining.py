"""One machine's look at itself for the doctor. Every look has its own limit, and changes nothing.

What the looks mean is plan/doctor's word.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import anyio
from attrs import define, field

from ployz import __version__
from ployz.actors.core import Home
from ployz.actors.dataset import VolumeDataset
from ployz.actors.messages.events import VerifyEvents
from ployz.actors.messages.workload import ShowWorkload, SlotState
from ployz.actors.parts import Parts
from ployz.actors.reaching import names_amiss, what_is_reached
from ployz.actors.routing import overlay_state
from ployz.actors.sounding import packets_lost
from ployz.actors.together import together
from ployz.errors import Code, PloyzError, Problem
from ployz.host.ports import Container, DatasetState
from ployz.ids import InvalidName, OperationId, ServiceRef, SlotRef, VolumeRef
from ployz.install.requirements import ANSWER_S
from ployz.manifest.model import Restart
from ployz.plan import committed, names, taken
from ployz.plan.doctor import leftovers, slots
from ployz.plan.doctor.contests import contests
from ployz.plan.doctor.reach import BEGUN_MS
from ployz.plan.doctor.readings import (
    TROUBLES_MAX,
    CertificateReading,
    FailedLook,
    HangingReading,
    Leftover,
    LogReading,
    Look,
    PeerReading,
    PoolReading,
    Readings,
    StateReading,
    Trouble,
    VolumeReading,
)
from ployz.projections.machines import Member
from ployz.surroundings import SLOWNESS

LOOK_S: Final = 12.0 * SLOWNESS
REQUIREMENTS_S: Final = ANSWER_S + LOOK_S
"""A Docker that is there and hangs is waited for as an installation does, and named."""
LOG_S: Final = 60.0 * SLOWNESS
"""About a million events, each of them read and hashed."""
CATCH_UP_S: Final = 2.0 * SLOWNESS
WRONG_MAX: Final = 5

T = TypeVar("T")


@define
class Examination:
    parts: Parts
    home: Home
    _failed: list[FailedLook] = field(factory=list, init=False)
    _leftovers: list[Leftover] = field(factory=list, init=False)
    _troubles: list[tuple[str, Trouble]] = field(factory=list, init=False)
    _serving: list[tuple[str, SlotRef]] = field(factory=list, init=False)
    _volumes: list[VolumeReading] = field(factory=list, init=False)
    _wrong: dict[str, tuple[str, ...]] = field(factory=dict, init=False)

    async def carry_out(self, position: int) -> Readings:
        parts = self.parts
        missing, pool, hanging, peers, log, identity, certificates, state, reach, named, packets, *_ = await together(
            partial(self._look, Look.REQUIREMENTS, parts.premises.missing, REQUIREMENTS_S),
            partial(self._look, Look.POOL, self._pool),
            partial(self._look, Look.MOUNTS, self._hanging),
            partial(self._look, Look.OVERLAY, self._peers),
            partial(self._look, Look.LOG, self._log, LOG_S),
            partial(self._look, Look.CERTIFICATES, self._identity),
            partial(self._look, Look.CERTIFICATES, self._certificates),
            partial(self._look, Look.STATE, self._state),
            partial(self._look, Look.REACH, partial(what_is_reached, parts)),
            partial(self._look, Look.NAMES, partial(names_amiss, parts)),
            partial(self._look, Look.PACKETS, partial(packets_lost, parts)),
            partial(self._look, Look.CONTAINERS, self._containers),
            partial(self._look, Look.DATASETS, self._datasets),
            partial(self._look, Look.GUARDS, self._guards),
            partial(self._look, Look.DOORS, self._doors),
            partial(self._look, Look.SLOTS, self._slots),
            partial(self._look, Look.TAKEN, self._taken),
            partial(self._catch_up, position),
        )
        taken_away = contests(parts.struggles.values(), self._wrong, parts.clock.monotonic_s())
        said_already = {name for each in taken_away if each.kind == taken.CONNECTION for name in each.wrong}
        ended = self._ended()
        self._leftovers += leftovers.of_gates(ended, parts.local.fences)
        self._leftovers += leftovers.of_routes(ended, parts.local.holds)
        return Readings(
            machine=parts.me,
            version=__version__,
            position=parts.view.position,
            removed=parts.is_removed,
            missing=tuple(missing or ()),
            pool=pool,
            peers=tuple(peers or ()),
            log=log,
            identity=identity or "",
            certificates=tuple(certificates or ()),
            leftovers=tuple(sorted(self._leftovers, key=lambda each: (each.kind, each.name))),
            failed=tuple(self._failed),
            slots=tuple(each for name, each in self._troubles if name not in said_already)[:TROUBLES_MAX],
            hanging=tuple(hanging or ()),
            unsettled=tuple(parts.unsettled.readings()),
            volumes=tuple(sorted(self._volumes, key=lambda each: each.volume)),
            contests=taken_away,
            state=state,
            serving=tuple(slot for name, slot in self._serving if name not in said_already),
            reach=reach,
            names=tuple(named or ()),
            packets=tuple(packets or ()),
        )

    async def _look(self, look: Look, at: Callable[[], Awaitable[T]], limit_s: float = LOOK_S) -> T | None:
        try:
            with anyio.fail_after(limit_s):
                return await at()
        except PloyzError as error:
            self._failed.append(FailedLook(look, error.problem))
        except TimeoutError:
            problem = Problem(Code.TIMED_OUT, f"it was not done within {limit_s:g} s")
            self._failed.append(FailedLook(look, problem))
        return None

    def _ended(self) -> leftovers.Ended:
        return leftovers.Ended(self.parts.view, self.parts.me, self.parts.clock.wall_ms())

    async def _catch_up(self, position: int) -> None:
        with suppress(PloyzError):  # how far it is says so
            await self.parts.mirror.wait_for(position, CATCH_UP_S)

    # ------------------------------------------------------------ what it is

    async def _pool(self) -> PoolReading:
        name = self.parts.config.pool
        space = await self.parts.zfs.pool_space(name)
        return PoolReading(name, space.size_bytes, space.free_bytes, space.healthy, space.health)

    async def _hanging(self) -> list[HangingReading]:
        found = await self.parts.zfs.hanging_mounts(self.parts.config.pool)
        return [HangingReading(each.command, each.age_s, each.by_daemon) for each in found[:WRONG_MAX]]

    async def _peers(self) -> list[PeerReading]:
        """Every other member: one that WireGuard does not know never shook hands. While its key is changed it has
        two, and shakes hands with one of them.
        """
        ages_s = {each.public_key: each.handshake_age_s for each in await self.parts.overlay.status()}

        def age_ms(member: Member) -> int | None:
            known = [ages_s.get(key) for key in (member.public_key, member.next_key) if key is not None]
            youngest_s = min((age_s for age_s in known if age_s is not None), default=None)
            return None if youngest_s is None else round(youngest_s * 1000)

        others = [each for each in self.parts.view.machines.in_order() if each.machine != self.parts.me]
        return [PeerReading(each.machine, age_ms(each)) for each in others]

    async def _log(self) -> LogReading:
        verified = await self.home.ref("events").ask(VerifyEvents(), timeout_s=LOG_S)
        wrong = tuple(f"event {each.seq}: {each.text}" for each in verified.findings[:WRONG_MAX])
        return LogReading(verified.head, wrong)

    async def _identity(self) -> str:
        """In words what is wrong with it; empty: nothing."""
        try:
            certificate = await self.parts.premises.identity()
        except PloyzError as error:
            return error.problem.text
        known = self.parts.view.machines.certificates.get(self.parts.me)
        return "" if known in (None, certificate) else "the key on its disk is not the one that the facts name"

    async def _certificates(self) -> list[CertificateReading]:
        found = await self.parts.premises.certificates()
        return [CertificateReading(each.path, each.not_after_ms, each.problem) for each in found]

    async def _state(self) -> StateReading:
        room = await self.parts.premises.state_room()
        folder = str(self.parts.config.state_dir)
        return StateReading(folder, room.mount, room.size_bytes, room.free_bytes, room.files, room.files_free)

    # ------------------------------------------------------------ what should run

    async def _slots(self) -> None:
        """Of namespaces that an operation has in hand, only what it has stopped for long: nobody decides it, then."""
        view, me = self.parts.view, self.parts.me
        if self.parts.is_removed:
            return
        in_hand = {each.namespace: each for each in view.operations.undecided()}
        here = {slot for slot, placement in view.placement.slots() if placement.machine == me}
        for namespace in sorted({slot.service.namespace for slot in here}):
            shown = await self.home.remote(me, f"workload/{namespace}").ask(ShowWorkload(), timeout_s=LOOK_S)
            for each in shown.slots:
                slot = SlotRef(ServiceRef(namespace, each.service), each.slot)
                service = committed.service(view, slot.service)
                if slot in here and service is not None:
                    now_ms = self.parts.clock.wall_ms()
                    if each.fenced_by is None and namespace not in in_hand:
                        self._slot(slot, each, service.restart, now_ms)
                    elif each.fenced_by is not None and namespace in in_hand and not each.running:
                        since_ms = each.since_ms or in_hand[namespace].started_ms
                        found = slots.of_stopped(slot, each.fenced_by, now_ms - since_ms)
                        self._troubles += [(each.container, trouble) for trouble in found]

    def _slot(self, slot: SlotRef, state: SlotState, policy: Restart, now_ms: int) -> None:
        found = list(slots.of_slot(_seen(slot, state, policy), now_ms))
        self._troubles += [(state.container, trouble) for trouble in found]
        if state.running and not found and now_ms - state.since_ms >= BEGUN_MS:
            self._serving.append((state.container, slot))

    # ------------------------------------------------------------ what lies there

    async def _containers(self) -> None:
        found = list(_ours(await self.parts.docker.containers({})))
        self._leftovers += leftovers.of_containers(self._ended(), found, is_removed=self.parts.is_removed)

    async def _taken(self) -> None:
        """What others took away. That of an operation which has just ended may be on its way."""
        parts, ended = self.parts, self._ended()
        here = taken.must_be_here(parts.view, parts.me, parts.local.fences)
        wanted = [name for name in here if ended.why(OperationId(name.rpartition(".")[2])) is not None]
        everything = {names.container(s, p.operation_id) for s, p in parts.view.placement.slots()}
        census = await parts.docker.census()
        self._wrong.update(await parts.overlay.drift(overlay_state(parts)))
        self._wrong.update(taken.wrong_of_docker(census, wanted, everything, parts.view.operations.status))

    async def _datasets(self) -> None:
        zfs, root = self.parts.zfs, self.parts.config.root_dataset
        below = await zfs.children(root)
        # A namespace's dataset holds others, and is none itself.
        leaves = [each for each in below if each.count("/") > root.count("/") + 1]
        lying: list[leftovers.Lying] = []
        there: set[VolumeRef] = set()
        for name in leaves:
            state, volume = await zfs.state(name), names.volume_of(root, name)
            if state is None:
                continue
            seen = None if volume is None else VolumeDataset(self.parts, volume).seen(state)
            nobodys = volume is not None and volume not in self.parts.view.placement.volumes
            keeps = tuple(await zfs.keeps(name)) if nobodys else ()
            lying.append(leftovers.Lying(state, volume, seen, keeps))
            if volume is not None:
                there.add(volume)
                self._read(volume, state)
        ended = self._ended()
        said = [
            *leftovers.of_datasets(ended, lying, root),
            *leftovers.missing(self.parts.view, self.parts.me, there),
        ]
        self._leftovers += [each for each in said if isinstance(each, Leftover)]
        self._failed += [FailedLook(Look.DATASETS, each) for each in said if isinstance(each, Problem)]

    def _read(self, volume: VolumeRef, state: DatasetState) -> None:
        owned = self.parts.view.placement.volumes.get(volume)
        if owned is not None and owned.owner == self.parts.me:
            self._volumes.append(
                VolumeReading(
                    volume=volume,
                    quota_bytes=state.quota_bytes,
                    total_quota_bytes=state.total_quota_bytes,
                    referenced_bytes=state.referenced_bytes,
                    snapshots_bytes=state.snapshots_bytes,
                )
            )

    async def _guards(self) -> None:
        guarded = await self.parts.guards.guarded()
        self._leftovers += leftovers.of_guards(self._ended(), guarded, str(self.parts.config.leases_dir))

    async def _doors(self) -> None:
        there = await self.parts.overlay.doors()
        claims = [*self.parts.local.claims.values(), *self.parts.local.reserved.values()]
        self._leftovers += leftovers.of_doors(self._ended(), there, claims)


def _seen(slot: SlotRef, state: SlotState, policy: Restart) -> slots.SeenSlot:
    return slots.SeenSlot(
        slot=slot,
        there=bool(state.container),
        running=state.running,
        paused=state.paused,
        unready=state.unready,
        exit_code=state.exit_code,
        why=state.why,
        since_ms=state.since_ms,
        restarts_lately=state.restarts_lately,
        policy=policy,
    )


def _ours(containers: Iterable[Container]) -> Iterator[leftovers.FoundContainer]:
    """Those with labels that ployz gives: somebody else may use one of them for something else."""
    for each in containers:
        try:
            operation_id = OperationId(each.labels[names.LABEL_OPERATION])
            yield leftovers.FoundContainer(each.name, names.slot_of(each.labels), operation_id, each.running)
        except (KeyError, InvalidName):
            continue
