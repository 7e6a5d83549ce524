"""The two JSON documents that travel by hand between machines: the request for admission, and what answers it.

Read strictly, as everything from outside; also as --json wraps them.
"""

from __future__ import annotations

import json
from typing import TypeVar

from ployz.errors import Code, Refused
from ployz.strict import Malformed, make_converter, structure

T = TypeVar("T")


def read_document(text: str, kind: type[T], *, what: str) -> T:
    """`Refused` (USAGE): it is no such document."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(Code.USAGE, f"the {what} is no JSON: {error}", _advice(what)) from None
    if isinstance(plain, dict) and isinstance(plain.get("payload"), dict):
        plain = {key: value for key, value in plain["payload"].items() if key != "kind"}
    try:
        return structure(make_converter(), plain, kind)
    except Malformed as error:
        raise Refused(Code.USAGE, f"this is no {what}: {error}", _advice(what)) from None


def text_of(document: object) -> str:
    return json.dumps(make_converter().unstructure(document), indent=2) + "\n"


def _advice(what: str) -> str:
    maker = "machine init" if "request" in what else "machine admit"
    return f"It is what `ployzctl {maker}` printed."
