"""What a ployzd was coordinating when it died: the one that starts after it ends that at once, before its lock lapses.

Nobody else can be working under that lock: a coordinator does not outlive its ployzd. A commit of its that is still on
its way compares the token, and the decision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ployz.actors.parts import Parts
from ployz.events.types import OperationAborted
from ployz.facts import keys
from ployz.facts.decision import abort_or_read
from ployz.facts.port import Transaction
from ployz.ids import Namespace, OperationId

_log = logging.getLogger("ployz.operations")


async def end_own_operations(parts: Parts, runs_here: Callable[[OperationId], bool]) -> None:
    """Aborts those that hold a lock for this machine and do not run, unless they are decided, and frees their locks."""
    for text, _ in await parts.facts.list(keys.LOCKS):
        namespace = Namespace(text.removeprefix(keys.LOCKS))
        record = keys.lock(namespace)
        held = await record.read(parts.facts)
        if held is None or held.value.machine != parts.me or runs_here(held.value.operation_id):
            continue
        operation_id = held.value.operation_id
        aborted = OperationAborted(operation_id, namespace, parts.me, f"ployzd on {parts.me} ended and started again")
        decision = await abort_or_read(parts.facts, aborted)
        await parts.facts.transact(Transaction((record.written_by(held.revision),), (record.delete(),)))
        _log.warning("%s (%s) was left behind: %s", operation_id, held.value.purpose, decision.verdict)
