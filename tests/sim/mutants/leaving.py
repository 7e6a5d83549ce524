"""Mutants of the source: how it gives its volume away, and how it takes it back."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
from attrs import evolve

from ployz.actors import gate
from ployz.actors.containers import Containers
from ployz.actors.departing import Departure
from ployz.actors.gate import Gate
from ployz.actors.looking import LookingAgain
from ployz.actors.messages.workload import Fence, FencedReport
from ployz.actors.parts import Parts
from ployz.actors.performer import Performer
from ployz.actors.snapshots import SnapshotKeeper
from ployz.actors.together import together
from ployz.actors.transfer import Transfer
from ployz.events.replay import FAST, Pace
from ployz.plan import names
from ployz.projections.folded import Folded
from ployz.projections.operations import Operation, Status
from tests.cluster.manifests import A, B, C
from tests.sim.faults import Crash, Cut, Late, Meddled, Moment, Refusing
from tests.sim.mutants.mutant import Mutant, patch
from tests.sim.orders import Abort, Migrate
from tests.sim.scenario import D


def start_before_fence() -> None:
    """The candidate starts while the source still runs."""
    cut_over = Performer.cut_over

    async def early(self: Performer) -> None:
        await together(*(partial(self._start, each) for each in self.steps.arrivals))
        await cut_over(self)

    patch(Performer, "cut_over", early)


def vote_before_stop() -> None:
    """The last snapshot is taken, and voted for, before the service has stopped."""
    fence = Departure.fence

    async def early(self: Departure, message: Fence, beside: Any) -> FencedReport:
        snapshots = await self._last_snapshots(message)
        await anyio.sleep(0.005)
        patch(self, "_last_snapshots", lambda _: _given(snapshots))
        return await fence(self, message, beside)

    patch(Departure, "fence", early)


async def _given(value: Any) -> Any:
    return value


def no_final_delta() -> None:
    """What was written since the last warm round stays behind."""

    async def nothing(self: Transfer, taken: Any) -> list[Any]:
        return []

    patch(Transfer, "send_last", nothing)


def gate_forgotten() -> None:
    """A ployzd that starts does not remember what it had fenced."""
    fold = SnapshotKeeper.fold

    async def forgetful(self: SnapshotKeeper, pace: Pace = FAST) -> Folded:
        folded = await fold(self, pace)
        folded.local._fences.clear()
        return folded

    patch(SnapshotKeeper, "fold", forgetful)


def restart_without_waiting() -> None:
    """After an abort the source starts again at once, whatever may still run at the target."""

    async def at_once(parts: Parts, home: Any, operation: Operation) -> None:
        return None

    patch(gate, "candidates_gone", at_once)


def source_rolled_back() -> None:
    """After an abort the source goes back to the newest snapshot, as if its own volume were a copy."""
    open_decided = Gate.open_decided

    async def rolling_back(self: Gate) -> None:
        parts = self._parts
        for operation_id in set(self.fences().values()):
            if parts.view.operations.status(operation_id) is Status.ABORTED:
                for placement in parts.view.placement.volumes_on(parts.me):
                    dataset = parts.dataset(placement.volume)
                    found = await parts.zfs.state(dataset)
                    ours = [each.name for each in found.snapshots if names.is_ours(each.name)] if found else []
                    if ours:
                        await parts.zfs.rollback(dataset, ours[0])
        await open_decided(self)

    patch(Gate, "open_decided", rolling_back)


def late_requests_obeyed() -> None:
    """A request of an operation that has ended is carried out."""

    async def any_time(self: Parts, operation_id: Any, position: int) -> Operation:
        await self.mirror.wait_for(position, 10.0)
        return self.view.operations[operation_id]

    patch(Parts, "in_operation", any_time)


def always_restarted() -> None:
    """Docker's restart policy is `always`: dockerd asks nobody."""
    spec = Containers.spec

    def with_policy(self: Containers, manifest: Any, placement: Any) -> Any:
        return evolve(spec(self, manifest, placement), restart="always")

    patch(Containers, "spec", with_policy)


def no_look_again() -> None:
    """What was made once is believed for ever."""

    async def believed(self: LookingAgain) -> None: ...

    patch(LookingAgain, "now", believed)


MUTANTS = (
    Mutant(
        "what is taken away is not looked at again",
        no_look_again,
        "the firewall flushed",
        (Migrate(D, C),),
        lambda number: (Meddled(Moment(100 * (1 + number)), B, "overlay"),),
    ),
    Mutant("a start before the fence", start_before_fence, "writers on several machines", (Migrate(A, C),)),
    Mutant("a vote before the stop", vote_before_stop, "acknowledged records", (Migrate(A, C),)),
    Mutant("no final delta", no_final_delta, "acknowledged records", (Migrate(A, C),)),
    Mutant(
        "the gate forgotten at a restart",
        gate_forgotten,
        "writers on several machines",
        (Migrate(D, C),),
        lambda number: (
            Late(Moment(1, "zfs.mount", done=True), reply=True, late_s=20.0, about="workload.start"),
            Crash(Moment(1, "docker.start", done=True, after_last=True), B, power=number % 2 == 1, down_s=0.2),
        ),
    ),
    Mutant(
        "a source that starts again without waiting for the target",
        restart_without_waiting,
        "writers on several machines",
        (Migrate(D, C), Abort(A, Moment(1, "docker.start", done=True))),
        lambda _: (
            Cut(Moment(1, "docker.start", done=True), A, C, one_way=False, for_s=20.0),
            Cut(Moment(1, after_last=True), B, C, one_way=False, for_s=20.0),
        ),
    ),
    Mutant(
        "a rollback of a newer dataset",
        source_rolled_back,
        "acknowledged records",
        (Migrate(D, C),),
        lambda _: (Refusing(Moment(2, "zfs.snapshot", done=False), B, "zfs", 1),),
    ),
    Mutant(
        "late requests obeyed",
        late_requests_obeyed,
        "fenced|writers on several machines|should run",
        (Migrate(D, C),),
        # Later than its coordinator waits for the answer: the move has been undone by then.
        lambda number: (Late(Moment(1, "zfs.rollback", done=True), False, 140.0 + number, about="workload.fence"),),
    ),
    Mutant(
        "Docker's restart policy always",
        always_restarted,
        "started on an empty|writers on several machines",
        (Migrate(D, C),),
        lambda number: (
            Late(Moment(1, "zfs.mount", done=True), reply=True, late_s=5.0, about="workload.start"),
            Crash(Moment(1, "docker.start", done=True), C, power=True, down_s=1.0 + number),
        ),
    ),
)
