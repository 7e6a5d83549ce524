"""A machine's identity: an Ed25519 key that never leaves it, and the certificate by which the others know that key.

Nobody signs for anybody: each certificate is its own anchor, trusted while a committed fact names it.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from ployz.ids import Certificate, MachineId

_NOT_BEFORE: Final = datetime(2000, 1, 1, tzinfo=UTC)
_NOT_AFTER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""No end (RFC 5280, 4.1.2.5). A fact ends a certificate; a clock that is wrong must not cut a machine off."""


def new_identity(machine: MachineId) -> bytes:
    """A new key and its certificate, PEM."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, machine)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .sign(key, None)
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


def private_key_of(identity: bytes) -> Ed25519PrivateKey:
    """Of a PEM file's content. `ValueError`: it has none."""
    key = load_pem_private_key(identity, None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("an identity is an Ed25519 key")  # noqa: TRY004 - a damaged file, not a wrong call
    return key


def certificate_of(identity: bytes) -> Certificate:
    """Of a PEM file's content. `ValueError`: it has none."""
    return encoded(x509.load_pem_x509_certificate(identity).public_bytes(Encoding.DER))


def name_of(certificate: Certificate) -> str:
    """The machine that it was made for; empty: it names none."""
    names = x509.load_der_x509_certificate(der_of(certificate)).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def certificate_flaw(certificate: Certificate, machine: MachineId) -> str:
    """Why TLS could not know the machine by it, for the end of a sentence. Empty: it could."""
    try:
        parsed = x509.load_der_x509_certificate(der_of(certificate))
        key = parsed.public_key()
        names = [each.value for each in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if not isinstance(key, Ed25519PublicKey):
            return "its key is no Ed25519 key"
        if names != [machine]:
            return "it is another machine's"
        key.verify(parsed.signature, parsed.tbs_certificate_bytes)
    except (ValueError, UnsupportedAlgorithm):
        return "it is no X.509 certificate"
    except InvalidSignature:
        return "its key has not signed it"
    return ""


def encoded(der: bytes) -> Certificate:
    return Certificate(base64.b64encode(der).decode())


def der_of(certificate: Certificate) -> bytes:
    return base64.b64decode(certificate)


def fingerprint(certificate: Certificate) -> str:
    """SHA-256, in hexadecimal: what people compare, and what an invitation names."""
    return sha256(der_of(certificate)).hexdigest()


# ---------------------------------------------------------------- vouching for a WireGuard key


def vouch(key: Ed25519PrivateKey, machine: MachineId, public_key: str) -> str:
    """A signature, base64, by a machine's key: this WireGuard key is that machine's."""
    return base64.b64encode(key.sign(_vouched(machine, public_key))).decode()


def is_vouched_for(certificate: Certificate, machine: MachineId, public_key: str, signature: str) -> bool:
    try:
        key = x509.load_der_x509_certificate(der_of(certificate)).public_key()
        if not isinstance(key, Ed25519PublicKey):
            return False
        key.verify(base64.b64decode(signature, validate=True), _vouched(machine, public_key))
    except (InvalidSignature, ValueError):
        return False
    return True


def _vouched(machine: MachineId, public_key: str) -> bytes:
    return f"ployz wireguard key 1\n{machine}\n{public_key}".encode()
