"""`ployzctl deploy -f FILE`."""

from __future__ import annotations

from ployz.actors.messages.operations import ApplyDeploy
from ployz.cli import watching
from ployz.cli.arguments import Parser
from ployz.cli.call import Call
from ployz.errors import Code, Refused


def add_arguments(parser: Parser) -> None:
    parser.add_manifest()
    parser.add_argument(
        "--remove", action="store_true", help="remove services that the manifest leaves out, without asking"
    )
    parser.add_yes()
    parser.add_message()


def run(call: Call) -> int:
    text = call.read(call.arguments.file)
    may_remove = call.arguments.remove or call.arguments.yes
    try:
        return watching.apply(call, ApplyDeploy(text, may_remove, call.arguments.message))
    except Refused as error:
        if error.code is not Code.REMOVES or not call.stdin.isatty():
            raise
        removed = error.problem.text
    call.confirm(removed, expected="yes")
    return watching.apply(call, ApplyDeploy(text, remove=True, message=call.arguments.message))
