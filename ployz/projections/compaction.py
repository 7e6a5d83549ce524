"""Which records of a log still count: what a start without a snapshot reads, in the place of all of them.

As in a compacted topic of Kafka ("Log Compaction" in its manual) the last word on each key stays. But nothing is
deleted here: a compaction only says where to look, and the log stays whole, for whoever tails or replays it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from struct import Struct
from typing import Final

from attrs import define, field, frozen

from ployz.events.log import GENESIS_HASH, Record
from ployz.events.types import (
    DeployCommitted,
    Fact,
    FactMirrored,
    OperationAborted,
    OperationStarted,
    VolumeTakenOver,
)
from ployz.ids import Namespace, OperationId
from ployz.projections.archive import ENTRY_BYTES, Archive, Archived, entry
from ployz.projections.folded import Folded
from ployz.projections.local_places import LocalPlaces
from ployz.projections.operations import Operations
from ployz.projections.snapshot import Unusable

_DECIDED: Final = Struct(f">QQ{ENTRY_BYTES}s")
"""Of an operation: where the log has its decision and its start, and its entry in the archive."""


@frozen
class Place:
    seq: int
    position: int
    """Of the fact that the record there mirrors."""


@define
class Compaction:
    """Of a log's records up to `seq`, each noted in order, exactly once.

    Decided operations are one in two facts, and grow without an end: `cut` takes those that are new, in a piece of its
    own, and leaves a digest over all pieces so far. Whoever keeps a compaction keeps its pieces in order.
    """

    seq: int = 0
    hash: bytes = GENESIS_HASH
    position: int = 0
    """Of the last fact, which always counts; 0: there is none."""
    fact_hash: bytes = GENESIS_HASH
    pieces: int = 0
    pieces_digest: bytes = b""
    in_pieces: int = 0
    """Decided operations."""
    _always: list[int] = field(factory=list)
    _last: dict[str, int] = field(factory=dict)
    """Of each key, the last record that says what it is, whole."""
    _undecided: dict[OperationId, Place] = field(factory=dict)
    _decided: bytearray = field(factory=bytearray)
    _local: LocalPlaces = field(factory=LocalPlaces)

    def note(self, record: Record) -> None:
        if record.seq != self.seq + 1:
            raise AssertionError(f"event {record.seq} noted behind event {self.seq}")
        self.seq, self.hash = record.seq, record.hash
        mirrored = record.event
        if isinstance(mirrored, FactMirrored):
            self.position, self.fact_hash = mirrored.position, mirrored.hash
            self._note_fact(mirrored.fact, Place(record.seq, mirrored.position))
        else:
            self._local.note(record)

    def _note_fact(self, fact: Fact, place: Place) -> None:
        match fact:
            case OperationStarted():
                self._undecided[fact.operation_id] = place
            case DeployCommitted():
                self._last[_commit(fact.namespace)] = place.seq
                for volume in fact.volumes:
                    self._last[f"volume {volume.volume}"] = place.seq
                for evidence in fact.evidence:
                    self._last[f"base {evidence.volume}"] = place.seq
                self._decide(fact.operation_id, place, committed=True)
            case OperationAborted():
                self._last[f"abort {fact.namespace}"] = place.seq  # else nobody knew that there was such a namespace
                self._decide(fact.operation_id, place, committed=False)
            case VolumeTakenOver():
                # It says what is new in its namespace, on top of what the last commit there says.
                self._always += (self._last[_commit(fact.namespace)], place.seq)
                self._decide(fact.operation_id, place, committed=True)
            case _:
                self._always.append(place.seq)

    def _decide(self, operation_id: OperationId, decided: Place, *, committed: bool) -> None:
        started = self._undecided.pop(operation_id, decided)
        archived = entry(operation_id, Archived(committed, started.position, decided.position))
        if archived is None:
            self._always += (started.seq, decided.seq)
        else:
            self._decided += _DECIDED.pack(decided.seq, started.seq, archived)

    def cut(self) -> bytes:
        """The piece of what was decided since the last one. To be kept together with what is left here."""
        piece = bytes(self._decided)
        self._decided.clear()
        self.pieces += 1
        self.in_pieces += len(piece) // _DECIDED.size
        self.pieces_digest = _chained(self.pieces_digest, piece)
        return piece

    # ---------------------------------------------------------------- reading by it

    def needs(self, whole: int) -> Needs:
        """Of one that has been cut. `whole`: so many of the last decided operations are kept whole."""
        assert not self._decided  # noqa: S101 - what is not cut would be forgotten
        undecided = (place.seq for place in self._undecided.values())
        wanted = frozenset((*self._always, *self._last.values(), *undecided, *self._local.seqs()))
        return Needs(self, wanted, self.in_pieces - whole)

    def end(self, folded: Folded) -> None:
        """`Unusable`: what it has taken up does not end with the last fact."""
        if (folded.view.position, folded.fact_hash) != (self.position, self.fact_hash):
            raise Unusable("does not name the last fact")
        folded.seq, folded.hash = self.seq, self.hash


@define
class Needs:
    """What a fold by a compaction takes: gathered from its pieces, which are given here one after the other."""

    _of: Compaction
    _wanted: frozenset[int]
    _whole_from: int
    _seqs: set[int] = field(factory=set)
    _archive: Archive = field(factory=Archive)
    """Of the operations that are not read whole."""
    _pieces: int = 0
    _digest: bytes = b""
    _met: int = 0

    def take(self, piece: bytes) -> None:
        self._pieces += 1
        self._digest = _chained(self._digest, piece)
        for seq, started, archived in _DECIDED.iter_unpack(piece):
            if self._met >= self._whole_from or seq in self._wanted:
                self._seqs |= {seq, started}
            else:
                self._archive.add_entry(archived)
            self._met += 1

    def begin(self) -> tuple[Folded, Sequence[int]]:
        """What is to take up the records of those seqs, in order, and then to be ended by the compaction.

        `Unusable`: the pieces were not those that were cut.
        """
        if (self._pieces, self._digest) != (self._of.pieces, self._of.pieces_digest):
            raise Unusable("lacks what was decided, or has it damaged")
        folded = Folded()
        folded.view.operations = Operations(archive=self._archive)
        return folded, sorted(self._wanted | self._seqs)


def _commit(namespace: Namespace) -> str:
    return f"commit {namespace}"


def _chained(digest: bytes, piece: bytes) -> bytes:
    return hashlib.sha256(digest + piece).digest()
