"""A machine that is no member yet, at the door of the one that invited it: plain blocking sockets, one ask.

Before anything is sent, the certificate that answers is compared with the one that the invitation names.
"""

from __future__ import annotations

import socket
import ssl
from hashlib import sha256
from typing import TypeVar

from ployz.errors import Code, Refused, Unreachable
from ployz.wire.invitation import Invitation
from ployz.wire.local import Conversation
from ployz.wire.message import Message

CONNECT_S = 10.0

R = TypeVar("R")


def ask_inviter(invitation: Invitation, to: str, message: Message[R], *, timeout_s: float) -> R:
    """`Unreachable` (MACHINE_UNREACHABLE): nothing was sent. `Refused` (IDENTITY): somebody else answers there."""
    host, _, port = invitation.endpoint.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # no anchor but the fingerprint, which is compared below
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S) as raw,
            context.wrap_socket(raw) as secured,
        ):
            _compare(invitation, secured.getpeercert(binary_form=True) or b"")
            conversation = Conversation(secured, "the inviting machine")
            conversation.greet()
            return conversation.ask(to, message, timeout_s=timeout_s)
    except OSError as error:
        raise Unreachable(
            Code.MACHINE_UNREACHABLE,
            f"nobody takes invitations at {invitation.endpoint}: {error.strerror or error}",
            "Is that TCP port open to this machine, and is the invitation? On a member: ployzctl machine invites",
        ) from None


def _compare(invitation: Invitation, der: bytes) -> None:
    if sha256(der).hexdigest() != invitation.fingerprint:
        raise Refused(
            Code.IDENTITY,
            f"who answers at {invitation.endpoint} is not the machine that made this invitation",
            "Nothing was sent to it. Somebody may stand between: find out who before you try again.",
        )
