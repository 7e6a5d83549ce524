"""`ployzctl machine join`: on a newcomer, before there is a node, with what `machine invite` printed on a member."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import Call
from ployz.cli.setup import add_setup_arguments, next_steps, setup_of
from ployz.ids import Endpoint, MachineId, WireGuardKey

JOIN_S: Final = 30.0


def add_arguments(parser: Parser) -> None:
    parser.add_argument("token", metavar="TOKEN", help="what `machine invite` printed; - is the standard input")
    parser.add_argument(
        "--machine", type=named(MachineId), required=True, metavar="MACHINE", help="the name of this machine"
    )
    add_setup_arguments(parser)


def run(call: Call) -> None:
    from ployz.actors.messages.invites import UseInvite
    from ployz.install.requirements import require
    from ployz.install.settling import join, prepare_to_join
    from ployz.wire.invitation import from_token
    from ployz.wire.newcomer import ask_inviter

    arguments = call.arguments
    from_stdin = arguments.token == "-"  # noqa: S105 - no password: where to read it
    invitation = from_token(call.read("-") if from_stdin else arguments.token)
    setup = setup_of(arguments)
    require(setup)
    keys = prepare_to_join(setup, arguments.config, invitation.cluster)
    message = UseInvite(
        invite=invitation.invite,
        secret=invitation.secret,
        machine=setup.machine,
        endpoint=Endpoint(setup.endpoint),
        public_key=WireGuardKey(keys.public_key),
        certificate=keys.certificate,
    )
    welcome = ask_inviter(invitation, "invites", message, timeout_s=JOIN_S)
    joined = join(setup, arguments.config, welcome.cluster, welcome.way)
    shown = {"cluster": joined.cluster, "machine": joined.machine, "config": str(arguments.config)}
    call.out.show("machine.joined", shown, render)
    next_steps(call)


def render(joined: Mapping[str, object]) -> Iterator[Block]:
    yield Lines.of([f"{joined['machine']} is a member of {joined['cluster']}, by {joined['config']}"])
