"""What the client outside was promised: every acknowledged write, and when."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

from attrs import define

from ployz.lab.crash import client
from ployz.lab.namespaces import Namespaces
from ployz.lab.programs import failed

END_S: Final = 10


@define
class Record:
    """One process writes the file, and this reads on where it stopped."""

    ledger: Path
    writes: list[tuple[int, int]]
    """(count, microseconds since 1970), in the order of the answers."""
    _read_bytes: int = 0

    def read(self) -> None:
        with self.ledger.open("rb") as file:
            file.seek(self._read_bytes)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            count, at_us = line.split()
            self.writes.append((int(count), int(at_us)))

    def wrote_since(self, since_us: int) -> bool:
        self.read()
        return bool(self.writes) and self.writes[-1][1] > since_us

    def check(self, from_us: int) -> None:
        """From then on. The counter only rises: a lost write would be counted, and acknowledged, a second time."""
        self.read()
        since = [(count, at_us) for count, at_us in self.writes if at_us >= from_us]
        for (before, _), (after, at_us) in pairwise(since):
            if after <= before:
                raise failed(f"an acknowledged write was lost: {after} was answered after {before}, at {at_us} us")

    def longest_gap_s(self, from_us: int, to_us: int) -> float:
        """Without an acknowledgement, between the two."""
        self.read()
        times = [from_us, *(at_us for _, at_us in self.writes if from_us < at_us < to_us), to_us]
        return max((after - before for before, after in pairwise(times)), default=0) / 1e6


@contextmanager
def recording(machine: Namespaces, address: str, ledger: Path) -> Iterator[Record]:
    argv = machine.enter([sys.executable, "-I", "-S", client.__file__, address])
    with ledger.open("wb") as file:
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=file)
    try:
        yield Record(ledger, [])
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(END_S)


def now_us() -> int:
    return time.time_ns() // 1000
