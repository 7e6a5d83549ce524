"""The token that an operator carries to a newcomer: where to go, whom to expect there, and the secret to show.

It names the inviting machine's certificate, so that a newcomer shows the secret to nobody else.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256
from typing import Final

from attrs import frozen

from ployz.errors import Code, Refused
from ployz.ids import ClusterName, InviteId
from ployz.strict import Malformed, make_converter, pack, structure, unpack

SECRET_BYTES: Final = 32
_PREFIX: Final = "ployz1-"
_CHECK_BYTES: Final = 4
_TOKEN_LENGTH_MAX: Final = 1_000

_converter = make_converter()


@frozen
class Invitation:
    invite: InviteId
    cluster: ClusterName
    endpoint: str
    """`192.0.2.7:51820`: TCP here, beside WireGuard's UDP."""
    fingerprint: str
    """Of the inviting machine's certificate."""
    secret: bytes


def secret_hash(secret: bytes) -> str:
    """All that the facts have of it: SHA-256, in hexadecimal."""
    return sha256(secret).hexdigest()


def to_token(invitation: Invitation) -> str:
    """One word without anything that a shell or a mail program would change."""
    body = pack(_converter.unstructure(invitation))
    return _PREFIX + base64.urlsafe_b64encode(body + _check(body)).decode().rstrip("=")


def from_token(token: str) -> Invitation:
    """`Refused` (INVITE): it is none, or it was changed or cut on its way."""
    text = token.strip()
    if not text.startswith(_PREFIX) or len(text) > _TOKEN_LENGTH_MAX:
        raise _no_token("this is no invitation")
    encoded = text.removeprefix(_PREFIX)
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _no_token("this invitation has characters that none has") from None
    body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if check != _check(body):
        raise _no_token("this invitation is not whole: a character is missing, or another one")
    try:
        invitation = structure(_converter, unpack(body, limit_bytes=_TOKEN_LENGTH_MAX), Invitation)
    except Malformed as error:
        raise _no_token(f"this invitation is none that this version knows: {error}") from None
    if len(invitation.secret) != SECRET_BYTES:
        raise _no_token("this invitation has no secret")
    return invitation


def _check(body: bytes) -> bytes:
    return sha256(body).digest()[:_CHECK_BYTES]


def _no_token(text: str) -> Refused:
    return Refused(Code.INVITE, text, "Copy the whole word that `ployzctl machine invite` printed.")
