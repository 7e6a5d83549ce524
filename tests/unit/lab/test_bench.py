"""What a benchmark says about its numbers, and when there is nothing to measure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ployz.errors import Failed
from ployz.lab.bench.gaps import _batches
from ployz.lab.bench.report import Row, write_json


def log(*lines: tuple[int, int]) -> str:
    return "".join(f"{number:12d} {at_us:16d} xxx\n" for number, at_us in lines)


def test_a_ratio_is_the_median_of_neighbours_ratios_and_has_the_target() -> None:
    row = Row.of_medians("x", "ms", [100, 400, 330], [100, 200, 300], at_most=1.2)
    assert (row.measured, row.against, row.ok) == (330, 200, True)
    assert row.ratio == pytest.approx(1.1)


@pytest.mark.parametrize(("measured", "ok"), [(7.0, True), (7.1, False)])
def test_without_something_to_compare_with_the_number_itself_has_the_target(measured: float, ok: bool) -> None:
    assert Row.of_medians("x", "MiB", [measured], at_most=7.0).ok is ok
    assert Row.of_medians("x", "MiB", [measured]).ok is None


def test_every_measurement_is_in_the_json(tmp_path: Path) -> None:
    write_json([Row.of_medians("x", "/s", [1, 2, 3], at_least=5)], tmp_path / "found.json")
    (row,) = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert (row["what"], row["samples"], row["ok"]) == ("x", {"measured": [1, 2, 3]}, False)


def test_a_batch_counts_once_and_a_half_written_line_not_at_all() -> None:
    assert list(_batches(log((1, 10), (2, 10), (3, 20), (4, 35)) + "   5")) == [10, 20, 35]


def test_a_line_that_is_missing_is_a_failure_and_no_gap() -> None:
    with pytest.raises(Failed, match="line 4 where 3 is due"):
        list(_batches(log((1, 10), (2, 20), (4, 30), (5, 40))))
