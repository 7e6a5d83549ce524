"""What others took away of a machine's containers and their network: what Docker has against what should be. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Final

from ployz.events.types import SlotPlacement
from ployz.host.ports import Census
from ployz.ids import InvalidName, MachineId, Namespace, OperationId, ServiceRef, SlotRef
from ployz.manifest import Manifest
from ployz.plan import committed, names
from ployz.plan.restart import should_restart
from ployz.plan.struggles import Wrong
from ployz.projections.operations import Status
from ployz.projections.view import ClusterView

CONTAINER: Final = "container"
CONNECTION: Final = "connection"
HOLDER: Final = "holder"
NETWORK: Final = "network"

UNKNOWN_EXIT: Final = 1
"""Of a container whose end nobody saw: it did not end well, for all that is known."""


def expected(
    slots: Iterable[tuple[SlotRef, SlotPlacement]],
    manifest_of: Callable[[Namespace], Manifest | None],
    *,
    fenced: Collection[ServiceRef],
    exit_code_of: Callable[[str], int],
) -> dict[str, SlotRef]:
    """The containers that must be there, by name. Those of a closed gate are their operation's; one that ended for good
    by its restart policy need not be there any more. `exit_code_of`: how each ended last, by its name.
    """
    return dict(_expected(slots, manifest_of, fenced, exit_code_of))


def must_be_here(view: ClusterView, me: MachineId, fenced: Collection[ServiceRef]) -> dict[str, SlotRef]:
    """For who does not know how containers ended: what need not run for ever is taken for done, and is not missed."""
    if view.machines.was_removed(me):
        return {}
    slots = [(slot, each) for slot, each in view.placement.slots() if each.machine == me]
    return expected(slots, partial(committed.of_namespace, view), fenced=fenced, exit_code_of=lambda _: 0)


def _expected(
    slots: Iterable[tuple[SlotRef, SlotPlacement]],
    manifest_of: Callable[[Namespace], Manifest | None],
    fenced: Collection[ServiceRef],
    exit_code_of: Callable[[str], int],
) -> Iterator[tuple[str, SlotRef]]:
    for slot, placement in slots:
        name = names.container(slot, placement.operation_id)
        manifest = manifest_of(slot.service.namespace)
        service = None if manifest is None else manifest.service(slot.service.service)
        if slot.service in fenced or service is None:
            continue
        if should_restart(service.restart, exit_code_of(name)):
            yield name, slot


def wrong_of_docker(
    census: Census,
    wanted: Collection[str],
    placed: Collection[str],
    status_of: Callable[[OperationId], Status | None],
) -> Wrong:
    """`wanted`: the containers that must be there. `placed`: all that may be made here again, and then go on with the
    network that is held for them; as do candidates, which are their operation's.
    """
    orphans = [each for each in census.orphans if each not in placed and _is_over(each, status_of)]
    return {
        kind: tuple(sorted(found))
        for kind, found in (
            (NETWORK, () if census.network else ("ployz",)),
            (HOLDER, orphans),
            (CONTAINER, set(wanted) - census.containers.keys()),
            (CONNECTION, census.cut_off.intersection(wanted)),
        )
        if found
    }


def _is_over(container: str, status_of: Callable[[OperationId], Status | None]) -> bool:
    """By its name, `NAMESPACE.SERVICE.SLOT.OPERATION`. What has another is none of ours."""
    try:
        return status_of(OperationId(container.rpartition(".")[2])) is not Status.UNDECIDED
    except InvalidName:
        return False
