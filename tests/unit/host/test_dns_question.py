"""What is read of a name server's answer, and that nothing which is no answer is taken for one."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ployz.host.dnsmasq.question import addresses

QUESTION = b"\x03web\x08internal\x00\x00\x01\x00\x01"
RECORD = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x0a\xd2\x00"


def answer(code: int, *last: int) -> bytes:
    head = b"\x00\x07\x85" + bytes([0x80 + code]) + b"\x00\x01" + len(last).to_bytes(2, "big") + b"\x00\x00\x00\x00"
    return head + QUESTION + b"".join(RECORD + bytes([each]) for each in last)


def test_an_answer_has_all_addresses_and_no_such_name_has_none() -> None:
    assert addresses(answer(0, 17, 18)) == {"10.210.0.17", "10.210.0.18"}
    assert addresses(answer(3)) == frozenset()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400", answer(5), answer(0, 17)[:-2]])
def test_a_refusal_or_what_is_no_answer_is_an_error(said: bytes) -> None:
    with pytest.raises(ValueError, match="it answered with"):
        addresses(said)


@given(st.binary(max_size=80))
def test_whatever_comes_is_read_or_refused(said: bytes) -> None:
    with suppress(ValueError):
        addresses(said)
