"""What a fact log's compares, writes and answers look like in etcd's JSON, and where each thing stands. Pure.

In that JSON (protobuf's) bytes are base64, 64-bit integers are strings, and whatever is false, zero or empty is left
out. Keys, below the prefix of the cluster: `origin`, `head`, `touched`, `fact/POSITION`, `record/KEY`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from attrs import frozen

from ployz.errors import Code, Corrupt
from ployz.events.codec import CODEC, PAYLOAD_LIMIT_BYTES, Encoded
from ployz.events.log import GENESIS_HASH
from ployz.events.types import Fact
from ployz.facts.chain import stored_hash
from ployz.facts.port import Absent, Compare, Delete, Held, Put, SequencedFact, ValueIs
from ployz.strict import Malformed, make_converter, pack, structure, unpack

Json = Mapping[str, Any]
V = TypeVar("V")

INT64_MAX: Final = 2**63 - 1
NO_LEASE: Final = -1
"""A lease that etcd never grants: what cannot be one of its numbers is asked for as this."""
_NEVER_WRITTEN: Final = -1
"""No revision. 0 would be that of what is absent."""
_STORED_BYTES_MAX: Final = PAYLOAD_LIMIT_BYTES + 4096


@frozen
class Origin:
    """Written once, and last, when a fact log begins here; or is moved here."""

    log_id: bytes
    """16 random bytes. Every transaction compares them: another etcd that answers at the same address is not meant."""
    revision_base: int
    """Added to etcd's own revisions, so that a log that was moved never gives a number twice: they fence."""


@frozen
class Place:
    """Where the fact log stands, and the etcd revision that says so (0: there is no fact yet)."""

    position: int = 0
    hash: bytes = GENESIS_HASH
    written_by: int = 0


@frozen
class _Head:
    position: int
    hash: bytes


@frozen
class _StoredFact:
    at_ms: int
    name: str
    version: int
    payload: bytes
    hash: bytes


_converter = make_converter()


@frozen
class Names:
    """The keys of one cluster's fact log."""

    prefix: str

    @property
    def origin(self) -> str:
        return encoded(f"{self.prefix}origin".encode())

    @property
    def head(self) -> str:
        return encoded(f"{self.prefix}head".encode())

    @property
    def touched(self) -> str:
        """Written by a transaction that writes nothing else: only a write has a revision of its own."""
        return encoded(f"{self.prefix}touched".encode())

    def record(self, key: str) -> str:
        return encoded(self._record(key))

    def records(self, prefix: str) -> Json:
        begin = self._record(prefix)
        return {"key": encoded(begin), "range_end": encoded(after_prefix(begin))}

    def record_key(self, name: str) -> str:
        return decoded(name).decode().removeprefix(f"{self.prefix}record/")

    def fact(self, position: int) -> str:
        return encoded(self._fact(position))

    def facts(self, after: int, limit: int) -> Json:
        end = after_prefix(f"{self.prefix}fact/".encode())
        return {"key": self.fact(after + 1), "range_end": encoded(end), "limit": str(limit)}

    @property
    def everything(self) -> Json:
        return {"key": encoded(self.prefix.encode()), "range_end": encoded(after_prefix(self.prefix.encode()))}

    def _record(self, key: str) -> bytes:
        return f"{self.prefix}record/{key}".encode()

    def _fact(self, position: int) -> bytes:
        return f"{self.prefix}fact/{position:020d}".encode()  # as wide as any number: sorted as text, sorted by number


def encoded(data: bytes) -> str:
    return b64encode(data).decode()


def decoded(text: str) -> bytes:
    return b64decode(text)


