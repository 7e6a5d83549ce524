"""Sizes and durations as people write them: `20G`, `1.5G`, `500ms`, `5m`. Read exactly, written shortest.

Each printer gives the text that its parser reads back as the same value.
"""

from __future__ import annotations

import re

KIB = 1024
MIB = 1024 * KIB

SIZE_UNITS = {"": 1, "K": KIB, "M": MIB, "G": 1024 * MIB, "T": 1024 * 1024 * MIB}
"""In bytes. Base 2, as ZFS reads the same letters."""

DURATION_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
"""In milliseconds, the finest step that a duration has."""

# Digits are bounded: Python's own integers and decimals are not, and the text comes from anywhere.
_QUANTITY = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,12})?)([A-Za-z]{0,2})\Z")


class InvalidQuantity(ValueError):
    """`str(error)` completes a sentence that names the place: "'20X' is no size: …"."""


def parse_size(text: str) -> int:
    """Bytes. A fraction is read when it makes whole bytes: `1.5G`."""
    return _parse(text, SIZE_UNITS, "size", "bytes", 'bytes, or a number with K, M, G or T, such as "20G"')


def parse_duration(text: str) -> float:
    """Seconds, a whole number of milliseconds."""
    return (
        _parse(
            text, DURATION_UNITS, "duration", "milliseconds", 'a number with ms, s, m or h, such as "500ms" or "10s"'
        )
        / 1000
    )


def size_text(size_bytes: int) -> str:
    return _shortest(size_bytes, SIZE_UNITS) if size_bytes else "0"


def duration_text(duration_s: float) -> str:
    return _shortest(round(duration_s * 1000), DURATION_UNITS) if duration_s else "0s"


def _parse(text: str, units: dict[str, int], kind: str, finest: str, advice: str) -> int:
    match = _QUANTITY.match(text)
    if match is None or match[2] not in units:
        raise InvalidQuantity(f"{text[:32]!r} is no {kind}: write {advice}")
    # In whole numbers: decimals keep 28 digits by default, and 31 times 2**40 has 44.
    whole, _, fraction = match[1].partition(".")
    denominator: int = 10 ** len(fraction)
    number, remainder = divmod(int(whole + fraction) * units[match[2]], denominator)
    if remainder:
        raise InvalidQuantity(f"{text!r} is no {kind}: it is not a whole number of {finest}")
    return number


def _shortest(number: int, units: dict[str, int]) -> str:
    letters, unit = next((letters, unit) for letters, unit in reversed(units.items()) if number % unit == 0)
    return f"{number // unit}{letters}"
