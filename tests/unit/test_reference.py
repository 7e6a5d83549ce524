"""The pages of docs/reference say what the code says now, and leave nothing out."""

from __future__ import annotations

import pytest

from docs.generate import PAGES, REFERENCE
from docs.told import about_attributes
from ployz.errors import Code
from ployz.events.types import vocabulary


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_says_now(name: str) -> None:
    fresh = PAGES[name]() == (REFERENCE / name).read_text(encoding="utf-8")
    assert fresh, f"docs/reference/{name} is stale: run `.venv/bin/python -m docs.generate`"


def test_every_error_code_has_a_meaning() -> None:
    meanings = about_attributes(Code)
    assert [code.name for code in Code if not meanings[code.name]] == []


def test_every_event_is_in_the_reference() -> None:
    page = (REFERENCE / "events.md").read_text(encoding="utf-8")
    assert [name for name, version in vocabulary() if f"### {name}/{version}\n" not in page] == []


def test_every_page_of_the_reference_is_generated() -> None:
    assert sorted(path.name for path in REFERENCE.glob("*.md")) == sorted(PAGES)
