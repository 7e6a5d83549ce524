"""From text to a raw tree: TOML or JSON, measured before it is parsed, so that no text costs more than its length.

Nothing here knows what a manifest is.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from enum import StrEnum
from itertools import accumulate, chain

from ployz.manifest.cursor import RepeatingObject
from ployz.manifest.limits import NESTING_MAX, TEXT_BYTES_MAX
from ployz.manifest.mistakes import InvalidManifest, Mistake

_KIB = 1024


class Format(StrEnum):
    TOML = "toml"
    JSON = "json"


# Strings and comments of both formats. A quote that opens nothing whole swallows the rest: no parser gets past it.
_OPAQUE = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+"""'
    r"|'''(?:[^']++|'(?!''))*+'''"
    r'|"(?:[^"\\\n]++|\\.)*+"'
    r"|'[^'\n]*+'"
    r"|#[^\n]*+"
    r"|[\"'].*",
    re.DOTALL,
)
_BETWEEN_KEYS = re.compile(r"[\n=,\[\]{}]")
_BRACKET = re.compile(r"[\[\]{}]")


def read_tree(text: str | bytes, form: Format | None = None) -> object:
    """Dicts, lists and single values. None: JSON if it begins with '{', which no TOML does.

    Raises `InvalidManifest` with a single mistake: what cannot be parsed has no paths.
    """
    decoded = _decode(text)
    if form is None:
        form = Format.JSON if decoded.lstrip().startswith("{") else Format.TOML
    if _depth(decoded) > NESTING_MAX:
        raise _unreadable(f"is nested more than {NESTING_MAX} levels deep")
    try:
        return tomllib.loads(decoded) if form is Format.TOML else json.loads(decoded, object_pairs_hook=_object)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise _unreadable(f"is no {form.upper()}: {error}") from error
    except ValueError as error:  # Python's own bound: it reads no integer of more than 4300 digits
        raise _unreadable("has a number that is too long to read") from error


def _decode(text: str | bytes) -> str:
    # A character is a byte at least: a long text is refused before it is encoded.
    if len(text) > TEXT_BYTES_MAX:
        raise _too_large()
    try:
        encoded = text if isinstance(text, bytes) else text.encode()
        if len(encoded) > TEXT_BYTES_MAX:
            raise _too_large()
        return encoded.decode("utf-8-sig")
    except UnicodeError as error:
        raise _unreadable("is no UTF-8 text") from error


def _depth(text: str) -> int:
    """How deep the brackets go, or how many dots a TOML key has: either costs its square, or the stack.

    Outside of strings and comments; a text that is neither TOML nor JSON may count too many, and is refused anyway.
    """
    skeleton = _OPAQUE.sub("_", text)
    steps = (1 if bracket in "[{" else -1 for bracket in _BRACKET.findall(skeleton))
    dots = (key.count(".") for key in _BETWEEN_KEYS.split(skeleton))
    return max(chain(accumulate(steps), dots))


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    repeated = tuple(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
    return RepeatingObject(pairs, repeated) if repeated else dict(pairs)


def _too_large() -> InvalidManifest:
    return _unreadable(f"is larger than {TEXT_BYTES_MAX // _KIB} KiB")


def _unreadable(text: str) -> InvalidManifest:
    return InvalidManifest([Mistake("", f"the text {text}")])
