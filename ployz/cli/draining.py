"""Draining a machine from the command line: an operation for each departure, so many at a time, watched together.

The command is what goes on: ended, it begins nothing more, and given again it begins with what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import define, field, frozen

from ployz.actors.messages.drain import DepartureRow, DrainPlan, Staying
from ployz.actors.messages.operations import ApplyDeparture, Progress, Result, WatchOperation
from ployz.cli.call import PLAN_S, Call, Interrupted
from ployz.cli.transfers import Transfers, describe
from ployz.errors import Code, PloyzError, Problem, Unreachable
from ployz.ids import MachineId, Namespace, OperationId

POLL_S: Final = 0.5
"""How long the node waits for news of one operation, while several are watched in turn."""
POLL_GRACE_S: Final = 10.0


@frozen
class DrainProgress:
    subject: str
    operation_id: OperationId
    progress: Progress


@frozen
class Departed:
    """How one departure ended. Without a result it was refused before it began."""

    row: DepartureRow
    operation_id: OperationId | None
    result: Result | None
    problem: Problem | None
    exit_code: int


@frozen
class Drained:
    machine: MachineId
    departed: tuple[Departed, ...]
    staying: tuple[Staying, ...] = ()
    """What no operation was begun for."""


@define
class _Going:
    row: DepartureRow
    operation_id: OperationId
    after: int = 0


@define
class Draining:
    """One namespace at a time has one operation: its lock would refuse a second."""

    call: Call
    machine: MachineId
    parallel: int
    _waiting: list[DepartureRow] = field(factory=list, init=False)
    _going: list[_Going] = field(factory=list, init=False)
    _departed: list[Departed] = field(factory=list, init=False)
    _way: str = field(default="--migrate", init=False)

    def run(self, plan: DrainPlan) -> Drained:
        self._waiting = list(plan.going)
        self._way = "--gone" if any(each.departure.gone for each in plan.going) else "--migrate"
        try:
            with self.call.out.status() as area:
                transfers = Transfers(area)
                while self._waiting or self._going:
                    self._begin()
                    for going in list(self._going):
                        self._look(going, transfers)
                for line in transfers.finish():
                    self.call.out.item("operation.progress", line, describe(line))
        except KeyboardInterrupt:
            raise self._paused() from None
        except Unreachable as error:
            raise self._lost(error) from error
        return Drained(self.machine, tuple(self._departed), plan.staying)

    def _begin(self) -> None:
        busy = {each.row.departure.namespace for each in self._going}
        for row in _first_of_each(self._waiting, busy):
            if len(self._going) >= self.parallel:
                return
            self._waiting.remove(row)
            try:
                accepted = self.call.node.ask(
                    "operations", ApplyDeparture(self.machine, row.departure), timeout_s=PLAN_S
                )
            except Unreachable:
                raise
            except PloyzError as error:
                self._end(Departed(row, None, None, error.problem, error.exit_code))
            else:
                self._going.append(_Going(row, accepted.operation_id))
                subject = row.departure.subject
                self.call.out.item("operation.accepted", accepted, f"{subject}: operation {accepted.operation_id}")

    def _look(self, going: _Going, transfers: Transfers) -> None:
        message = WatchOperation(going.operation_id, going.after, POLL_S)
        page = self.call.node.ask("operations", message, timeout_s=POLL_S + POLL_GRACE_S)
        subject = going.row.departure.subject
        for progress in page.progress:
            going.after = progress.seq
            for line in transfers.take(progress):
                told = DrainProgress(subject, going.operation_id, line)
                self.call.out.item("drain.progress", told, f"{subject}: {describe(line)}")
        if page.result is not None and not page.progress:
            self._going.remove(going)
            result = page.result
            self._end(Departed(going.row, going.operation_id, result, result.problem, result.exit_code))

    def _end(self, departed: Departed) -> None:
        self._departed.append(departed)
        subject = departed.row.departure.subject
        words = f"not moved {departed.problem}" if departed.exit_code and departed.problem else "moved"
        self.call.out.item("drain.departed", departed, f"{subject}: {words}")

    # ------------------------------------------------------------ ended before its end

    def _paused(self) -> Interrupted:
        return Interrupted(
            Code.INTERRUPTED,
            f"the drain of {self.machine} is paused: nothing more is begun. {self._what_goes_on()}",
            self._how_to_go_on(),
        )

    def _lost(self, error: PloyzError) -> Unreachable:
        return Unreachable(
            Code.OUTCOME_UNKNOWN,
            f"the node was lost while {self.machine} was drained ({error.problem.text}). {self._what_goes_on()}",
            self._how_to_go_on(),
        )

    def _what_goes_on(self) -> str:
        if not self._going:
            return "Nothing goes on"
        names = ", ".join(f"{each.row.departure.subject} ({each.operation_id})" for each in self._going)
        return f"What was begun goes on to its end: {names}"

    def _how_to_go_on(self) -> str:
        again = f"`ployzctl machine drain {self.machine} {self._way}` begins with what is left then."
        return f"{again} `ployzctl operation watch ID` shows one, `ployzctl operation abort ID` has it undone."


def _first_of_each(waiting: Sequence[DepartureRow], busy: set[Namespace]) -> Iterator[DepartureRow]:
    """The next of each namespace in which nothing goes on."""
    taken = set(busy)
    for row in list(waiting):
        if row.departure.namespace not in taken:
            taken.add(row.departure.namespace)
            yield row
