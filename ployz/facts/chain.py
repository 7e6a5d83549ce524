"""The hash that chains the fact log: how a mirror knows that it follows the same history as everybody else.

SHA-256 over the previous hash, the position, and the fact as it is stored. A mirror computes it from the fact as its
own version would store it: before a fact gets a second version, SequencedFact has to carry the stored bytes.
"""

from __future__ import annotations

from hashlib import sha256

from ployz.events.codec import CODEC, Encoded
from ployz.events.types import Fact


def fact_hash(previous: bytes, position: int, fact: Fact) -> bytes:
    """32 bytes. `previous` of the first fact, which has position 1, is GENESIS_HASH."""
    return stored_hash(previous, position, CODEC.encode(fact))


def stored_hash(previous: bytes, position: int, encoded: Encoded) -> bytes:
    """The same of a fact's stored form, which stays what it is when a newer ployz reads it as a newer version."""
    kind = f"{encoded.name}/{encoded.version}".encode()
    # Each part has a fixed length or its length before it: no two facts make the same input.
    parts = (previous, position.to_bytes(8), len(kind).to_bytes(2), kind, encoded.payload)
    return sha256(b"".join(parts)).digest()
