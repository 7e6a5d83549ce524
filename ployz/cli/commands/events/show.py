"""`ployzctl events show SEQ`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.cli.arguments import Parser, count
from ployz.cli.blocks import Block
from ployz.cli.call import Call
from ployz.cli.event_source import source
from ployz.cli.views import event
from ployz.errors import Code, Refused
from ployz.events.display import record_to_display


def add_arguments(parser: Parser) -> None:
    parser.add_argument("seq", type=count, metavar="SEQ", help="its number in the log")
    parser.add_log_file()


def run(call: Call) -> None:
    seq: int = call.arguments.seq
    with source(call) as log:
        record = log.at(seq)
    if record is None:
        raise Refused(Code.UNKNOWN_EVENT_SEQ, f"the log has no event {seq}", "`ployzctl events tail` shows the newest.")

    def render(_: object) -> Iterator[Block]:
        return event.render(record)

    call.out.show("events.event", record_to_display(record), render)
