"""What the actors of one machine share: its ports, its log, its view of the facts. Filled by node.py alone."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from attrs import define, field

from ployz.actors.journal import Journal
from ployz.actors.unsettled import Unsettled
from ployz.clock import Clock
from ployz.config import ASK_TIMEOUT_S, Config
from ployz.errors import Code, Refused
from ployz.events.feed import Feed
from ployz.events.types import DeployCommitted, Fact, MachineRemoved, OperationAborted, VolumeTakenOver
from ployz.facts.mirror import Mirror
from ployz.facts.port import FactLog
from ployz.host.ports import (
    Docker,
    Folders,
    Gateway,
    Guards,
    Looks,
    NameServer,
    Overlay,
    Premises,
    SecretFiles,
    Soundings,
    Zfs,
)
from ployz.ids import MachineId, Namespace, OperationId, VolumeRef
from ployz.plan import names
from ployz.plan.struggles import Struggles
from ployz.projections.local import LocalView
from ployz.projections.operations import Operation, Status
from ployz.projections.view import ClusterView
from ployz.wire.aside import Aside
from ployz.wire.sealing import SealingKey
from ployz.wire.streams import Streams


@define
class Parts:
    """One machine."""

    config: Config
    clock: Clock
    entropy: Callable[[int], bytes]
    log: Feed
    journal: Journal
    local: LocalView
    facts: FactLog
    view: ClusterView
    zfs: Zfs
    docker: Docker
    guards: Guards
    overlay: Overlay
    names: NameServer
    folders: Folders
    secret_files: SecretFiles
    sealing_key: SealingKey
    vouch: Callable[[str], str]
    """Signs for a WireGuard key of this machine, with the key by which the others know it."""
    looks: Looks
    soundings: Soundings
    gateway: Gateway
    streams: Streams
    premises: Premises
    aside: Aside
    """Where what somebody sent is read, so that the loop goes on."""
    mirror: Mirror = field(init=False)
    """Set by node.py: it feeds `take_fact` with what comes after the facts in the log."""
    unsettled: Unsettled = field(factory=Unsettled, init=False)
    struggles: dict[str, Struggles] = field(factory=dict, init=False)
    """What somebody else changes here, by the actor that looks at it again (actors/looking). The doctor reads it."""
    ways: dict[str, int] = field(factory=dict, init=False)
    """By the key of a peer, the largest packet that the interfaces on the way take (actors/ways)."""
    _changed: anyio.Event = field(factory=anyio.Event, init=False)
    _bridge: anyio.Event = field(factory=anyio.Event, init=False)
    _decided: set[Namespace] = field(factory=set, init=False)

    @property
    def me(self) -> MachineId:
        return self.config.machine

    def dataset(self, volume: VolumeRef) -> str:
        return names.dataset(self.config.root_dataset, volume)

    def mountpoint(self, volume: VolumeRef) -> str:
        return str(self.config.volumes_dir / str(volume))

    def new_operation_id(self) -> OperationId:
        return OperationId.make(self.clock.wall_ms(), self.entropy(6))

    @property
    def is_removed(self) -> bool:
        """By the facts this machine was a member, and is none any more: nothing of the cluster may run here."""
        return self.view.machines.was_removed(self.me)

    # ------------------------------------------------------------ following the facts

    def take_fact(self, fact: Fact, position: int, at_ms: int) -> None:
        """The mirror's sink: into the view, and to everybody who follows it."""
        self.view.apply(fact, position, at_ms)
        if isinstance(fact, DeployCommitted | OperationAborted | VolumeTakenOver):
            self._decided.add(fact.namespace)
        if isinstance(fact, MachineRemoved) and fact.machine == self.me:
            self._decided |= self.view.placement.namespaces.keys()
        self.facts_changed()

    @property
    def has_decided(self) -> bool:
        return bool(self._decided)

    def take_decided(self) -> set[Namespace]:
        """The namespaces in which an operation was decided since this was last asked."""
        taken, self._decided = self._decided, set()
        return taken

    def settle_again(self, namespace: Namespace) -> None:
        """What the machine has of it may not be what the facts say any more."""
        self._decided.add(namespace)
        self.facts_changed()

    def facts_changed(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def next_change(self) -> None:
        await self._changed.wait()

    def bridge_changed(self) -> None:
        """A network of a container was made or taken down."""
        self._bridge.set()
        self._bridge = anyio.Event()

    @property
    def bridge_news(self) -> anyio.Event:
        """Set with the next change."""
        return self._bridge

    async def in_operation(self, operation_id: OperationId, position: int) -> Operation:
        """The undecided operation that a coordinator works for, once this machine's mirror knows it.

        `Refused` (DECIDED): it has ended; whoever still asks for it is late. This is what keeps a delayed request
        from touching anything after a commit or an abort.
        """
        await self.mirror.wait_for(position, ASK_TIMEOUT_S)
        operation = self.view.operations.get(operation_id)
        if operation is None or operation.status is not Status.UNDECIDED:
            status = self.view.operations.status(operation_id)
            how = "was never started" if status is None else f"is {status}"
            raise Refused(Code.DECIDED, f"operation {operation_id} {how}: {self.me} does nothing more for it")
        return operation
