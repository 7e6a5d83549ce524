"""The token of an invitation: one word, read back as it was, and refused as soon as one character is wrong."""

from __future__ import annotations

import string

import pytest

from ployz.errors import Code, Refused
from ployz.ids import ClusterName, InviteId
from ployz.wire.invitation import Invitation, from_token, to_token

INVITATION = Invitation(
    InviteId("inv-06bqk8v1h2c4000abcd"), ClusterName("home"), "192.0.2.7:51820", "ab" * 32, bytes(range(32))
)
TOKEN = to_token(INVITATION)


def test_a_token_is_one_word_and_read_back_as_it_was() -> None:
    assert from_token(f" {TOKEN}\n") == INVITATION
    assert set(TOKEN) <= set(string.ascii_letters + string.digits + "-_")


@pytest.mark.parametrize("at", range(len(TOKEN)))
def test_a_token_with_one_other_character_is_refused(at: int) -> None:
    other = "A" if TOKEN[at] != "A" else "B"
    with pytest.raises(Refused) as refusal:
        from_token(TOKEN[:at] + other + TOKEN[at + 1 :])
    assert refusal.value.code is Code.INVITE


@pytest.mark.parametrize("cut", range(len(TOKEN)))
def test_a_token_that_was_cut_is_refused(cut: int) -> None:
    with pytest.raises(Refused):
        from_token(TOKEN[:cut])
