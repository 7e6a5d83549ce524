"""Encryption for one machine: by the key in its certificate, so that the fact that vouches for one does for both.

An Ed25519 key and an X25519 key are two forms of the same one (RFC 7748, 4.1): what is sealed for a machine is opened
with its identity file and with nothing else, and no further key has to be made, announced, or kept.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from hashlib import sha512
from typing import Final

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ployz.ids import Certificate, Sealed
from ployz.wire.certificates import der_of

KEY_BYTES: Final = 32
_NONCE: Final = bytes(12)
"""Every key here encrypts one message, ever."""
_P: Final = 2**255 - 19
_PURPOSE: Final = b"ployz sealing 1"

Entropy = Callable[[int], bytes]


class Unopened(ValueError):
    """It was sealed for another key, for another purpose, or was changed."""


def lock(content: bytes, key: bytes, context: bytes) -> Sealed:
    """With a key that is used for this alone. `context`: what must be said again to unlock it."""
    return _text(ChaCha20Poly1305(key).encrypt(_NONCE, content, context))


def unlock(sealed: Sealed, key: bytes, context: bytes) -> bytes:
    """`Unopened`."""
    try:
        return ChaCha20Poly1305(key).decrypt(_NONCE, base64.b64decode(sealed), context)
    except (InvalidTag, ValueError) as error:
        raise Unopened from error


def seal(content: bytes, certificate: Certificate, context: bytes, entropy: Entropy) -> Sealed:
    """For the machine with this certificate. `Unopened`: its key is none that can be sealed for."""
    ephemeral = X25519PrivateKey.from_private_bytes(entropy(KEY_BYTES))
    public = ephemeral.public_key().public_bytes_raw()
    recipient = _public_of(certificate)
    key = _key(ephemeral, recipient, public, recipient, context)
    return _text(public + ChaCha20Poly1305(key).encrypt(_NONCE, content, context))


@frozen
class SealingKey:
    """What opens what is sealed for this machine."""

    _private: X25519PrivateKey = field(repr=False)

    @classmethod
    def of(cls, key: Ed25519PrivateKey) -> SealingKey:
        """From a machine's own key."""
        seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return cls(X25519PrivateKey.from_private_bytes(sha512(seed).digest()[:KEY_BYTES]))  # RFC 8032, 5.1.5

    def open(self, sealed: Sealed, context: bytes) -> bytes:
        """`Unopened`."""
        data = base64.b64decode(sealed)
        ephemeral, encrypted = data[:KEY_BYTES], data[KEY_BYTES:]
        own = self._private.public_key().public_bytes_raw()
        try:
            key = _key(self._private, ephemeral, ephemeral, own, context)
            return ChaCha20Poly1305(key).decrypt(_NONCE, encrypted, context)
        except (InvalidTag, ValueError) as error:
            raise Unopened from error


def _key(private: X25519PrivateKey, public: bytes, ephemeral: bytes, recipient: bytes, context: bytes) -> bytes:
    """Bound to both public keys: the shared secret alone does not say whose it is (RFC 7748, 6.1)."""
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise Unopened from error
    return HKDF(SHA256(), KEY_BYTES, None, _PURPOSE + ephemeral + recipient + context).derive(shared)


def _public_of(certificate: Certificate) -> bytes:
    """The X25519 form of its key: u = (1 + y) / (1 - y)."""
    try:
        key = x509.load_der_x509_certificate(der_of(certificate)).public_key()
    except ValueError as error:
        raise Unopened from error
    if not isinstance(key, Ed25519PublicKey):
        raise Unopened
    y = int.from_bytes(key.public_bytes(Encoding.Raw, PublicFormat.Raw), "little") & ((1 << 255) - 1)
    if (1 - y) % _P == 0:
        raise Unopened
    return ((1 + y) * pow(1 - y, -1, _P) % _P).to_bytes(KEY_BYTES, "little")


def _text(data: bytes) -> Sealed:
    return Sealed(base64.b64encode(data).decode())
