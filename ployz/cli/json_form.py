"""Values as JSON: `{ok, code, message, payload: {kind, …}}`, the one shape of everything that --json prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ployz.errors import Problem
from ployz.printable import escaped
from ployz.strict import make_converter

EXACT_IN_A_DOUBLE_MAX: Final = 2**53
"""JSON's numbers are doubles to most readers: ZFS guids are larger, and become text."""


def envelope(kind: str, payload: object, problem: Problem | None = None) -> str:
    """One line. `payload` is an attrs value or a mapping; `kind` names its shape and never changes."""
    fields = jsonable(payload if isinstance(payload, Mapping) else make_converter().unstructure(payload))
    line = json.dumps(
        {
            "ok": problem is None,
            "code": problem.code if problem else "ok",
            "message": problem.text if problem else "",
            "payload": {"kind": kind, **fields},
        },
        ensure_ascii=False,
    )
    return escaped(line)


def jsonable(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case bool():
            return value
        case int() if abs(value) > EXACT_IN_A_DOUBLE_MAX:
            return str(value)
        case list() | tuple():
            return [jsonable(each) for each in value]
        case Mapping():
            return {str(key): jsonable(each) for key, each in value.items()}
        case _:
            return value
