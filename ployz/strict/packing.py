"""Plain data to msgpack bytes and back, bounded before anything is allocated. The only file that imports msgpack."""

from __future__ import annotations

from typing import Any

import msgpack  # type: ignore[import-untyped]  # ships no types

from ployz.strict.malformed import Malformed


def pack(plain: object) -> bytes:
    """Msgpack, the same bytes for the same data. `Malformed` for what msgpack cannot hold."""
    try:
        return bytes(msgpack.packb(plain, use_bin_type=True))
    except (ValueError, TypeError, OverflowError) as error:
        raise Malformed(f"cannot be packed: {error}") from error


def unpack(data: bytes, *, limit_bytes: int) -> Any:
    """Plain data from exactly one msgpack value. `Malformed` for anything else, before much is allocated.

    No string, list or map can claim more than the bytes that are there, and msgpack bounds the nesting itself.
    """
    if len(data) > limit_bytes:
        raise Malformed(f"{len(data)} bytes, and the limit is {limit_bytes}")
    try:
        return msgpack.unpackb(data, raw=False, use_list=True, max_ext_len=0)
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise Malformed(f"not msgpack: {str(error) or type(error).__name__}") from error
