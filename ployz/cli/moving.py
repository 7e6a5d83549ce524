"""The arguments of every `migrate` command: which service, and where to."""

from __future__ import annotations

from ployz.cli.arguments import Parser, named
from ployz.ids import MachineId, ServiceRef


def add_move_arguments(parser: Parser) -> None:
    parser.add_argument("service", type=named(ServiceRef.parse), metavar="NAMESPACE/SERVICE")
    parser.add_argument(
        "--to", type=named(MachineId), required=True, dest="to_machine", metavar="MACHINE", help="where it moves"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="read every file on both machines, and compare digests: before the cut-over what was sent warm, in it "
        "what changed since",
    )
