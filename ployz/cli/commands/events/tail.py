"""`ployzctl events tail`."""

from __future__ import annotations

from collections.abc import Iterable

from ployz.cli.arguments import Parser, count, named
from ployz.cli.call import Call
from ployz.cli.event_source import NodeLog, Selection, source
from ployz.cli.views.event import line
from ployz.errors import Code, Usage
from ployz.events.display import record_to_display
from ployz.events.log import Record
from ployz.ids import OperationId


def add_arguments(parser: Parser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="print what comes, until Ctrl-C")
    parser.add_argument("--stream", metavar="S", help="only this stream: facts, node, volume/production/pgdata, …")
    parser.add_argument("--operation", type=named(OperationId), metavar="ID", help="only of this operation")
    parser.add_argument(
        "--limit", type=count, default=20, metavar="N", help="the newest N events first (default: %(default)s)"
    )
    parser.add_log_file()


def run(call: Call) -> None:
    arguments = call.arguments
    selection = Selection(arguments.stream, arguments.operation)
    if not arguments.follow:
        with source(call) as log:
            _print(call, log.newest(arguments.limit, selection))
    elif arguments.file is not None or arguments.state_dir is not None:
        raise Usage(Code.USAGE, "an exported log does not grow: leave out -f")
    else:
        node = NodeLog(call.node)
        head = node.head()
        newest = node.newest(arguments.limit, selection)
        _print(call, newest)
        _print(call, node.follow(max(head, newest[-1].seq if newest else 0), selection))


def _print(call: Call, records: Iterable[Record]) -> None:
    for record in records:
        call.out.item("events.event", record_to_display(record), line(record))
