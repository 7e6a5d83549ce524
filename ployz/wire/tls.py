"""Mutual TLS 1.3 between machines: who is at the other end is proven by its key, and known by the committed facts.

The trust store is the membership. There is no authority that signs, nothing that expires, and nothing to revoke:
a machine is trusted while a fact names its certificate.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import SocketStream
from anyio.streams.tls import TLSAttribute, TLSStream

from ployz.errors import Code, Refused
from ployz.ids import Certificate, MachineId
from ployz.wire.certificates import der_of, encoded

GONE: Final = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError)
"""What a connection that is over raises, each of it from either side: TLS reads when it writes."""

_log = logging.getLogger("ployz.wire")

Members = Callable[[], Mapping[MachineId, Certificate]]
"""Every machine that is trusted now, by the facts."""


class MachineTls:
    """One machine's side of every connection with another one. `identity`: the PEM file with its key."""

    def __init__(self, identity: Path, members: Members) -> None:
        self._identity = identity
        self._members = members
        self._trusted: frozenset[Certificate] = frozenset()
        self._server: ssl.SSLContext | None = None

    def is_trusted(self, machine: MachineId, certificate: Certificate) -> bool:
        return self._members().get(machine) == certificate

    async def accept(self, stream: SocketStream) -> tuple[TLSStream, Certificate]:
        """Whose certificate it is remains to be compared with what they say. `ssl.SSLError`: a stranger."""
        secured = await TLSStream.wrap(
            stream, server_side=True, ssl_context=self._server_context(), standard_compatible=False
        )
        der = secured.extra(TLSAttribute.peer_certificate_binary)  # noqa: S610 - anyio's, nothing of Django's
        if der is None:
            raise AssertionError("a handshake that requires a certificate ended without one")
        return secured, encoded(der)

    async def receive(self, stream: SocketStream) -> TLSStream:
        """Somebody without a certificate, to whom this machine proves its own."""
        context = _context(ssl.PROTOCOL_TLS_SERVER, self._identity)
        context.verify_mode = ssl.CERT_NONE
        return await TLSStream.wrap(stream, server_side=True, ssl_context=context, standard_compatible=False)

    async def connect(self, stream: SocketStream, machine: MachineId) -> tuple[TLSStream, Certificate]:
        """`Refused` (NOT_A_MEMBER): no fact names a certificate of it. `ssl.SSLError`: somebody else answers."""
        certificate = self._members().get(machine)
        if certificate is None:
            raise Refused(Code.NOT_A_MEMBER, f"no certificate of {machine} is known here")
        context = _context(ssl.PROTOCOL_TLS_CLIENT, self._identity)
        if not _believe(context, certificate):
            raise Refused(Code.IDENTITY, f"the certificate of {machine} by the facts is none", "ployzctl doctor")
        secured = await TLSStream.wrap(
            stream, server_side=False, hostname=machine, ssl_context=context, standard_compatible=False
        )
        return secured, certificate

    def _server_context(self) -> ssl.SSLContext:
        """A new one when the membership has changed, so that no session outlives its machine."""
        trusted = frozenset(self._members().values())
        if self._server is None or trusted != self._trusted:
            context = _context(ssl.PROTOCOL_TLS_SERVER, self._identity)
            context.num_tickets = 0  # a resumed session would show no certificate
            for certificate in sorted(trusted):
                _believe(context, certificate)
            self._server, self._trusted = context, trusted
        return self._server


def _believe(context: ssl.SSLContext, certificate: Certificate) -> bool:
    """Each by itself: one that is none would keep all others from being believed."""
    try:
        context.load_verify_locations(cadata=der_of(certificate))
    except (ssl.SSLError, ValueError):
        _log.warning("a certificate that the facts name is none, and its machine is not believed: ployzctl doctor")
        return False
    return True


def _context(protocol: int, identity: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the certificate itself is compared, not a name in it
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # each certificate is its own anchor
    context.load_cert_chain(identity)
    return context


def in_words(error: ssl.SSLError) -> str:
    """What a handshake that failed means here."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not the one that the facts name"
    return f"no TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
