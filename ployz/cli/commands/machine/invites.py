"""`ployzctl machine invites [ls]` and `ployzctl machine invites revoke INVITE`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.invites import InviteList, ListInvites, RevokeInvite
from ployz.cli import human
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Table
from ployz.cli.call import ANSWER_S, Call
from ployz.errors import Code, Usage
from ployz.ids import InviteId


def add_arguments(parser: Parser) -> None:
    parser.add_argument("action", nargs="?", choices=("ls", "revoke"), default="ls", help="ls, or revoke one")
    parser.add_argument("invite", nargs="?", type=named(InviteId), metavar="INVITE", help="which one is revoked: inv-…")


def run(call: Call) -> None:
    arguments = call.arguments
    if (arguments.action == "revoke") != (arguments.invite is not None):
        raise Usage(
            Code.USAGE, "revoke takes the id of one invitation, and ls takes none", "machine invites revoke inv-…"
        )
    if arguments.action == "revoke":
        call.node.ask("invites", RevokeInvite(arguments.invite), timeout_s=ANSWER_S)
    call.out.show("machine.invites", call.node.ask("invites", ListInvites(), timeout_s=ANSWER_S), render)


def render(listed: InviteList) -> Iterator[Block]:
    yield Table(
        columns=("INVITE", "STATE", "BY", "EXPIRES"),
        rows=tuple((each.invite, each.state, each.by, human.when(each.expires_ms)) for each in listed.invites),
        empty="there was no invitation yet",
    )
