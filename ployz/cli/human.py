"""Quantities as people read them. Scripts take the exact numbers from --json."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

_STEP: Final = 1024
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_SECOND_MS, _MINUTE_MS, _HOUR_MS = 1_000, 60_000, 3_600_000

NOTHING: Final = "-"


def size(size_bytes: int) -> str:
    """`512 B`, `1.5 MiB`."""
    if size_bytes < _STEP:
        return f"{size_bytes} B"
    power = min((size_bytes.bit_length() - 1) // 10, len(_UNITS) - 1)
    return f"{size_bytes / _STEP**power:.1f} {_UNITS[power]}"


def duration(duration_ms: int) -> str:
    """`850 ms`, `12.3 s`, `2 min 5 s`, `3 h 20 min`."""
    if duration_ms < _SECOND_MS:
        return f"{duration_ms} ms"
    if duration_ms < _MINUTE_MS:
        return f"{duration_ms / _SECOND_MS:.1f} s"
    if duration_ms < _HOUR_MS:
        minutes, rest_ms = divmod(duration_ms, _MINUTE_MS)
        return f"{minutes} min {rest_ms // _SECOND_MS} s"
    hours, rest_ms = divmod(duration_ms, _HOUR_MS)
    return f"{hours} h {rest_ms // _MINUTE_MS} min"


def rate(size_bytes: int, elapsed_ms: int) -> str:
    """`80.1 MiB/s`."""
    return f"{size(size_bytes * _SECOND_MS // max(elapsed_ms, 1))}/s"


def when(at_ms: int) -> str:
    """`2026-03-01 12:00:00Z`: always UTC, so that two operators read the same."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at_ms else NOTHING


def when_exactly(at_ms: int) -> str:
    """With milliseconds."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def listed(words: Iterable[object]) -> str:
    """`a, b, c`, or `-`."""
    return ", ".join(map(str, words)) or NOTHING
