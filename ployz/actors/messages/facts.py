"""To the actor `facts` at the founding machine: the fact log's port, over the overlay."""

from __future__ import annotations

from attrs import frozen

from ployz.events.codec import CODEC
from ployz.facts.port import Applied, Conflict, Held, SequencedFact, Transaction
from ployz.wire.codec import carry
from ployz.wire.message import PEER, Done, Message, message

carry(CODEC.teach)  # facts travel as they are stored: by name and version


@frozen
class Outcome:
    result: Applied | Conflict


@message("facts.transact", senders=PEER)
@frozen
class Transact(Message[Outcome]):
    """Never sent twice by anybody: an unknown outcome is read."""

    transaction: Transaction


@frozen
class RecordRead:
    held: Held | None


@message("facts.read", senders=PEER)
@frozen
class ReadRecord(Message[RecordRead]):
    key: str


@frozen
class RecordsListed:
    records: tuple[tuple[str, Held], ...]


@message("facts.list", senders=PEER)
@frozen
class ListRecords(Message[RecordsListed]):
    prefix: str


@frozen
class FactsPage:
    facts: tuple[SequencedFact, ...]


@message("facts.follow", senders=PEER)
@frozen
class FollowFacts(Message[FactsPage]):
    """A long poll: answered when there is a fact after `after`, or empty after `wait_s`."""

    after: int
    limit: int
    wait_s: float


@frozen
class LeaseGranted:
    lease: int


@message("facts.grant", senders=PEER)
@frozen
class GrantLease(Message[LeaseGranted]):
    ttl_s: float


@frozen
class LeaseAlive:
    alive: bool


@message("facts.keep_alive", senders=PEER)
@frozen
class KeepAlive(Message[LeaseAlive]):
    lease: int


@message("facts.revoke", senders=PEER)
@frozen
class RevokeLease(Message[Done]):
    lease: int
