"""`ployzctl doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.doctor import Diagnose, Diagnosis
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import WORK_S, Call
from ployz.errors import Code, Problem, Refused
from ployz.plan.doctor.findings import Severity


def add_arguments(parser: Parser) -> None:
    pass


def run(call: Call) -> int:
    """A warning is something wrong, too: it gets the same exit code as an error."""
    diagnosis = call.node.ask("doctor", Diagnose(), timeout_s=WORK_S)
    problem = _problem(diagnosis)
    call.out.show("doctor.diagnosis", diagnosis, render, problem=problem)
    return Refused.exit_code if problem else 0


def render(diagnosis: Diagnosis) -> Iterator[Block]:
    if not diagnosis.findings:
        yield Lines.of([f"{_counted(len(diagnosis.machines), 'machine')} examined: nothing is wrong"])
    for each in diagnosis.findings:
        where = f"on {each.machine}" if each.machine else "in the cluster"
        yield Lines.of([f"{each.severity} {where}: {each.text} ({each.kind})", f"  {each.remedy}"])


def _problem(diagnosis: Diagnosis) -> Problem | None:
    said = [
        _counted(number, each.value)
        for each in Severity
        if (number := sum(found.severity is each for found in diagnosis.findings))
    ]
    if not said:
        return None
    return Problem(Code.UNHEALTHY, f"{' and '.join(said)} on {_counted(len(diagnosis.machines), 'machine')}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
