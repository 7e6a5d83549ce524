from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import evolve

from ployz.events.types import Lifecycle
from ployz.host.ports import PeerStatus
from ployz.ids import MachineId
from ployz.plan.seeking import CLOSELY_S, LOST_S, Heard, heard, is_due, next_place, of_member
from ployz.projections.machines import Member

HERE, THERE, ELSEWHERE = "192.0.2.7:51820", "198.51.100.7:51820", "203.0.113.7:4711"


def status(received_bytes: int, endpoint: str = HERE) -> list[PeerStatus]:
    return [PeerStatus("key", 20.0, received_bytes, 0, endpoint)]


def test_a_peer_is_heard_when_more_has_come_and_a_young_handshake_says_nothing() -> None:
    first = heard({}, status(100), now_s=10.0)
    assert first == {"key": Heard(100, 10.0, False, HERE)}
    more = heard(first, status(200), now_s=15.0)
    assert more == {"key": Heard(200, 15.0, True, HERE)}
    assert heard(more, status(200, THERE), now_s=20.0) == {"key": Heard(200, 15.0, True, THERE)}
    assert heard(more, [], now_s=20.0) == {}


def test_an_interface_that_was_made_anew_counts_from_nothing_and_is_heard() -> None:
    more = {"key": Heard(200, 15.0, True, HERE)}
    assert heard(more, status(10), now_s=20.0)["key"].at_s == 20.0


@pytest.mark.parametrize(
    ("silent_s", "sought_s_ago", "due"),
    [
        (LOST_S - 1, None, False),
        (LOST_S, None, True),
        (LOST_S + 5, 5.0, True),
        (CLOSELY_S, 5.0, False),
        (CLOSELY_S, CLOSELY_S, True),
        (86_400.0, None, True),
    ],
)
def test_others_are_asked_closely_at_first_and_rarely_later(
    silent_s: float, sought_s_ago: float | None, *, due: bool
) -> None:
    assert is_due(silent_s, sought_s_ago) is due


@pytest.mark.parametrize(
    ("said", "now", "place"),
    [
        ([THERE, HERE], HERE, THERE),
        ([THERE, HERE], THERE, HERE),
        ([THERE, ELSEWHERE, HERE], THERE, ELSEWHERE),
        ([THERE, THERE, HERE], HERE, THERE),
        ([THERE, HERE], ELSEWHERE, THERE),
        ([HERE], HERE, None),
        ([HERE], "", HERE),
        ([], HERE, None),
    ],
)
def test_places_are_tried_one_after_the_other(said: Sequence[str], now: str, place: str | None) -> None:
    assert next_place(said, now) == place


def test_a_machine_that_changes_its_key_is_known_by_the_one_it_is_heard_with() -> None:
    member = Member(MachineId("machine-b"), 2, "fd00::2", "10.211.0.2", HERE, "old", Lifecycle.ACTIVE)
    known = {"old": Heard(1, 10.0, True, HERE), "new": Heard(2, 20.0, True, THERE)}
    assert of_member(known, evolve(member, next_key="new")) == ("new", known["new"])
    assert of_member(known, member) == ("old", known["old"])
    assert of_member({}, member) is None
