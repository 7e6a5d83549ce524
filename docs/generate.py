"""Writes the pages of docs/reference from the code: `.venv/bin/python -m docs.generate`.

A page is a function that returns its text. A test compares each with the file, and says so when it is stale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from docs.events_page import events
from docs.manifest_page import manifest
from docs.told import about, about_attributes
from ployz.cli.main import EXIT_CODES
from ployz.cli.reference import reference as command_line
from ployz.errors import CleanupPending, Code, Corrupt, Failed, PloyzError, Refused, Unreachable, Usage

REFERENCE: Final = Path(__file__).parent / "reference"
CLASSES: Final[tuple[type[PloyzError], ...]] = (Refused, Usage, Failed, CleanupPending, Unreachable, Corrupt)


def errors() -> str:
    return "\n".join([*_errors(), ""])


def _errors() -> Iterator[str]:
    yield from (
        "# Errors and exit codes",
        "",
        "This page is generated from `ployz/errors.py` by `docs/generate.py`.",
        "",
        "An error goes to the standard error as `error [CODE]: text`, with what to do next on the line below.",
        'With `--json` it is `{"ok": false, "code": CODE, "message": text, …}`. Codes are stable: scripts may match on',
        "them. The text may change.",
        "",
        "## Exit codes",
        "",
        "| exit code | meaning |",
        "|---|---|",
    )
    yield from (f"| {number} | {meaning} |" for number, meaning in EXIT_CODES.items())
    yield from (
        "",
        "The exit code depends on what became of the command, not on the error code: `no-space` found by a plan is",
        "refused with 1, and `no-space` in the middle of a send is undone and ends with 3.",
        "",
        "| what became of it | exit code | which means |",
        "|---|---|---|",
    )
    yield from (f"| {cls.__name__} | {cls.exit_code} | {about(cls)} |" for cls in CLASSES)
    yield from ("", "## Codes", "", "| code | meaning |", "|---|---|")
    meanings = about_attributes(Code)
    yield from (f"| `{code}` | {meanings[code.name]} |" for code in Code)


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "cli.md": command_line,
    "errors.md": errors,
    "events.md": events,
    "manifest.md": manifest,
}


def main() -> None:
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