def after_prefix(prefix: bytes) -> bytes:
    """The first key after all that begin so."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else b"\0"


def number(message: Json, name: str) -> int:
    return int(message.get(name, 0))


# ---------------------------------------------------------------- compares and writes


def compare(names: Names, each: Compare, base: int) -> Json:
    key = names.record(each.key)
    if isinstance(each, Absent):
        return {"key": key, "target": "VERSION", "result": "EQUAL", "version": "0"}
    if isinstance(each, ValueIs):
        return value_is(key, each.value)
    revision = each.revision - base
    return revision_is(key, revision if 0 < revision <= INT64_MAX else _NEVER_WRITTEN)


def value_is(key: str, value: bytes) -> Json:
    return {"key": key, "target": "VALUE", "result": "EQUAL", "value": encoded(value)}


def revision_is(key: str, revision: int) -> Json:
    return {"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def read(key: str) -> Json:
    return {"request_range": {"key": key}}


def put(key: str, value: bytes, lease: int = 0) -> Json:
    return {"request_put": {"key": key, "value": encoded(value), "lease": str(lease_number(lease))}}


def write(names: Names, each: Put | Delete) -> Json:
    key = names.record(each.key)
    if isinstance(each, Put):
        return put(key, each.value, each.lease)
    return {"request_delete_range": {"key": key}}


def lease_number(lease: int) -> int:
    return lease if 0 <= lease <= INT64_MAX else NO_LEASE


# ---------------------------------------------------------------- what stands there


def pairs(ranged: Json) -> list[Json]:
    found: list[Json] = ranged.get("kvs", [])
    return found


def ranges(answer: Json) -> list[Json]:
    """The reads of a transaction, in their order."""
    return [each["response_range"] for each in answer.get("responses", []) if "response_range" in each]


def value(pair: Json) -> bytes:
    return decoded(pair.get("value", ""))


def held(ranged: Json, base: int) -> Held | None:
    found = pairs(ranged)
    return Held(value(found[0]), number(found[0], "mod_revision") + base) if found else None


def pack_origin(origin: Origin) -> bytes:
    return pack(_converter.unstructure(origin))


def unpack_origin(data: bytes) -> Origin:
    return _strictly(data, Origin, "origin")


def pack_head(position: int, hash_: bytes) -> bytes:
    return pack(_converter.unstructure(_Head(position, hash_)))


def place(ranged: Json) -> Place:
    found = pairs(ranged)
    if not found:
        return Place()
    head = _strictly(value(found[0]), _Head, "head")
    return Place(head.position, head.hash, number(found[0], "mod_revision"))


def pack_fact(each: SequencedFact) -> bytes:
    stored = CODEC.encode(each.fact)
    return pack(_converter.unstructure(_StoredFact(each.at_ms, stored.name, stored.version, stored.payload, each.hash)))


def unpack_fact(pair: Json) -> SequencedFact:
    position = int(decoded(pair["key"])[-20:])
    stored = _strictly(value(pair), _StoredFact, f"fact {position}")
    fact = CODEC.decode(stored.name, stored.version, stored.payload)
    if not isinstance(fact, Fact):
        raise _corrupt(f"{stored.name} at position {position} is no fact")
    return SequencedFact(position, stored.hash, stored.at_ms, fact)


def verified(pair: Json, previous: bytes, position: int) -> bytes:
    """The hash of a fact as it is stored, which is that of its place after `previous`. `Corrupt` if it is not."""
    stored = _strictly(value(pair), _StoredFact, f"fact {position}")
    fact = CODEC.decode(stored.name, stored.version, stored.payload)
    computed = stored_hash(previous, position, Encoded(stored.name, stored.version, stored.payload, fact))
    if int(decoded(pair["key"])[-20:]) != position or computed != stored.hash:
        raise _corrupt(f"fact {position} is not what was committed")
    return computed


def _strictly(data: bytes, kind: type[V], what: str) -> V:
    try:
        return structure(_converter, unpack(data, limit_bytes=_STORED_BYTES_MAX), kind)
    except Malformed as error:
        raise _corrupt(f"its {what} is none: {error}") from error


def _corrupt(text: str) -> Corrupt:
    return Corrupt(
        Code.LOG_CORRUPT,
        f"the fact log in etcd is damaged: {text}",
        "restore etcd from a backup; every machine's own log holds a mirror of the facts",
    )
