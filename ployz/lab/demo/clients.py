"""The clients as the demo sees them: started on one machine, and what each of them was promised."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

from attrs import frozen

from ployz.lab.demo import client
from ployz.lab.namespaces import Namespaces
from ployz.lab.programs import failed, wait_until

END_S: Final = 10
FIRST_ROW_S: Final = 60


@frozen
class Client:
    number: int
    address: str
    process: subprocess.Popen[bytes]
    ledger: Path

    def rows(self) -> list[tuple[int, int]]:
        """Every acknowledged row: its number, and when, in microseconds."""
        lines = self.ledger.read_text().splitlines(keepends=True)
        return [(int(n), int(us)) for n, us in (line.split() for line in lines if line.endswith("\n"))]

    def writes_again(self, since_us: int) -> bool:
        rows = self.rows()
        return bool(rows) and rows[-1][1] > since_us

    def stop(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.wait(END_S) != 0:
            raise failed(f"client {self.number} died with {self.process.returncode}", f"Its record: {self.ledger}")


@frozen
class Clients:
    all: Sequence[Client]

    def acknowledged(self) -> set[tuple[int, int]]:
        """(client, row number) of every one."""
        return {(each.number, number) for each in self.all for number, _ in each.rows()}

    def wait_until_all_write(self) -> None:
        now_us = time.time_ns() // 1000
        wait_until(
            "rows of every client", lambda: all(each.writes_again(now_us) for each in self.all), deadline_s=FIRST_ROW_S
        )

    def longest_wait_ms(self, from_us: int, to_us: int) -> int:
        """Between two acknowledgements of the same client."""
        times = [[us for _, us in each.rows() if from_us <= us <= to_us] for each in self.all]
        return max(after - before for each in times for before, after in pairwise(each)) // 1000

    def stop(self) -> None:
        for each in self.all:
            each.stop()


@contextmanager
def running_clients(machine: Namespaces, addresses: Sequence[str], folder: Path) -> Iterator[Clients]:
    """One client for each of the addresses. Whatever happens, none is left running."""
    with ExitStack() as stack:
        found = []
        for number, address in enumerate(addresses, start=1):
            ledger = folder / f"client-{number}"
            argv = machine.enter([sys.executable, "-I", "-S", client.__file__, address, str(number)])
            with ledger.open("wb") as record:
                process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=record)
            stack.callback(_end, process)
            found.append(Client(number, address, process, ledger))
        yield Clients(found)


def _end(process: subprocess.Popen[bytes]) -> None:
    """It ends by itself when its input does: a signal would only reach the program that entered the machine."""
    if process.stdin is not None:
        process.stdin.close()
    process.wait(END_S)
