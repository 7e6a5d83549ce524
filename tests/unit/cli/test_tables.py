from __future__ import annotations

import io

from rich.console import Console

from ployz.cli.blocks import Table, harmless
from ployz.cli.plain import plain
from ployz.cli.styled import styled
from tests.unit.cli import samples

OPERATIONS = Table(
    columns=("OPERATION", "NAMESPACE", "STATUS", "STARTED", "REASON"),
    rows=(
        (samples.OPERATION, "production", "aborted", "2026-03-01 12:00:00Z", "start: it ended\nit said: no\nundone"),
    ),
)


def test_a_reason_with_line_breaks_is_one_row() -> None:
    shown = plain([harmless(OPERATIONS)]).splitlines()
    assert shown[1].endswith("start: it ended it said: no undone")
    assert len(shown) == 2


def test_an_operations_id_is_whole_on_a_narrow_terminal() -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=80)
    for each in styled([OPERATIONS]):
        console.print(each)
    assert samples.OPERATION in screen.getvalue()
