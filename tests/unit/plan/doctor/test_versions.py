from __future__ import annotations

from ployz.errors import Code, Problem
from ployz.plan.doctor.versions import Speaker, Spoken, disagreements

EVENTS = ("machine.joined/1", "volume.sent/2")


def speaker(name: str, version: str = "1.4.0", protocol: int = 1, events: tuple[str, ...] = EVENTS) -> Speaker:
    return Speaker(name, Spoken(version, protocol, events), None)


def test_versions_of_one_minor_that_know_the_same_events_work_together() -> None:
    assert disagreements((speaker("machine-a"), speaker("machine-b", "1.4.7"))) == ()


def test_another_minor_version_is_named_with_all_versions() -> None:
    (said,) = disagreements((speaker("machine-a"), speaker("machine-b", "1.5.0")))
    assert "machine-a 1.4.0, machine-b 1.5.0" in said


def test_another_protocol_is_named() -> None:
    (said,) = disagreements((speaker("machine-a"), speaker("machine-b", protocol=2)))
    assert "machine-a 1, machine-b 2" in said


def test_whoever_does_not_know_an_event_is_named_with_it() -> None:
    newer = speaker("machine-b", events=("machine.joined/2", "pool.grew/1", "volume.sent/2"))
    (said,) = disagreements((speaker("machine-a"), newer))
    assert said.startswith("machine-a does not know machine.joined/2, pool.grew/1:")


def test_an_older_version_of_an_event_is_read() -> None:
    older = speaker("machine-b", events=("machine.joined/1", "volume.sent/1"))
    assert [said.partition(" ")[0] for said in disagreements((speaker("machine-a"), older))] == ["machine-b"]


def test_a_machine_that_does_not_say_is_no_agreement() -> None:
    silent = Speaker("machine-b", None, Problem(Code.PROTOCOL_MISMATCH, "it speaks version 2"))
    (said,) = disagreements((speaker("machine-a"), silent))
    assert said == "machine-b does not say what it speaks: it speaks version 2"
