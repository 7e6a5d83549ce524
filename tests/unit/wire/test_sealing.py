"""What is sealed for a machine is opened with its key, for its purpose, unchanged, and in no other way."""

from __future__ import annotations

import base64
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ployz.ids import Certificate, MachineId, Sealed
from ployz.wire.certificates import certificate_of, new_identity, private_key_of
from ployz.wire.sealing import KEY_BYTES, SealingKey, Unopened, lock, seal, unlock

A = new_identity(MachineId("machine-a"))
B = new_identity(MachineId("machine-b"))
VALUE = b"correct horse"


def sealed(context: bytes = b"production/db 1") -> Sealed:
    return seal(VALUE, certificate_of(A), context, os.urandom)


def test_a_machine_opens_what_is_sealed_for_its_certificate() -> None:
    assert SealingKey.of(private_key_of(A)).open(sealed(), b"production/db 1") == VALUE


def test_nobody_else_opens_it() -> None:
    with pytest.raises(Unopened):
        SealingKey.of(private_key_of(B)).open(sealed(), b"production/db 1")


def test_it_is_opened_as_what_it_was_sealed_as_and_as_nothing_else() -> None:
    with pytest.raises(Unopened):
        SealingKey.of(private_key_of(A)).open(sealed(), b"production/db 2")


@pytest.mark.parametrize("at", [0, KEY_BYTES - 2, KEY_BYTES, -1])
def test_a_changed_bit_anywhere_is_found(at: int) -> None:
    data = bytearray(base64.b64decode(sealed()))
    data[at] ^= 1
    with pytest.raises(Unopened):
        SealingKey.of(private_key_of(A)).open(Sealed(base64.b64encode(data).decode()), b"production/db 1")


@pytest.mark.parametrize("data", [b"x", bytes(KEY_BYTES), bytes(KEY_BYTES + 16), bytes(200)])
def test_what_nobody_sealed_is_not_opened(data: bytes) -> None:
    with pytest.raises(Unopened):
        SealingKey.of(private_key_of(A)).open(Sealed(base64.b64encode(data).decode()), b"")


def test_two_seals_of_one_value_have_nothing_in_common() -> None:
    assert sealed() != sealed()


def test_the_two_forms_of_a_key_belong_together() -> None:
    """By the library's own arithmetic: the public half of the private form is the converted public one."""
    for _ in range(20):
        identity = new_identity(MachineId("machine-a"))
        content = SealingKey.of(private_key_of(identity)).open(
            seal(VALUE, certificate_of(identity), b"", os.urandom), b""
        )
        assert content == VALUE


def test_an_identity_of_another_kind_of_key_is_none() -> None:
    key = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="Ed25519"):
        SealingKey.of(private_key_of(key))


def test_a_certificate_that_is_none_is_not_sealed_for() -> None:
    with pytest.raises(Unopened):
        seal(VALUE, Certificate("bm90aGluZw=="), b"", os.urandom)


def test_a_locked_value_is_unlocked_with_its_key_and_context() -> None:
    key = os.urandom(KEY_BYTES)
    locked = lock(VALUE, key, b"context")
    assert unlock(locked, key, b"context") == VALUE
    for wrong in ((os.urandom(KEY_BYTES), b"context"), (key, b"other"), (b"short", b"context")):
        with pytest.raises(Unopened):
            unlock(locked, *wrong)


def test_a_key_is_not_shown() -> None:
    assert "X25519" not in repr(SealingKey.of(private_key_of(A)))
