"""What a deploy removes for good, or lets be lost: pure. A file of another namespace shows here first.

Scaling down is what a manifest says of a service that it names; leaving a service out is what has to be confirmed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from ployz.errors import Code, Refused
from ployz.ids import MachineId, ServiceName, SlotName, VolumeRef
from ployz.plan.model import Change, Plan, SlotPlan

NAMED_MAX: Final = 20
"""More slots or services than these are counted, not named."""


@frozen
class Removal:
    """A service that has slots now, and will have none."""

    service: ServiceName
    slots: tuple[SlotName, ...]
    machines: tuple[MachineId, ...]
    volumes: tuple[VolumeRef, ...]
    """What they mount. A deploy destroys none of them."""

    def __str__(self) -> str:
        number = len(self.slots)
        where = f"{number} slot{'s' if number > 1 else ''} on {', '.join(self.machines)}"
        kept = f"; {', '.join(map(str, self.volumes))} stay{'s' if len(self.volumes) == 1 else ''}"
        return f"{self.service}, {where}{kept if self.volumes else ''}"


def removed_slots(plan: Plan) -> tuple[SlotPlan, ...]:
    """Stopped and removed, whether their service goes on or not."""
    return tuple(slot for slot in plan.slots if slot.change is Change.REMOVE)


def removals(plan: Plan) -> tuple[Removal, ...]:
    """Every service that ends with this plan, by name."""
    goes_on = {slot.service for slot in plan.slots if slot.change is not Change.REMOVE}
    ends: dict[ServiceName, list[SlotPlan]] = {}
    for slot in removed_slots(plan):
        if slot.service not in goes_on:
            ends.setdefault(slot.service, []).append(slot)
    return tuple(
        Removal(
            service,
            tuple(slot.slot for slot in slots),
            tuple(sorted({slot.machine for slot in slots})),
            tuple(sorted({volume for slot in slots for volume in slot.volumes})),
        )
        for service, slots in sorted(ends.items())
    )


def uncovered_words(plan: Plan) -> Iterator[str]:
    """What new containers will write that goes with them: their image calls it a VOLUME, and no mount covers it."""
    seen = [(slot.service, slot.slot, each) for slot in plan.slots for each in slot.uncovered]
    for service, slot, each in seen[:NAMED_MAX]:
        kept = "it is disposable" if each.disposable else "what is written there goes with the container"
        written = ", and the one that runs has written there" if each.written else ""
        yield f"{service}/{slot}: {each.path} is a VOLUME of its image without a mount{written}: {kept}"
    if len(seen) > NAMED_MAX:
        yield f"and {len(seen) - NAMED_MAX} more"


def require_consent(plan: Plan) -> None:
    """`Refused` (REMOVES): a service ends with this plan. For a deploy whose operator has not agreed to that."""
    if ended := removals(plan):
        number = sum(len(each.slots) for each in ended)
        raise Refused(
            Code.REMOVES,
            f"this stops and removes {number} slot{'s' if number > 1 else ''} of {plan.namespace}, whose services the "
            f"manifest leaves out: {shortened([str(each) for each in ended], '; ')}",
            "If that is meant, add --remove. A manifest is the whole of its namespace: is it the right file?",
        )


def shortened(names: list[str], between: str = ", ") -> str:
    more = len(names) - NAMED_MAX
    return between.join([*names[:NAMED_MAX], f"and {more} more"] if more > 0 else names)
