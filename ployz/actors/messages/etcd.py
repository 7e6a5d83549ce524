"""To the actor `etcd`: a machine's member of the cluster's own etcd."""

from __future__ import annotations

from attrs import field, frozen

from ployz.host.ports.seats import Seat
from ployz.wire.message import PEER, Done, Message, message


@frozen
class SeatOffer:
    version: str
    """Of the etcd that is installed."""


@message("etcd.offer", senders=PEER)
@frozen
class AskSeat(Message[SeatOffer]):
    """Whether the machine could run a member. `Refused` (MISSING_PART): it has no etcd."""


@message("etcd.take", senders=PEER)
@frozen
class TakeSeat(Message[Done]):
    """Runs a member from here on, whatever becomes of ployzd. Has that seat already is done.

    `Refused` (CONFLICT): it has a seat in another etcd.
    """

    seat: Seat
    seating: str = field(repr=False)
    """The text of a Seating."""


@message("etcd.leave", senders=PEER)
@frozen
class LeaveSeat(Message[Done]):
    """Runs no member any more, and keeps nothing of it. Has none already is done."""
