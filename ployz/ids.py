"""Parsed names and ids: a value of one of these types has been checked.

Every name that crosses a module is one of these types, never a bare `str`. They are strings (so that
msgpack, SQLite and argv lists take them as they are) whose constructor refuses what is not one.
"""

from __future__ import annotations

import base64
import binascii
import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import ClassVar, Self

from attrs import frozen

NAME_LENGTH_MAX = 63
"""The longest label that DNS allows (RFC 1035, section 2.3.4): service names become host names."""
SECRET_BYTES_MAX = 64 << 10
"""Of a secret's value: a key with its chain of certificates has a tenth of it."""
SEALED_LENGTH_MAX = (SECRET_BYTES_MAX + 64) * 4 // 3 + 4
"""Characters: a value with what encryption adds, in base64."""
WIREGUARD_KEY_BYTES = 32
PORT_MAX = 65535
MTU_MAX = 1420
"""The largest packet on the overlay: what 1500 bytes hold of WireGuard over IPv6, which adds 80 (over IPv4: 60)."""
MTU_MIN = 1280
"""IPv6 needs it (RFC 8200, section 5)."""
CERTIFICATE_LENGTH_MAX = 2_000
"""Characters. One with an Ed25519 key and a short name has about 400."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\Z")


class InvalidName(ValueError):
    """A string that is not the kind of name it was offered as. `str(error)` is a full sentence."""


class Name(str):
    """A DNS label: 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends."""

    __slots__ = ()
    kind: ClassVar[str] = "name"

    def __new__(cls, text: object) -> Self:
        if not isinstance(text, str):
            raise InvalidName(f"a {cls.kind} is text, not {type(text).__name__}")
        if type(text) is cls:
            return text
        cls._check(text)
        return super().__new__(cls, text)

    @classmethod
    def _check(cls, text: str) -> None:
        if not text:
            raise InvalidName(f"a {cls.kind} is not empty")
        if len(text) > NAME_LENGTH_MAX:
            raise InvalidName(f"{text[:24]!r}…: a {cls.kind} has at most {NAME_LENGTH_MAX} characters, not {len(text)}")
        if not _NAME.match(text):
            raise InvalidName(f"{text!r} is no {cls.kind}: use a-z, 0-9 and '-', with a letter or a digit at both ends")


class ClusterName(Name):
    __slots__ = ()
    kind = "cluster name"


class MachineId(Name):
    __slots__ = ()
    kind = "machine name"


class Namespace(Name):
    __slots__ = ()
    kind = "namespace"


class ServiceName(Name):
    __slots__ = ()
    kind = "service name"


class VolumeName(Name):
    __slots__ = ()
    kind = "volume name"


class SecretName(Name):
    __slots__ = ()
    kind = "secret name"


class SlotName(Name):
    """One replica's stable place in a service: `slot-1`, or the machine's name for a global service."""

    __slots__ = ()
    kind = "slot name"


class OperationId(Name):
    """Sortable by the time it was made: `op-` and 19 characters of Crockford base 32."""

    __slots__ = ()
    kind = "operation id"

    @classmethod
    def make(cls, at_ms: int, entropy: bytes) -> Self:
        """A new id from a wall time and 6 random bytes, both of which the caller owns: ids stay replayable."""
        return cls("op-" + _sortable(at_ms, entropy))

    @property
    def number(self) -> int | None:
        """In 95 bits; ids sort as their numbers do. None: `make` has not made it."""
        return int(self[3:].translate(_DIGITS), 32) if _MADE.match(self) else None


class InviteId(Name):
    """Of an invitation: as of an operation, beginning with `inv-`."""

    __slots__ = ()
    kind = "invitation id"

    @classmethod
    def make(cls, at_ms: int, entropy: bytes) -> Self:
        return cls("inv-" + _sortable(at_ms, entropy))


def _sortable(at_ms: int, entropy: bytes) -> str:
    """19 characters of Crockford base 32, from a wall time and 6 random bytes."""
    number = (at_ms << 48) | int.from_bytes(entropy[:6], "big")
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(90, -1, -5))


_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGITS = str.maketrans(_CROCKFORD, "0123456789abcdefghijklmnopqrstuv")
"""To those that `int` reads."""
_MADE = re.compile(rf"op-[{_CROCKFORD}]{{19}}\Z")


class Certificate(Name):
    """A machine's X.509 certificate, DER in base64: what a committed fact names, and TLS compares."""

    __slots__ = ()
    kind = "certificate"

    @classmethod
    def _check(cls, text: str) -> None:
        if not 0 < len(text) <= CERTIFICATE_LENGTH_MAX:
            raise InvalidName(f"a certificate has 1 to {CERTIFICATE_LENGTH_MAX} characters, not {len(text)}")
        try:
            base64.b64decode(text, validate=True)
        except binascii.Error:
            raise InvalidName(f"{text[:24]!r}… is no certificate: it is not base64") from None


