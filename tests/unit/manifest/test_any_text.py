"""Whatever the text, the answer is a manifest or every mistake; never another exception."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ployz.manifest import Format, InvalidManifest, Manifest, parse
from tests.unit.manifest.examples import DATABASE

BOUNDED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = sorted({word.strip("\"',=[]{}") for word in DATABASE.split()} - {""})
TOKENS = [
    *WORDS,
    *'"{}[]=.,:#\\',
    "'",
    "\n",
    '"""',
    "''",
    "[[",
    "]]",
    "nan",
    "-1",
    "0",
    "1e999",
    "null",
    "\0",
    "\x7f",
    "\ud800",
]


def is_answered(text: str | bytes, form: Format | None = None) -> bool:
    try:
        return isinstance(parse(text, form), Manifest)
    except InvalidManifest as refusal:
        return len(refusal.mistakes) > 0


@BOUNDED
@given(st.text() | st.binary(), st.sampled_from([None, *Format]))
def test_any_text_is_answered(text: str | bytes, form: Format | None) -> None:
    assert is_answered(text, form)


@BOUNDED
@given(st.lists(st.sampled_from(TOKENS)).map(" ".join), st.sampled_from([None, *Format]))
def test_any_sequence_of_tokens_is_answered(text: str, form: Format | None) -> None:
    assert is_answered(text, form)


@BOUNDED
@given(st.integers(0, len(DATABASE)), st.integers(0, 30), st.sampled_from(TOKENS))
def test_a_good_text_with_a_damaged_place_is_answered(start: int, length: int, token: str) -> None:
    assert is_answered(DATABASE[:start] + token + DATABASE[start + length :])


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner, max_size=5),
    max_leaves=25,
)


@BOUNDED
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(["namespace", "volumes", "services", "intent"], _VALUES)))
def test_any_tree_of_json_is_answered(tree: dict[str, object]) -> None:
    assert is_answered(json.dumps(tree))
