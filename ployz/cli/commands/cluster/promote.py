"""`ployzctl cluster promote MACHINE…`, or `--etcd FILE`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.authority import Promoted, PromoteFacts
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Heading
from ployz.cli.call import WORK_S, Call
from ployz.cli.commands.cluster.status import members
from ployz.errors import Code, Usage
from ployz.ids import MachineId


def add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "machines",
        nargs="*",
        type=named(MachineId),
        metavar="MACHINE",
        help="where a member of etcd is to run, which ployzd sees to: three machines, or five",
    )
    parser.add_argument(
        "--etcd",
        metavar="FILE",
        help="an etcd that somebody else runs, and how it is reached, as JSON: endpoints, user, password, ca_pem, "
        "certificate_pem, key_pem, prefix; - is the standard input",
    )
    parser.add_yes()


def run(call: Call) -> None:
    machines, file = tuple(call.arguments.machines), call.arguments.etcd
    if bool(machines) == (file is not None):
        raise Usage(Code.USAGE, "name the machines where etcd is to run, or give --etcd FILE", "")
    access = "" if file is None else call.read(file)
    call.confirm("The fact log moves to etcd, for good. Run it again if it is interrupted.", expected="move")
    promoted = call.node.ask("authority", PromoteFacts(access, machines), timeout_s=WORK_S)
    call.out.show("cluster.promoted", promoted, render)


def render(promoted: Promoted) -> Iterator[Block]:
    yield Heading(f"the facts are in etcd, which goes on after fact {promoted.position}")
    yield from members(promoted.members)
