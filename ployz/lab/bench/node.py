"""What the node and its command line cost while nothing happens."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Final

from ployz.lab.bench.report import Row
from ployz.lab.bench.stage import Stage
from ployz.lab.machine import PROGRAMS
from ployz.lab.programs import failed

RUNS: Final = 10
IDLE_S: Final = 5.0
"""After the cluster was made, for what it had to load and to free again."""


def measure_ls(stage: Stage) -> Sequence[Row]:
    """Wall time, from outside, with the way into the machine."""
    machine = stage.lab.running(stage.operator.at)

    def took_ms(argv: Sequence[str]) -> float:
        began_s = time.perf_counter()
        machine.run(argv)
        return (time.perf_counter() - began_s) * 1000

    took = [took_ms([str(PROGRAMS / "ployzctl"), "machine", "ls"]) for _ in range(RUNS)]
    return [Row.of_medians("ployzctl machine ls, 3 machines", "ms", took, at_most=200)]


def measure_memory(stage: Stage) -> Sequence[Row]:
    time.sleep(IDLE_S)
    found = [_resident_mib(stage, name) for name in stage.lab.state().machines]
    worst = max(found)
    return [
        Row("ployzd, idle, 3 machines: most resident memory", "MiB", worst, at_most=90, samples={"measured": found})
    ]


def _resident_mib(stage: Stage, name: str) -> float:
    running = stage.lab.running(name)
    pid = stage.lab.machine(name).node(running).pid()
    if pid is None:
        raise failed(f"{name}: ployzd does not run")
    status = (running.root / "proc" / str(pid) / "status").read_text()
    resident = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    if resident is None:
        raise failed(f"{name}: the kernel does not say how much memory {pid} has")
    return int(resident[1]) / 1024
