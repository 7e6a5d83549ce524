"""Trees as TOML text."""

from __future__ import annotations

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from ployz.manifest.toml_text import WIDTH, toml_text

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_TREES = st.dictionaries(
    _TEXTS,
    st.recursive(
        st.booleans() | st.integers(-(2**63), 2**63 - 1) | _TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(_TREES)
def test_any_tree_is_read_back_as_it_was(tree: dict[str, object]) -> None:
    assert tomllib.loads(toml_text(tree)) == tree


def test_every_character_survives_but_halves_of_surrogates() -> None:
    everything = "".join(chr(point) for point in (*range(0x300), 0x2028, 0x2029, 0xFEFF, 0xFFFF, 0x10FFFF))
    assert tomllib.loads(toml_text({everything: everything})) == {everything: everything}


def test_what_is_too_long_for_a_line_is_a_list_over_lines_or_a_table_with_a_header() -> None:
    words, pairs = ["word" * 5] * 10, {f"key-{number}": "v" * 20 for number in range(10)}
    text = toml_text({"service": [{"name": "db", "template": {"env": pairs, "image": "i", "command": words}}]})
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("[")] == [
        "[[service]]",
        "[service.template]",
        "[service.template.env]",
    ]
    assert "command = [" in lines
    assert max(map(len, lines)) <= WIDTH
