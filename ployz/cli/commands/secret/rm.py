"""`ployzctl secret rm NAMESPACE/SECRET`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ployz.actors.messages.secrets import RemoveSecret
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import ANSWER_S, Call
from ployz.ids import SecretRef


def add_arguments(parser: Parser) -> None:
    parser.add_argument("secret", type=named(SecretRef.parse), metavar="NAMESPACE/SECRET")
    parser.add_yes()


def run(call: Call) -> None:
    secret: SecretRef = call.arguments.secret
    call.confirm(f"No machine can read {secret} from then on. What was given its value keeps it.", expected=str(secret))
    call.node.ask("secrets", RemoveSecret(secret), timeout_s=ANSWER_S)
    call.out.show("secret.removed", {"secret": str(secret)}, render)


def render(removed: Mapping[str, str]) -> Iterator[Block]:
    yield Lines.of([f"{removed['secret']} is removed"])
