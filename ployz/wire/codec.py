"""Messages and their replies as bytes: packed by field, under the message's tag, and checked strictly on the way in.

What is wrong with a body concerns that one request; the connection goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from cattrs import Converter

from ployz.errors import Code, Failed, Refused
from ployz.strict import Malformed, make_converter, pack, structure
from ployz.wire.frames import unpack_checked
from ployz.wire.message import Message, message_class

R = TypeVar("R")

_SAME_VERSION = "Run the same version of ployz on every machine, and restart ployzd after an upgrade."

DETAILED_BYTES_MAX: Final = 8 << 10
"""Of a body whose mistakes are all told, each with its place: that takes 20 µs a byte, ten times what refusing does."""

_converter = make_converter(detailed=False)
_detailed = make_converter()


def carry(teach: Callable[[Converter], None]) -> None:
    """Lets messages hold values of a layer that the wire does not know: `teach` adds its rules to the converter."""
    teach(_converter)
    teach(_detailed)


def encode(value: object) -> bytes:
    """A message or a reply. `Refused` with MALFORMED_FRAME for one that cannot be packed."""
    try:
        return pack(_converter.unstructure(value))
    except Malformed as error:
        raise Refused(Code.MALFORMED_FRAME, f"a {type(value).__name__} cannot be sent: {error}") from error


def decode_message(tag: str, body: bytes) -> Message[Any]:
    """`Refused`: UNKNOWN_MESSAGE for a tag that is in no registry here, MALFORMED_FRAME for a body that is not its."""
    cls = message_class(tag)
    if cls is None:
        raise Refused(Code.UNKNOWN_MESSAGE, f"there is no message {tag[:80]!r}", _SAME_VERSION)
    return _decode(tag, body, cls)


def encode_reply(reply: object) -> bytes:
    """`Failed` with MALFORMED_FRAME for one that cannot be packed: what was asked has been done."""
    try:
        return encode(reply)
    except Refused as error:
        raise Failed(error.code, error.problem.text) from error


def decode_reply(message: Message[R], body: bytes) -> R:
    """By the reply type that the message names. `Failed` with MALFORMED_FRAME: what was asked has been done."""
    try:
        reply: R = _decode(f"the reply to {message.tag}", body, message.reply)
    except Refused as error:
        raise Failed(error.code, error.problem.text, _SAME_VERSION) from error
    return reply


def _decode(what: str, body: bytes, cls: type[R]) -> R:
    try:
        plain = unpack_checked(body)
        try:
            return structure(_converter, plain, cls)
        except Malformed:
            if len(body) > DETAILED_BYTES_MAX:
                raise
            return structure(_detailed, plain, cls)
    except Malformed as error:
        raise Refused(Code.MALFORMED_FRAME, f"{what}: {error}"[:1000]) from error
