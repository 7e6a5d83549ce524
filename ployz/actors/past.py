"""Operations of any age: those that the projections keep no longer are read in this machine's own log."""

from __future__ import annotations

from ployz.actors.parts import Parts
from ployz.events.types import FactMirrored
from ployz.facts.mirrored import mirrored_fact
from ployz.ids import OperationId
from ployz.projections.operations import Operation, Operations


async def operation_of(parts: Parts, operation_id: OperationId) -> Operation | None:
    """None: no fact names it. `Corrupt`: the log cannot be read there."""
    known = parts.view.operations
    archived = known.archived(operation_id)
    if archived is None:
        return known.get(operation_id)
    then = Operations()
    for position in sorted({archived.started_position, archived.position}):
        record = await mirrored_fact(parts.log, position)
        if record is not None and isinstance(record.event, FactMirrored):
            then.apply(record.event.fact, position, record.at_ms)
    return then.get(operation_id)
