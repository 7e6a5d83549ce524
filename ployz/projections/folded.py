"""What a machine's own log says, up to one of its records: all that a node knows when it starts."""

from __future__ import annotations

from attrs import define, field

from ployz.errors import Code, Corrupt
from ployz.events.chain import READ_ALONE
from ployz.events.log import GENESIS_HASH, Record
from ployz.events.types import FactMirrored
from ployz.projections.local import LocalView
from ployz.projections.view import ClusterView


@define
class Folded:
    """Records are applied in order, each exactly once."""

    seq: int = 0
    """Of the last record in it; 0: none."""
    hash: bytes = GENESIS_HASH
    """Of that record, and so of all before it."""
    fact_hash: bytes = GENESIS_HASH
    """Of the last fact in it, whose position is the view's."""
    view: ClusterView = field(factory=ClusterView)
    local: LocalView = field(factory=LocalView)

    def apply(self, record: Record) -> None:
        """`Corrupt` (LOG_CORRUPT): a fact is missing before it."""
        self.local.apply(record)
        mirrored = record.event
        if isinstance(mirrored, FactMirrored):
            if mirrored.position != self.view.position + 1:
                raise Corrupt(
                    Code.LOG_CORRUPT,
                    f"the local log has fact {mirrored.position} after fact {self.view.position}",
                    READ_ALONE,
                )
            self.view.apply(mirrored.fact, mirrored.position, record.at_ms)
            self.fact_hash = mirrored.hash
        self.seq, self.hash = record.seq, record.hash

    def take_up(self, record: Record) -> None:
        """As `apply`, where records before this one were passed over: those that say nothing any more."""
        if isinstance(record.event, FactMirrored):
            self.view.position = record.event.position - 1
        self.apply(record)
