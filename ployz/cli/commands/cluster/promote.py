"""`ployzctl cluster promote --etcd FILE`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.authority import Promoted, PromoteFacts
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Heading
from ployz.cli.call import WORK_S, Call
from ployz.cli.commands.cluster.status import members


def add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--etcd",
        required=True,
        metavar="FILE",
        help="how etcd is reached, as JSON: endpoints, user, password, ca_pem, certificate_pem, key_pem, prefix; "
        "- is the standard input",
    )
    parser.add_yes()


def run(call: Call) -> None:
    access = call.read(call.arguments.etcd)
    call.confirm("The fact log moves to etcd, for good. Run it again if it is interrupted.", expected="move")
    promoted = call.node.ask("authority", PromoteFacts(access), timeout_s=WORK_S)
    call.out.show("cluster.promoted", promoted, render)


def render(promoted: Promoted) -> Iterator[Block]:
    yield Heading(f"the facts are in etcd, which goes on after fact {promoted.position}")
    yield from members(promoted.members)
