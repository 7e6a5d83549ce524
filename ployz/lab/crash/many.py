"""Many moves in a row, to and fro, with faults at random: whatever grows with them is a leak."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from attrs import define, field, frozen

from ployz.lab.crash import case, checks, freezing
from ployz.lab.crash.checks import Service
from ployz.lab.crash.faults import Cut, DockerDies, Fault
from ployz.lab.crash.matrix import Cast, Role
from ployz.lab.crash.record import Record, now_us, recording
from ployz.lab.crash.stage import Stage
from ployz.lab.programs import failed

MOVE_S: Final = 180.0
STRIKES_WITHIN_S: Final = 5.0
"""Of the beginning of a move, which takes about as long."""
UNDISTURBED: Final = 0.4
"""Of the moves."""
FILES_MORE: Final = 4
MEMORY_MORE_MIB: Final = 12.0
"""What a process may have more at the end than early on, when it had done everything once."""
PROCESSES_MORE: Final = 3
MOUNTS_MORE: Final = 2


@frozen
class NodeDies:
    """ployzd alone, and only ever on one machine: what others have open is compared over the whole run."""

    machine: str
    hits: tuple[Role, ...] = ()
    held_s: float = 1.0

    @property
    def kind(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"ployzd of {self.machine} killed"

    def do(self, stage: Stage, cast: Cast) -> None:  # noqa: ARG002 - a machine, whatever its part
        stage.node(self.machine).kill()

    def undo(self, stage: Stage, cast: Cast) -> None:  # noqa: ARG002 - as above
        stage.restart(self.machine)


@frozen
class Usage:
    """Of one machine at one time."""

    pid: int | None
    files: int
    memory_mib: float
    processes: int
    mounts: int


@define
class Many:
    stage: Stage
    folder: Path
    seed: int
    say: Callable[[str], None]
    usage: dict[str, list[Usage]] = field(factory=dict)

    def run(self, moves: int) -> None:
        """`Failed`: a move did not end in order, or something leaked."""
        dice = random.Random(self.seed)  # noqa: S311 - to be repeated with its seed
        slot = self.stage.slot(self.stage.machines[0])
        service = Service(slot.ipv4, slot.ipv6)
        last = self.stage.machines[-1]
        with recording(self.stage.lab.running(last), service.ipv4, self.folder / "answers") as record:
            began_us = now_us()
            for number in range(1, moves + 1):
                fault = None if dice.random() < UNDISTURBED else dice.choice(_faults(last))
                self._move(number, moves, record, service, fault, dice.uniform(0, STRIKES_WITHIN_S), dice)
            record.check(began_us)
            checks.verified(self.stage)
        if leaks := list(self.leaks()):
            raise failed("; ".join(leaks))

    def _move(  # one line of the run
        self,
        number: int,
        moves: int,
        record: Record,
        service: Service,
        fault: Fault | None,
        after_s: float,
        dice: random.Random,
    ) -> None:
        stage = self.stage
        stage.wait_until_reached()
        cast = Cast.of(stage, stage.slot(stage.machines[0]).machine)
        coordinator = cast.machine(dice.choice(list(Role)))
        began_s = time.monotonic()
        with stage.migrate(coordinator, cast.target) as moving:
            if fault is not None:
                time.sleep(after_s)
                try:
                    fault.do(stage, cast)
                    time.sleep(fault.held_s)
                finally:
                    fault.undo(stage, cast)
            moving.communicate(timeout=MOVE_S)
        problem = case.wait_until_in_order(stage, record, service)
        struck = f"{fault} after {after_s:.1f} s" if fault else "undisturbed"
        took_s = time.monotonic() - began_s
        self.say(f"move {number}/{moves}: {struck}, exit code {moving.returncode}, {took_s:.1f} s")
        if problem or (fault is None and moving.returncode != 0):
            raise failed(f"move {number}, {struck}: {problem or f'exit code {moving.returncode}'} (seed {self.seed})")
        for machine in stage.machines:
            self.usage.setdefault(machine, []).append(self._use(machine))

    def _use(self, machine: str) -> Usage:
        running = self.stage.lab.running(machine)
        files, memory_mib = self.stage.resources(machine)
        mounts = (running.root / "proc/1/mounts").read_text().count("\n")
        return Usage(self.stage.node(machine).pid(), files, memory_mib, freezing.processes(running), mounts)

    def leaks(self) -> Sequence[str]:
        return [text for machine, used in sorted(self.usage.items()) for text in leaks_of(machine, used)] + [
            f"{self._sum(-1, what)} {what} in all machines, and {self._sum(0, what)} at the beginning"
            for what, more in (("processes", PROCESSES_MORE), ("mounts", MOUNTS_MORE))
            if self._sum(-1, what) > self._sum(0, what) + more
        ]

    def _sum(self, at: int, what: str) -> int:
        """Over all machines: the service takes its own from one to the next."""
        return sum(getattr(used[at], what) for used in self.usage.values())


def leaks_of(machine: str, used: Sequence[Usage]) -> Sequence[str]:
    """Of a ployzd that ran through the later three quarters, by the medians of the second quarter and the last."""
    quarter = len(used) // 4
    if quarter == 0 or len({each.pid for each in used[quarter:]}) > 1:
        return []
    early, late = used[quarter : 2 * quarter], used[-quarter:]
    files = median(each.files for each in late) - median(each.files for each in early)
    memory_mib = median(each.memory_mib for each in late) - median(each.memory_mib for each in early)
    found = []
    if files > FILES_MORE:
        found.append(f"ployzd on {machine} has {files:.0f} files more open than at the beginning")
    if memory_mib > MEMORY_MORE_MIB:
        found.append(f"ployzd on {machine} has {memory_mib:.0f} MiB of memory more than at the beginning")
    return found


def _faults(last: str) -> Sequence[Fault]:
    return [
        Cut(Role.SOURCE, Role.TARGET, 3.0),
        Cut(Role.SOURCE, Role.THIRD, 3.0, one_way=True),
        Cut(Role.TARGET, Role.SOURCE, 3.0, one_way=True),
        Cut(Role.TARGET, Role.THIRD, 8.0),
        DockerDies(Role.SOURCE, 2.0),
        DockerDies(Role.TARGET, 2.0),
        NodeDies(last),
    ]
