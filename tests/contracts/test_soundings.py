"""What SocketSoundings finds out with packets: on this machine's own loopback, where all that is sent arrives."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from ployz.host.soundings import SocketSoundings

pytestmark = pytest.mark.real

NOWHERE = "100::1"
"""Discarded (RFC 6666), or no way leads there."""


def test_each_size_that_comes_back_is_told_and_what_does_not_is_waited_for_no_longer_than_asked() -> None:
    asked = {"::1": {128, 1280, 1420}, NOWHERE: {128}}
    answered = anyio.run(partial(SocketSoundings().sizes_answered, asked, timeout_s=1.0), backend="trio")
    assert answered == {"::1": frozenset({128, 1280, 1420}), NOWHERE: frozenset()}


def test_a_poke_waits_for_nothing_and_minds_nothing() -> None:
    for address in ("::1", NOWHERE):
        anyio.run(SocketSoundings().poke, address, backend="trio")
