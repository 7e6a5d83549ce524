"""A drain as tables: what would go where, and what each departure took in the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ployz.actors.messages.drain import DepartureRow, DrainPlan, Staying
from ployz.cli import human
from ployz.cli.blocks import Block, Heading, Lines, Table
from ployz.cli.draining import Departed, Drained
from ployz.errors import Code, Problem


def render_plan(plan: DrainPlan) -> Iterator[Block]:
    yield Heading(f"drain {plan.machine}: {_operations(len(plan.going))}")
    yield Table(
        columns=("SERVICES", "SLOTS", "TO", "SIZE", "FIRST SEND", "GAP"),
        spare=("FIRST SEND", "SLOTS"),
        rows=tuple(_planned(row) for row in plan.going),
        right=frozenset({"SLOTS", "SIZE", "FIRST SEND", "GAP"}),
        empty=f"{plan.machine} has nothing that could leave it",
        indent=2,
    )
    yield from _staying(plan.staying)


def _staying(staying: Sequence[Staying]) -> Iterator[Block]:
    if staying:
        yield Heading("Stays")
        lines: list[str] = []
        for each in staying:
            lines.append(f"{each.subject} {each.reason}".lstrip())
            lines += [f"     {each.reason.advice}"] if each.reason.advice else []
        yield Lines.of(lines, indent=2)


def _operations(number: int) -> str:
    return {0: "nothing to move", 1: "1 operation"}.get(number, f"{number} operations")


def _planned(row: DepartureRow) -> tuple[str, ...]:
    return (
        row.departure.subject,
        str(len(row.slots)),
        _to(row),
        human.size(row.size_bytes) if row.departure.volumes else human.NOTHING,
        human.size(row.first_send_bytes) if row.departure.volumes else human.NOTHING,
        f"about {human.duration(row.predicted_cutover_ms)}" if row.predicted_cutover_ms else "none",
    )


def _to(row: DepartureRow) -> str:
    """`machine-b, machine-c; agent ends`."""
    targets = sorted({each.to_machine for each in row.slots if each.to_machine is not None})
    ending = sorted({each.slot.service.service for each in row.slots if each.to_machine is None})
    ends = f"{', '.join(ending)} ends there" if ending else ""
    return "; ".join(each for each in (", ".join(targets or row.departure.to_machines), ends) if each) or human.NOTHING


def obstacle(plan: DrainPlan) -> Problem | None:
    """Why the exit code is not 0 although nothing failed."""
    match plan.staying:
        case ():
            return None
        case (one,):
            return one.reason
        case several:
            return Problem(
                Code.BLOCKED, f"{len(several)} things keep something on {plan.machine}", "They are listed above."
            )


def render_result(drained: Drained) -> Iterator[Block]:
    moved = sum(each.exit_code == 0 for each in drained.departed)
    yield Heading(f"drained {drained.machine}: {moved} of {_operations(len(drained.departed))} done")
    yield Table(
        columns=("SERVICES", "TO", "SENT", "TIME", "GAP", "PREDICTED", "OPERATION", "ENDED"),
        spare=("PREDICTED", "SENT", "TIME"),
        rows=tuple(_ended(each) for each in drained.departed),
        right=frozenset({"SENT", "TIME", "GAP", "PREDICTED"}),
        empty="there was nothing to move",
        indent=2,
    )
    yield from _staying(drained.staying)


def _ended(departed: Departed) -> tuple[str, ...]:
    row, result = departed.row, departed.result
    sent_bytes = sum(each.sent_bytes for each in result.rounds) if result else 0
    predicted_ms = result.predicted_cutover_ms if result else row.predicted_cutover_ms
    return (
        row.departure.subject,
        _to(row),
        human.size(sent_bytes) if sent_bytes else human.NOTHING,
        human.duration(result.duration_ms) if result else human.NOTHING,
        human.duration(result.cutover_ms) if result and result.cutover_ms else human.NOTHING,
        human.duration(predicted_ms) if predicted_ms else human.NOTHING,
        departed.operation_id or human.NOTHING,
        departed.problem.code if departed.problem else "moved",
    )
