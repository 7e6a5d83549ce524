"""`ployzctl cluster replace OLD NEW`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.authority import MemberReplaced, ReplaceMember
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block
from ployz.cli.call import WORK_S, Call
from ployz.cli.commands.cluster.status import members
from ployz.ids import MachineId


def add_arguments(parser: Parser) -> None:
    parser.add_argument("old", type=named(MachineId), metavar="OLD", help="runs a member of etcd, or has lost it")
    parser.add_argument("new", type=named(MachineId), metavar="NEW", help="runs one from then on")


def run(call: Call) -> None:
    arguments = call.arguments
    replaced = call.node.ask("authority", ReplaceMember(arguments.old, arguments.new), timeout_s=WORK_S)
    call.out.show("cluster.member_replaced", replaced, render)


def render(replaced: MemberReplaced) -> Iterator[Block]:
    yield from members(replaced.members)
