"""`ployzctl machine invite`: on the member that the newcomer will turn to."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.invites import InviteToken, MakeInvite
from ployz.cli import human
from ployz.cli.arguments import Parser, duration
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import ANSWER_S, Call


def add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--ttl", type=duration, default="15m", metavar="DURATION", help="how long it is open (default: %(default)s)"
    )


def run(call: Call) -> None:
    made = call.node.ask("invites", MakeInvite(call.arguments.ttl), timeout_s=ANSWER_S)
    call.out.show("machine.invite", made, render)
    call.out.note(
        f"For one machine, until {human.when(made.expires_ms)}. It is a secret, and is not shown again.\n"
        "On the newcomer: ployzctl machine join TOKEN --machine NAME --endpoint IP:PORT"
    )


def render(made: InviteToken) -> Iterator[Block]:
    yield Lines.of([made.token])
