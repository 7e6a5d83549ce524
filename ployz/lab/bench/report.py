"""What a benchmark found: rows of one table, and the same as JSON with every single measurement."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from attrs import asdict, field, frozen

TABLE_COLUMNS = 140
"""Also where the output goes to a file: no row is broken."""


@frozen
class Row:
    """One thing measured. With `against` it is the ratio that has a target, else the number itself."""

    what: str
    unit: str
    measured: float
    against: float | None = None
    """The same by hand, or whatever `what` names after its slash; from this very run."""
    ratio: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    samples: Mapping[str, Sequence[float]] = field(factory=dict)
    """What the medians are of."""

    @classmethod
    def of_medians(
        cls,
        what: str,
        unit: str,
        measured: Sequence[float],
        against: Sequence[float] | None = None,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> Row:
        """The ratio is the median of the ratios of neighbours, which had the same noise around them."""
        if against is None:
            return cls(what, unit, median(measured), None, None, at_most, at_least, {"measured": measured})
        ratio = median(each / other for each, other in zip(measured, against, strict=True))
        samples = {"measured": measured, "against": against}
        return cls(what, unit, median(measured), median(against), ratio, at_most, at_least, samples)

    @property
    def ok(self) -> bool | None:
        """`None`: it has no target."""
        if self.at_most is None and self.at_least is None:
            return None
        compared = self.measured if self.ratio is None else self.ratio
        return (self.at_most is None or compared <= self.at_most) and (
            self.at_least is None or compared >= self.at_least
        )

    @property
    def target(self) -> str:
        unit = "x" if self.against is not None else self.unit
        if self.at_most is not None:
            return f"≤ {self.at_most:g} {unit}"
        return f"≥ {self.at_least:g} {unit}" if self.at_least is not None else ""


def show(rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "measured", "against", "ratio", "target", "ok?", title="benchmarks")
    for name in ("measured", "against", "ratio"):
        next(column for column in table.columns if column.header == name).justify = "right"
    for row in rows:
        table.add_row(
            row.what,
            f"{row.measured:,.1f} {row.unit}",
            "" if row.against is None else f"{row.against:,.1f} {row.unit}",
            "" if row.ratio is None else f"{row.ratio:.2f}",
            row.target,
            {None: "", True: "[green]yes[/]", False: "[red]NO[/]"}[row.ok],
        )
    Console(width=TABLE_COLUMNS).print(table)


def write_json(rows: Sequence[Row], path: Path) -> None:
    found = [asdict(row) | {"ok": row.ok} for row in rows]
    path.write_text(json.dumps({"at": int(time.time()), "rows": found}, indent=2) + "\n")