class WireGuardKey(Name):
    """A public key as `wg` writes it: 32 bytes in base64."""

    __slots__ = ()
    kind = "WireGuard key"

    @classmethod
    def _check(cls, text: str) -> None:
        try:
            key = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != WIREGUARD_KEY_BYTES or base64.b64encode(key).decode() != text:
            raise InvalidName(f"{text[:48]!r} is no WireGuard key: it is not {WIREGUARD_KEY_BYTES} bytes in base64")


class Endpoint(Name):
    """An IP address and a port: `192.0.2.7:51820` or `[2001:db8::7]:51820`."""

    __slots__ = ()
    kind = "endpoint"

    @classmethod
    def _check(cls, text: str) -> None:
        endpoint_parts(text)


def endpoint_parts(text: str) -> tuple[IPv4Address | IPv6Address, int]:
    """`InvalidName`: it is none, or no machine can have that address."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise InvalidName(f"{text[:80]!r} is no endpoint") from None
    # A bare IPv6 address and its port cannot be told apart.
    written_right = bracketed == isinstance(address, IPv6Address) and "%" not in host
    if not written_right or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) <= PORT_MAX:
        raise InvalidName(f"{text[:80]!r} is no endpoint")
    if address.is_unspecified or address.is_multicast:
        raise InvalidName(f"no machine has the address {address}")
    return address, int(port)


def mtu_of(text: str) -> int:
    """The size of a packet on the overlay."""
    if not (text.isascii() and text.isdigit() and MTU_MIN <= int(text[:5]) <= MTU_MAX):
        raise InvalidName(f"{text[:24]!r} is no mtu: it is {MTU_MIN} to {MTU_MAX} bytes")
    return int(text)


def endpoint_in_one_form(text: str) -> Endpoint:
    """In its usual spelling: two that are the same are written the same. `InvalidName`: it is none."""
    address, port = endpoint_parts(text)
    return Endpoint(f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}")


class Sealed(Name):
    """Encrypted bytes, in base64: what alone of a secret's value is written anywhere."""

    __slots__ = ()
    kind = "sealed value"

    @classmethod
    def _check(cls, text: str) -> None:
        if not 0 < len(text) <= SEALED_LENGTH_MAX:
            raise InvalidName(f"a sealed value has 1 to {SEALED_LENGTH_MAX} characters, not {len(text)}")
        try:
            base64.b64decode(text, validate=True)
        except binascii.Error:
            raise InvalidName("this is no sealed value: it is not base64") from None


@frozen(order=True)
class ServiceRef:
    """`production/db`."""

    namespace: Namespace
    service: ServiceName

    @classmethod
    def parse(cls, text: str) -> Self:
        namespace, service = _two(text, "service")
        return cls(Namespace(namespace), ServiceName(service))

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}"


@frozen(order=True)
class VolumeRef:
    """`production/pgdata`."""

    namespace: Namespace
    volume: VolumeName

    @classmethod
    def parse(cls, text: str) -> Self:
        namespace, volume = _two(text, "volume")
        return cls(Namespace(namespace), VolumeName(volume))

    def __str__(self) -> str:
        return f"{self.namespace}/{self.volume}"


@frozen(order=True)
class SecretRef:
    """`production/db-password`."""

    namespace: Namespace
    secret: SecretName

    @classmethod
    def parse(cls, text: str) -> Self:
        namespace, secret = _two(text, "secret")
        return cls(Namespace(namespace), SecretName(secret))

    def __str__(self) -> str:
        return f"{self.namespace}/{self.secret}"


@frozen(order=True)
class SlotRef:
    """`production/db/slot-1`."""

    service: ServiceRef
    slot: SlotName

    @classmethod
    def parse(cls, text: str) -> Self:
        service, _, slot = text.rpartition("/")
        return cls(ServiceRef.parse(service), SlotName(slot))

    def __str__(self) -> str:
        return f"{self.service}/{self.slot}"


def _two(text: str, what: str) -> tuple[str, str]:
    parts = text.split("/")
    if len(parts) != 2:  # noqa: PLR2004 - the two halves of NAMESPACE/NAME
        raise InvalidName(f"{text!r} is no {what}: write NAMESPACE/{what.upper()}, for example production/db")
    return parts[0], parts[1]
