"""Sizes and durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ployz.manifest.quantities import InvalidQuantity, duration_text, parse_duration, parse_size, size_text


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("0", 0), ("1000", 1000), ("1K", 1024), ("512M", 512 * 2**20), ("20G", 20 * 2**30), ("2T", 2 * 2**40)],
)
def test_a_size_is_bytes_or_a_number_with_a_unit_of_base_2(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes
    assert size_text(size_bytes) == text


def test_a_fraction_is_a_size_when_it_makes_whole_bytes() -> None:
    assert parse_size("1.5G") == 3 * 2**29
    with pytest.raises(InvalidQuantity, match="is not a whole number of bytes"):
        parse_size("0.3K")


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [("0s", 0.0), ("500ms", 0.5), ("10s", 10.0), ("90s", 90.0), ("5m", 300.0), ("1h", 3600.0)],
)
def test_a_duration_is_a_number_with_a_unit(text: str, duration_s: float) -> None:
    assert parse_duration(text) == duration_s
    assert duration_text(duration_s) == text


def test_a_duration_is_not_finer_than_a_millisecond() -> None:
    assert parse_duration("1.5s") == 1.5
    with pytest.raises(InvalidQuantity, match="is not a whole number of milliseconds"):
        parse_duration("0.5ms")


@pytest.mark.parametrize(
    "text", ["", "G", "-1G", "+1G", "1 G", "1g", "1GB", "1e9", "nan", "inf", "1.G", ".5G", "٣G", "1G\n"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuantity, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "s", "10", "-1s", "1 s", "1S", "1d", "1m30s", "nan", "inf", "1s\n"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidQuantity, match="is no duration"):
        parse_duration(text)


def test_more_digits_than_python_reads_are_refused_as_any_other_text() -> None:
    with pytest.raises(InvalidQuantity):
        parse_size("9" * 5000)


@given(st.integers(0, 2**63))
def test_a_size_that_is_written_is_read_back(size_bytes: int) -> None:
    assert parse_size(size_text(size_bytes)) == size_bytes


@given(st.integers(0, 10**9))
def test_a_duration_that_is_written_is_read_back(milliseconds: int) -> None:
    assert parse_duration(duration_text(milliseconds / 1000)) == milliseconds / 1000
