"""What is said about data that is not what it was offered as: the error, and its words with a path to each mistake."""

from __future__ import annotations

from collections.abc import Iterator

from cattrs import AttributeValidationNote, IterableValidationNote
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError


class Malformed(ValueError):
    """Data that is not what it was offered as. `str(error)` lists what is wrong: `path: text; path: text`."""


def misplaced(value: object, expected: str) -> Malformed:
    """`expected` with its article: `an int`."""
    return Malformed(f"{'nothing' if value is None else name_of(type(value))} where {expected} belongs")


def name_of(cls: type) -> str:
    return f"{'an' if cls is int else 'a'} {cls.__name__}"


def leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, BaseValidationError):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def mistakes(error: Exception, path: str = "") -> Iterator[str]:
    """The nested errors of cattrs as flat lines, `slots[0].ipv6: missing`."""
    if not isinstance(error, BaseValidationError):
        yield f"{path or 'value'}: {_words(error)}"
        return
    for inner in error.exceptions:
        yield from mistakes(inner, path + _step(inner, at_root=not path))


def _step(error: Exception, *, at_root: bool) -> str:
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            return note.name if at_root else f".{note.name}"
        if isinstance(note, IterableValidationNote):
            return f"[{note.index!r}]"
    return ""


def _words(error: Exception) -> str:
    if isinstance(error, KeyError):
        return "missing"
    if isinstance(error, ForbiddenExtraKeysError):
        return f"unknown {', '.join(sorted(map(repr, error.extra_fields)))}"
    return str(error) or type(error).__name__
