from __future__ import annotations

from ployz.events.upcast import UPCASTERS, complaints, upcast

STEPS = {
    ("door.opened", 1): lambda fields: {**fields, "two": True},
    ("door.opened", 2): lambda fields: {**fields, "three": True},
}


def test_every_step_from_the_stored_version_on_is_taken_in_order() -> None:
    assert list(upcast({}, "door.opened", 1, 3, STEPS)) == ["two", "three"]
    assert list(upcast({}, "door.opened", 2, 3, STEPS)) == ["three"]
    assert list(upcast({}, "door.opened", 3, 3, STEPS)) == []


def test_a_complete_set_has_no_complaints() -> None:
    assert list(complaints({"door.opened": 3, "door.closed": 1}, STEPS)) == []


def test_a_missing_step_and_one_that_leads_nowhere_are_named() -> None:
    assert list(complaints({"door.opened": 4}, STEPS)) == ["door.opened/3 has no upcaster to door.opened/4"]
    assert list(complaints({"door.opened": 2}, STEPS)) == [
        "the upcaster from door.opened/2 leads nowhere: door.opened ends at version 2"
    ]


def test_a_cut_over_of_before_let_go_at_a_time_that_nobody_measured() -> None:
    stored = {"text": "", "cutover": {"took_ms": 412, "parts": {"follow_ms": 10}}}
    read = upcast(stored, "operation.finished", 2, 3, UPCASTERS)
    assert read == {"text": "", "cutover": {"took_ms": 412, "parts": {"follow_ms": 10, "release_ms": 0}}}
    assert upcast({"cutover": None}, "operation.finished", 2, 3, UPCASTERS) == {"cutover": None}
