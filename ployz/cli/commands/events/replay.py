"""`ployzctl events replay`."""

from __future__ import annotations

from typing import Final

from ployz.cli.arguments import Parser
from ployz.cli.call import Call
from ployz.cli.event_source import Selection, source
from ployz.cli.views.replayed import render, replay
from ployz.events.replay import parse_until, up_to

FACTS: Final = Selection(stream="facts")
"""Where a machine's log has the cluster's facts."""


def add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--until", type=parse_until, metavar="SEQ|TIME", help="17, or 2026-03-01T12:00:00Z (default: now)"
    )
    parser.add_log_file()


def run(call: Call) -> None:
    with source(call) as log:
        replayed = replay(up_to(log.after(0, FACTS), call.arguments.until))
    call.out.show("events.replayed", replayed, render)
