"""Tables on a terminal of 80 columns, with names as long as they may be."""

from __future__ import annotations

import io
import re

import pytest
from attrs import evolve
from rich.console import Console

from ployz.actors.messages.operations import ListOperations, Progress
from ployz.actors.messages.services import ListServices, ListVolumes
from ployz.cli.blocks import Table, harmless
from ployz.cli.fitting import fit, shorten
from ployz.cli.plain import plain
from ployz.cli.styled import styled
from ployz.cli.transfers import numbers
from ployz.ids import NAME_LENGTH_MAX, MachineId, Namespace, ServiceName, ServiceRef, VolumeName, VolumeRef
from tests.unit.cli import samples
from tests.unit.cli.terminal import Screen, golden, ployzctl
from tests.unit.cli.test_golden import CASES

WIDTH = 80
LONG = "n" * (NAME_LENGTH_MAX - 1)
OPERATIONS = Table(
    columns=("OPERATION", "NAMESPACE", "STATUS", "STARTED", "REASON"),
    rows=(
        (samples.OPERATION, "production", "aborted", "2026-03-01 12:00:00Z", "start: it ended\nit said: no\nundone"),
    ),
)
TABLES = [
    name
    for name in CASES
    if name.endswith(("-ls", "-preview", "-rtt", "-invites", "-status", "-show", "-replay")) and "logs" not in name
]


def on_screen(table: Table) -> list[str]:
    screen = io.StringIO()
    console = Console(file=screen, width=WIDTH)
    for each in styled([harmless(table)], WIDTH):
        console.print(each, crop=False)
    return screen.getvalue().splitlines()


def test_a_reason_with_line_breaks_is_one_row() -> None:
    shown = plain([harmless(OPERATIONS)]).splitlines()
    assert shown[1].endswith("start: it ended it said: no undone")
    assert len(shown) == 2


def test_an_operations_id_is_whole_on_a_narrow_terminal() -> None:
    head, row, note = on_screen(OPERATIONS)
    assert samples.OPERATION in row
    assert max(len(each) for each in (head, row, note)) <= WIDTH
    assert "shortened" in note


@pytest.mark.parametrize("indent", [0, 2])
def test_names_as_long_as_they_may_be_take_one_line_each_and_keep_both_ends(indent: int) -> None:
    names = tuple((f"a{LONG}/b{LONG}/slot-{each}", f"machine-{LONG}"[:63], "1.0 MiB", "-") for each in range(3))
    table = Table(("SLOT", "MACHINE", "SIZE", "USED BY"), names, frozenset({"SIZE"}), indent=indent)
    head, *rows, _ = on_screen(table)
    assert len(rows) == 3
    assert all(len(each) <= WIDTH for each in (head, *rows))
    assert [f"slot-{each}" in row and "1.0 MiB" in row for each, row in enumerate(rows)] == [True] * 3


def test_what_a_table_can_spare_goes_before_a_word_is_shortened() -> None:
    wide = Table(("A", "B", "C"), (("a" * 40, "b" * 40, "c"),), spare=("B",))
    fitted = fit(wide, WIDTH)
    assert (fitted.table.columns, fitted.without, fitted.shortened) == (("A", "C"), ("B",), False)
    assert fit(wide, 90).without == ()


def test_a_sentence_loses_whole_words_and_a_name_its_middle() -> None:
    assert shorten("the machine does not answer", 20) == "the machine does…"
    assert shorten("production-database/slot-12", 15) == "product…slot-12"
    assert shorten("short", 5) == "short"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_fits_a_terminal_of_80_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held as they look, so that somebody reads them."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("NO_COLOR", "1")
    argv, answers = CASES[name]
    shown = "".join(_without_style(ployzctl(*argv, answers=answers, stdout=Screen()).out))
    assert all(len(line) <= WIDTH for line in shown.splitlines()), shown
    golden(f"80/{name}.txt", shown)


def _without_style(text: str) -> str:

    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def test_the_time_that_is_left_does_not_grow_without_bound() -> None:
    slow = Progress(1, 1, "pre-copy", "production/pgdata: sending round 1", 1, 1024, 1 << 40, 60_000)
    assert numbers(slow).endswith("more than 100 h left")


NAMESPACE, MACHINE = Namespace(f"n{LONG}"), MachineId(f"m{LONG}")
SERVICE = ServiceRef(NAMESPACE, ServiceName(f"s{LONG}"))
VOLUME = VolumeRef(NAMESPACE, VolumeName(f"v{LONG}"))
LONGEST = {
    "volume-ls": (
        ListVolumes,
        evolve(
            samples.VOLUMES,
            volumes=tuple(
                evolve(row, volume=VOLUME, owner=MACHINE, used_by=(SERVICE,)) for row in samples.VOLUMES.volumes
            ),
        ),
    ),
    "service-ls": (
        ListServices,
        evolve(
            samples.SERVICES,
            slots=tuple(evolve(row, service=SERVICE, machine=MACHINE) for row in samples.SERVICES.slots),
        ),
    ),
    "operation-ls": (
        ListOperations,
        evolve(
            samples.OPERATIONS,
            operations=tuple(
                evolve(row, deploy=evolve(row.deploy, namespace=NAMESPACE, coordinator=MACHINE))
                for row in samples.OPERATIONS.operations
            ),
        ),
    ),
}


@pytest.mark.parametrize("name", LONGEST)
def test_with_names_of_full_length_each_row_is_still_one_line_of_80(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    message, answer = LONGEST[name]
    shown = _without_style(ployzctl(*CASES[name][0], answers={message: answer}, stdout=Screen()).out)
    golden(f"80/{name}-longest.txt", shown)
    rows = shown.splitlines()
    assert len(rows) == 4  # the columns, two rows, and what is left out
    assert max(map(len, rows)) <= WIDTH
