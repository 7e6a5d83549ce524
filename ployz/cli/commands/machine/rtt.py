"""`ployzctl machine rtt`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.distance import Distance, DistanceTable, ShowDistances
from ployz.cli import human
from ployz.cli.arguments import Parser, count
from ployz.cli.blocks import Block, Lines, Table
from ployz.cli.call import WORK_S, Call


def add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--samples", type=count, default=10, metavar="N", help="round trips of each pair (default: %(default)s)"
    )


def run(call: Call) -> None:
    table = call.node.ask("distance", ShowDistances(call.arguments.samples), timeout_s=WORK_S)
    call.out.show("machine.rtt", table, render)


def render(table: DistanceTable) -> Iterator[Block]:
    yield Table(
        columns=("FROM", "TO", "MEDIAN", "DEVIATION", "SAMPLES"),
        rows=tuple(_row(each) for each in table.rows),
        right=frozenset({"MEDIAN", "DEVIATION", "SAMPLES"}),
        empty="there is no other machine",
    )
    if table.silent:
        yield Lines.of([f"no answer from {human.listed(table.silent)}"])


def _row(row: Distance) -> tuple[str, ...]:
    if row.median_us < 0:
        return (row.source, row.target, "no answer", human.NOTHING, human.NOTHING)
    return (row.source, row.target, _ms(row.median_us), _ms(row.deviation_us), str(row.samples))


def _ms(us: int) -> str:
    return f"{us / 1000:.2f} ms"
