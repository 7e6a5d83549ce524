"""A bounded part of what `bin/fuzz` does, the same each time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fuzz.cli import main
from tests.fuzz.targets import LONG, TARGETS, Target, in_time

EXAMPLES = 300
LONG_EXAMPLES = 40
NUMBER = 1


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_a_value_or_a_declared_error(name: str) -> None:
    TARGETS[name].play(LONG_EXAMPLES if TARGETS[name] in LONG else EXAMPLES, NUMBER)


def test_a_reader_whose_time_grows_with_the_square_is_found() -> None:
    text = "a" * 5_000
    with pytest.raises(AssertionError, match="processor time for 5000 bytes"):
        in_time(len(text), lambda: [text[:at].count("a") for at in range(len(text)) for _ in range(20)])


def _reads_carelessly(data: bytes) -> None:
    """As somebody would who trusts the length that a frame claims."""
    if len(data) > 2:
        assert data[1] <= len(data)


CARELESS = Target("careless", st.binary(max_size=20), _reads_carelessly)


def test_a_reader_that_is_careless_is_found_and_told_with_what_it_was_given(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TARGETS, "careless", CARELESS)
    assert main(["--minutes", "0.001", "careless"]) == 1
    said = capsys.readouterr()
    assert "careless: number " in said.out
    assert "Falsifying example" in said.out or "anything=b'" in said.out


def test_what_is_found_is_played_again_by_its_number(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TARGETS, "careless", CARELESS)
    assert main(["--number", "7", "careless"]) == 1
    first = capsys.readouterr().out
    assert main(["--number", "7", "careless"]) == 1
    assert capsys.readouterr().out == first


def test_a_target_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--minutes", "0.001", "frames"])
    assert ended.value.code == 2
    assert "frames: damaged" in capsys.readouterr().err


def test_a_target_that_is_well_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    well: Any = Target("well", st.integers(), lambda _: None)
    assert main(["--number", "1"], {"well": well}) == 0
    assert capsys.readouterr().out.startswith("well: ")
