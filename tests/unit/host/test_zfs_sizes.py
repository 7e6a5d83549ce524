"""Estimates from space accounting, against a model that knows every block and who references it."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ployz.host.ports import Snapshot
from ployz.host.zfs import sizes

Blocks = frozenset[int]


def accounted(history: Sequence[Blocks], now: Blocks) -> tuple[int, list[Snapshot]]:
    """`usedbysnapshots` and the snapshots, as ZFS accounts for blocks of one byte."""
    snapshots = []
    for place, blocks in enumerate(history):
        others = set(now).union(*(each for other, each in enumerate(history) if other != place))
        snapshots.append(Snapshot(f"s{place}", place + 1, 0, len(blocks), len(blocks - others)))
    return len(frozenset().union(*history) - now), snapshots


@st.composite
def lives(draw: st.DrawFn, snapshots: int) -> list[Blocks]:
    """Each block lives through consecutive versions: what was freed never comes back."""
    spans = draw(st.lists(st.tuples(st.integers(0, snapshots), st.integers(0, snapshots)), max_size=30))
    return [
        frozenset(block for block, span in enumerate(spans) if min(span) <= place <= max(span))
        for place in range(snapshots + 1)
    ]


@given(st.integers(1, 2).flatmap(lives))
def test_with_up_to_two_snapshots_what_was_written_since_the_newest_is_exact(versions: list[Blocks]) -> None:
    *history, now = versions
    held, snapshots = accounted(history, now)
    assert sizes.written_bytes(len(now), held, snapshots, snapshots[-1]) == len(now - history[-1])


@given(st.integers(3, 6).flatmap(lives))
def test_with_more_snapshots_it_is_never_too_small_and_never_more_than_everything(versions: list[Blocks]) -> None:
    *history, now = versions
    held, snapshots = accounted(history, now)
    written = sizes.written_bytes(len(now), held, snapshots, snapshots[-1])
    assert len(now - history[-1]) <= written <= len(now)


def test_a_stream_carries_what_compression_saved_and_a_header_a_block() -> None:
    assert sizes.stream_bytes(1 << 20, compression=2.0, record_bytes=1 << 17) == (2 << 20) + 16 * 312
