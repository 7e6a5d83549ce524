"""Nothing that others say is obeyed by a terminal, stays so in a fact, or looks like a line of ours."""

from __future__ import annotations

import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ployz.cli.blocks import Fields, Heading, Lines, Table
from ployz.cli.json_form import envelope
from ployz.cli.output import Output
from ployz.errors import Code, Failed
from ployz.printable import escaped, one_line, printable, quoted

EVIL = "ready\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\rfake\nmachine-x  active\u2028\x08\x7f"


def obeyed(text: str) -> list[str]:
    return [each for each in text if unicodedata.category(each) in {"Cc", "Zl", "Zp", "Cs"} and each not in "\n\t"] + [
        each for each in text if unicodedata.bidirectional(each) in {"RLO", "LRO", "RLE", "LRE", "RLI", "LRI", "PDF"}
    ]


@given(st.text() | st.text(alphabet=st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Cs"])))
def test_no_text_is_obeyed(text: str) -> None:
    assert not obeyed(printable(text))
    assert not obeyed(one_line(text))
    assert "\n" not in one_line(text)
    assert all(line.startswith("  | ") for line in quoted(text).split("\n"))
    printable(text).encode()


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"])))
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert printable(text) == one_line(text) == text


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_json_means_the_same(text: str) -> None:
    written = escaped(json.dumps(text, ensure_ascii=False))
    assert json.loads(written) == text
    assert not obeyed(written)


def test_what_an_error_quotes_is_harmless_before_it_becomes_a_fact() -> None:
    error = Failed(Code.NOT_READY, f"it said {EVIL}", EVIL)
    assert not obeyed(error.problem.text + error.problem.advice + str(error))
    assert "\\x1b]0;owned\\x07" in error.problem.text


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("terminal", [False, True])
def test_no_way_to_the_terminal_is_left_open(as_json: bool, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    output = Output(out, err, as_json=as_json)
    monkeypatch.setattr(out, "isatty", lambda: terminal)
    blocks = (Heading(EVIL), Lines((EVIL,)), Fields(((EVIL, EVIL),)), Table(("a",), ((EVIL,),)))
    output.show("x", {"text": EVIL}, lambda _: blocks)
    output.item("x", {"text": EVIL}, EVIL)
    output.document("x", {"text": EVIL}, EVIL)
    output.note(EVIL)
    output.prompt(EVIL)
    output.fail(Failed(Code.NOT_READY, EVIL, EVIL))
    own = {"\x1b"} if terminal and not as_json else set()  # rich's own, for bold
    assert not set(obeyed(out.getvalue())) - own
    assert "\x1b]0" not in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()
    assert not obeyed(err.getvalue())


def test_a_cell_with_a_line_feed_does_not_tear_its_table() -> None:
    out = io.StringIO()
    Output(out, out, as_json=False).show("x", {}, lambda _: (Table(("machine",), (("a\nb  active",),)),))
    assert out.getvalue() == "machine\na b  active\n"


def test_raw_is_what_was_asked_for() -> None:
    out = io.StringIO()
    Output(out, out, as_json=False).document("x", {}, "\x1b[31mred\n", raw=True)
    assert out.getvalue() == "\x1b[31mred\n"


def test_an_envelope_is_one_harmless_line() -> None:
    assert not obeyed(envelope("x", {"text": EVIL}))
