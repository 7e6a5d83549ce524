"""How long nothing was written, by the writer's own log: the cut-over as the application saw it.

Every line has a number and the time of its batch. All machines of a lab are on one host, and have one clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from attrs import frozen

from ployz.lab.namespaces import Namespaces
from ployz.lab.programs import failed, wait_until

READ_S = 60
RESUMED_S = 30


@frozen
class WriterLog:
    """A writer's log from some place on: whatever machine it lies on, that place is the same."""

    path: str
    after_bytes: int

    @classmethod
    def at_its_end(cls, machine: Namespaces, path: str) -> WriterLog:
        return cls(path, _size(machine, path))

    def longest_gap_ms(self, machine: Namespaces) -> float:
        """Once it is being written on this machine. `Failed` if a line is missing: then there is nothing to measure."""
        size = _size(machine, self.path)
        wait_until("the writer goes on", lambda: _size(machine, self.path) > size, deadline_s=RESUMED_S)
        text = machine.run(["tail", "-c", f"+{self.after_bytes + 1}", self.path], deadline_s=READ_S)
        times = list(_batches(text))
        return max(after - before for before, after in pairwise(times)) / 1000


def _size(machine: Namespaces, path: str) -> int:
    return int(machine.run(["stat", "-c", "%s", path]))


def _batches(text: str) -> Iterator[int]:
    """The time of each batch, in microseconds."""
    expected = None
    last_us = 0
    for line in text.splitlines()[:-1]:  # the last one may be half written
        number, at_us = (int(word) for word in line.split()[:2])
        if expected is not None and number != expected:
            raise failed(f"the writer's log goes on with line {number} where {expected} is due: a write was lost")
        expected = number + 1
        if at_us != last_us:
            yield at_us
        last_us = at_us
