"""ployzctl: finds the command, carries it out, and turns whatever happened into words and an exit code.

No exception reaches an operator as a traceback, unless PLOYZ_DEBUG asks for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Final, TextIO

from ployz.cli.arguments import HELP, PROGRAM, Parser, did_you_mean, take_globals
from ployz.cli.call import Call, Interrupted, Node
from ployz.cli.output import Output
from ployz.cli.tree import GROUPS, Group, load
from ployz.errors import Code, PloyzError, Usage
from ployz.surroundings import SOCKET_PATH

BUG_EXIT: Final = 70  # EX_SOFTWARE of sysexits.h
BROKEN_PIPE_EXIT: Final = 141  # 128 and SIGPIPE, as a shell counts
EXIT_CODES: Final = {
    0: "done",
    1: "refused: nothing was changed",
    2: "usage: the command line is wrong",
    3: "failed before the commit, and undone",
    4: "committed; clean-up is pending, and the command that finishes it is named",
    5: "no answer from the node or a machine, or an outcome that is not known",
    BUG_EXIT: "a mistake in ployz itself; with PLOYZ_DEBUG=1 in the environment it prints where",
    130: "interrupted with Ctrl-C; an operation that was begun goes on",
    BROKEN_PIPE_EXIT: "whoever read the output went away",
}
REPORT: Final = "This is a mistake in ployz. Run it again with PLOYZ_DEBUG=1, and report all of what it prints."


class Bug(PloyzError):
    """An exception that nobody expected, for the operator's eyes."""

    exit_code = BUG_EXIT


def main() -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without some letter still gets the rest
    try:
        return run(sys.argv[1:], sys.stdin, sys.stdout, sys.stderr)
    except BrokenPipeError:
        # Whatever is still buffered must not raise again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE_EXIT


def run(argv: Sequence[str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """One command line, to its exit code."""
    out = Output(stdout, stderr, as_json="--json" in argv)
    try:
        return _carry_out(argv, out, stdin)
    except PloyzError as error:
        out.fail(error)
        return error.exit_code
    except KeyboardInterrupt:
        interrupted = Interrupted(Code.INTERRUPTED, "interrupted")
        out.fail(interrupted)
        return interrupted.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the edge: whatever it is, it is a mistake of ours, and told as one
        out.fail(Bug(Code.BUG, f"{type(error).__name__}: {error}", REPORT))
        if os.environ.get("PLOYZ_DEBUG"):
            out.trace(error)
        return BUG_EXIT


def _carry_out(argv: Sequence[str], out: Output, stdin: TextIO) -> int:
    given = take_globals(argv)
    wants_help = bool(HELP & set(given.rest))
    words = [word for word in given.rest if word not in HELP]
    if not words:
        return _help(out, _root_help(), asked=wants_help)
    group_name, *words = words
    group = GROUPS.get(group_name)
    if group is None:
        advice = f"Groups: {', '.join(GROUPS)}."
        raise Usage(Code.USAGE, f"there is no group {group_name!r}.{did_you_mean(group_name, list(GROUPS))}", advice)
    only_options = words[0].startswith("-") if words else group.stands_alone and not wants_help
    if only_options and group.default:
        words.insert(0, group.default)
    if not words:
        return _help(out, _group_help(group_name, group), asked=wants_help)
    command_name, *words = words
    if command_name not in group.commands:
        near = did_you_mean(command_name, list(group.commands))
        advice = f"Commands of {group_name}: {', '.join(group.commands)}."
        raise Usage(Code.USAGE, f"{group_name} has no command {command_name!r}.{near}", advice)
    command = load(group_name, command_name)
    parser = Parser(f"{PROGRAM} {group_name} {command_name}", group.commands[command_name])
    command.add_arguments(parser)
    if wants_help:
        return _help(out, parser.format_help(), asked=True)
    arguments = parser.parse_args(words)
    return command.run(Call(arguments, Node(given.socket or SOCKET_PATH), out, stdin)) or 0


def _help(out: Output, text: str, *, asked: bool) -> int:
    if not asked:
        raise Usage(Code.USAGE, "the command is missing", text.rstrip())
    out.document("help", {"text": text}, text)
    return 0


def _root_help() -> str:
    lines = [f"usage: {PROGRAM} [--json] [--socket PATH] GROUP COMMAND …", "", "groups:"]
    lines += [f"  {name:<9} {group.about}" for name, group in GROUPS.items()]
    return "\n".join([*lines, "", f"`{PROGRAM} GROUP --help` lists its commands.", ""])


def _group_help(name: str, group: Group) -> str:
    width = max(map(len, group.commands))
    lines = [f"usage: {PROGRAM} {name} COMMAND …", "", group.about, "", "commands:"]
    lines += [f"  {command:<{width}}  {about}" for command, about in group.commands.items()]
    return "\n".join([*lines, "", f"`{PROGRAM} {name} COMMAND --help` says more.", ""])


if __name__ == "__main__":
    sys.exit(main())
