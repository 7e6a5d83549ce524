"""What each file of tests costs, in seconds of CPU: a table that is committed, and the pytest plugin that measures it.

`bin/check --measure` writes the table anew. It lists what costs half a second or more, in halves of a second: what a
machine's mood changes is not worth a line of a diff.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final

import pytest

TABLE: Final = Path(__file__).with_name("costs.txt")
STEP_S: Final = 0.5


def read_costs(text: str) -> dict[str, float]:
    """A line is a path and its seconds."""
    return {path: float(cost_s) for path, cost_s in (line.split() for line in text.splitlines())}


def write_costs(measured: Mapping[str, float]) -> str:
    steps = {path: math.floor(cost_s / STEP_S + 0.5) for path, cost_s in measured.items()}
    return "".join(f"{path} {steps[path] * STEP_S:g}\n" for path in sorted(steps) if steps[path] > 0)


class Measuring:
    """A plugin: what every test that ran has cost, set-up and processes that it started included."""

    def __init__(self) -> None:
        self.measured: defaultdict[str, float] = defaultdict(float)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        before_s = sum(os.times()[:4])
        try:
            return (yield)
        finally:
            self.measured[item.nodeid.partition("::")[0]] += sum(os.times()[:4]) - before_s
