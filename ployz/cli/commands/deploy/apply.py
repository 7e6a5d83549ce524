"""`ployzctl deploy -f FILE`."""

from __future__ import annotations

from ployz.actors.messages.operations import ApplyDeploy
from ployz.cli import watching
from ployz.cli.arguments import Parser
from ployz.cli.call import Call


def add_arguments(parser: Parser) -> None:
    parser.add_manifest()


def run(call: Call) -> int:
    return watching.apply(call, ApplyDeploy(call.read(call.arguments.file)))
