"""`ployzctl deploy preview -f FILE`."""

from __future__ import annotations

from ployz.actors.messages.operations import PreviewDeploy
from ployz.cli import previewing
from ployz.cli.arguments import Parser
from ployz.cli.call import Call


def add_arguments(parser: Parser) -> None:
    parser.add_manifest()


def run(call: Call) -> int:
    return previewing.preview(call, PreviewDeploy(call.read(call.arguments.file)))
