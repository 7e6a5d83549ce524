"""What a transaction does to a fact log: the one pure decision that every adapter of ours shares.

Nothing here stores or waits. An adapter reads records for `evaluate`, and stores the `Change` that comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import frozen

from ployz.errors import Code, Refused
from ployz.events.log import GENESIS_HASH
from ployz.facts.chain import fact_hash
from ployz.facts.port import Absent, Applied, Compare, Conflict, Delete, Held, Put, SequencedFact, Transaction, ValueIs

FACTS_LIMIT_MAX: Final = 1_000
"""The most facts of one answer, whatever was asked for."""
WAIT_S_MAX: Final = 60.0
"""The longest that one question for facts waits."""


@frozen
class Head:
    """Where a fact log stands."""

    revision: int = 0
    position: int = 0
    hash: bytes = GENESIS_HASH


@frozen
class Change:
    """What an adapter has to store, all of it or nothing."""

    head: Head
    """As it is afterwards; each put is stored under `head.revision`."""
    writes: tuple[Put | Delete, ...]
    facts: tuple[SequencedFact, ...]

    @property
    def applied(self) -> Applied:
        return Applied(self.head.revision, self.head.position)


def page_size(limit: int) -> int:
    return max(0, min(limit, FACTS_LIMIT_MAX))


def evaluate(
    transaction: Transaction,
    head: Head,
    *,
    read: Callable[[str], Held | None],
    lease_stands: Callable[[int], bool],
    at_ms: int,
) -> Change | Conflict:
    """`Refused`: a put names a lease that has ended (CONFLICT), or a key is written twice (USAGE)."""
    for compare in transaction.compares:
        held = read(compare.key)
        if not holds(compare, held):
            return Conflict(compare, None if held is None else held.value)
    _check_writes(transaction.puts, lease_stands)
    position, previous = head.position, head.hash
    facts: list[SequencedFact] = []
    for fact in transaction.facts:
        position += 1
        previous = fact_hash(previous, position, fact)
        facts.append(SequencedFact(position, previous, at_ms, fact))
    return Change(Head(head.revision + 1, position, previous), transaction.puts, tuple(facts))


def holds(compare: Compare, held: Held | None) -> bool:
    if isinstance(compare, Absent):
        return held is None
    if held is None:
        return False
    if isinstance(compare, ValueIs):
        return held.value == compare.value
    return held.revision == compare.revision


def check_keys(writes: tuple[Put | Delete, ...]) -> None:
    """`Refused` (USAGE): a key is written twice."""
    keys = [write.key for write in writes]
    if len(set(keys)) != len(keys):
        raise Refused(Code.USAGE, f"a transaction writes each key once, and this one: {sorted(keys)}")


def _check_writes(writes: tuple[Put | Delete, ...], lease_stands: Callable[[int], bool]) -> None:
    check_keys(writes)
    for write in writes:
        if isinstance(write, Put) and write.lease and not lease_stands(write.lease):
            raise Refused(
                Code.CONFLICT, f"{write.key} was not written: its lease {write.lease} has ended", "begin anew"
            )
