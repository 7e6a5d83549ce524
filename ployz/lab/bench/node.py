"""What the node and its command line cost while nothing happens."""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Sequence
from typing import Final

from ployz.lab.bench.report import Row
from ployz.lab.bench.stage import Stage
from ployz.lab.machine import PROGRAMS
from ployz.lab.programs import failed

RUNS: Final = 10
LS_PROCESSOR_MS_MAX: Final = 120.0
RESIDENT_MIB_MAX: Final = 70.0
IDLE_S: Final = 5.0
"""After the cluster was made, for what it had to load and to free again."""


def measure_ls(stage: Stage) -> Sequence[Row]:
    """From outside, with the way into the machine: on a clock, and in processor time, which is what it costs."""
    machine = stage.lab.running(stage.operator.at)

    def took_ms() -> tuple[float, float]:
        began_s, began_processor_s = time.perf_counter(), _childrens_s()
        machine.run([str(PROGRAMS / "ployzctl"), "machine", "ls"])
        return (time.perf_counter() - began_s) * 1000, (_childrens_s() - began_processor_s) * 1000

    took, processor = zip(*(took_ms() for _ in range(RUNS)), strict=True)
    return [
        Row.of_medians("ployzctl machine ls, 3 machines", "ms", took, at_most=200),
        Row.of_medians("ployzctl machine ls, 3 machines, of processor", "ms", processor, at_most=LS_PROCESSOR_MS_MAX),
    ]


def _childrens_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure_memory(stage: Stage) -> Sequence[Row]:
    time.sleep(IDLE_S)
    found = [_resident_mib(stage, name) for name in stage.lab.state().machines]
    worst = max(found)
    return [
        Row(
            "ployzd, idle, 3 machines: most resident memory",
            "MiB",
            worst,
            at_most=RESIDENT_MIB_MAX,
            samples={"measured": found},
        )
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
