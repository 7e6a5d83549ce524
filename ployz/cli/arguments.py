"""Arguments: how words become checked values, and how a wrong word is refused. Every mistake is a `Usage`.

`--json` and `--socket` may stand anywhere in a command line.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from attrs import frozen

from ployz.errors import Code, Usage
from ployz.ids import InvalidName, OperationId

T = TypeVar("T")

PROGRAM: Final = "ployzctl"
HELP: Final = frozenset({"-h", "--help"})


_UNSIZED: Final = partial(argparse.HelpFormatter, width=80)
"""For what argparse formats of each argument that is added, to see that it can. One that asks how wide the terminal is
imports shutil, and that all kinds of compression."""


class Parser(argparse.ArgumentParser):
    """Of one command. Options are never abbreviated: a script that relies on it breaks with the next option."""

    def __init__(self, prog: str, about: str) -> None:
        super().__init__(prog=prog, description=about, allow_abbrev=False, formatter_class=_UNSIZED)

    def format_help(self) -> str:
        self.formatter_class = argparse.HelpFormatter
        return super().format_help()

    def format_usage(self) -> str:
        self.formatter_class = argparse.HelpFormatter
        return super().format_usage()

    def error(self, message: str) -> NoReturn:
        raise Usage(Code.USAGE, message, self.format_usage().strip())

    def add_yes(self) -> None:
        self.add_argument("--yes", action="store_true", help="do not ask")

    def add_message(self) -> None:
        self.add_argument("--message", default="", metavar="TEXT", help="why, for whoever reads the log of operators")

    def add_operation(self) -> None:
        self.add_argument("operation", type=named(OperationId), metavar="ID", help="the operation's id: op-…")

    def add_limit(self) -> None:
        self.add_argument("--limit", type=count, default=20, metavar="N", help="at most so many (default: %(default)s)")

    def add_manifest(self) -> None:
        self.add_argument(
            "-f", "--file", required=True, metavar="FILE", help="the manifest, TOML or JSON; - is the standard input"
        )

    def add_log_file(self) -> None:
        self.add_argument(
            "--file",
            type=Path,
            metavar="EXPORTED",
            help="read this exported log instead of the node's own; needs no node",
        )
        self.add_argument(
            "--state-dir",
            type=Path,
            metavar="FOLDER",
            help="read the log of a ployzd that does not run: /var/lib/ployz",
        )


@frozen
class Globals:
    as_json: bool
    socket: Path | None
    """None: where ployzd listens by default."""
    rest: list[str]
    """GROUP, COMMAND and their own arguments."""


def take_globals(argv: Sequence[str]) -> Globals:
    parser = Parser(PROGRAM, "")
    parser.usage = f"{PROGRAM} [--json] [--socket PATH] GROUP COMMAND …"
    add_globals(parser)
    # -h is the command's: argparse would print and leave before there is one.
    help_words = [word for word in argv if word in HELP]
    known, rest = parser.parse_known_args([word for word in argv if word not in HELP])
    return Globals(known.json, known.socket, rest + help_words[:1])


def add_globals(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON: one object, or one a line for streams")
    parser.add_argument("--socket", type=Path, metavar="PATH", help="where ployzd listens")


def named(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A name or reference as a `type` of argparse, which would replace the sentence of an `InvalidName`."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except InvalidName as error:
            raise Usage(Code.INVALID_NAME, str(error)) from None

    return convert


def count(text: str) -> int:
    """A whole number from 1."""
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:10]) < 2**31:
        raise Usage(Code.USAGE, f"{text[:40]!r} is no whole number from 1")
    return int(text)


def duration(text: str) -> float:
    """In seconds: `500ms`, `10s`, `15m`, `1h`."""
    from ployz.manifest.quantities import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise Usage(Code.USAGE, str(error)) from None


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """` Did you mean 'deploy'?`, or nothing."""
    from difflib import get_close_matches

    near = get_close_matches(word[:64], known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def actions_of(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    """The arguments that it takes, for the reference."""
    actions = parser._actions  # noqa: SLF001 - argparse has no public way to list them
    return [action for action in actions if not HELP & set(action.option_strings)]
