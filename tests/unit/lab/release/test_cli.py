"""What is run in the root, in which order, and what is made of how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from attrs import field, frozen

from ployz.lab.release.cli import LAB, Ran, _try
from ployz.lab.release.room import Room

DEMO = f"bin/demo --name {LAB}"


@frozen
class Told(Room):
    """It runs nothing, and ends as it is told."""

    exit_codes: Mapping[str, int]
    ran: list[str] = field(factory=list)

    def run(self, argv: Sequence[str], *, at: Path, environment: Mapping[str, str], deadline_s: float) -> int:
        assert at == Path("/srv/ployz")
        assert environment["HOME"] == "/root"
        self.ran.append(" ".join(argv))
        return self.exit_codes.get(self.ran[-1], 0)


@pytest.mark.parametrize(
    ("exit_codes", "ran", "failed"),
    [
        ({}, [DEMO, "bin/test quick"], []),
        ({DEMO: 3}, [DEMO, "bin/test quick"], [DEMO]),
        ({"bin/test quick": 1}, [DEMO, "bin/test quick"], ["bin/test quick"]),
    ],
)
def test_the_demo_and_the_quick_tests_are_run_whatever_came_of_the_first(
    exit_codes: Mapping[str, int], ran: list[str], failed: list[str]
) -> None:
    inside = Told(1, exit_codes)
    told = list(_try(inside, []))
    assert inside.ran == ran
    assert [each.name for each in told if each.exit_code] == failed
    assert len(told) == 2


def test_another_command_is_run_instead() -> None:
    inside = Told(1, {"bin/lab up": 3})
    (told,) = _try(inside, ["bin/lab", "up"])
    assert inside.ran == ["bin/lab up"]
    assert told.exit_code == 3
    assert str(Ran("bin/lab up", 61.4, 3)).split() == ["bin/lab", "up", "61", "s", "FAILED"]
