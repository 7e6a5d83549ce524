"""`ployzctl secret ls`."""

from __future__ import annotations

from collections.abc import Iterator

from ployz.actors.messages.secrets import ListSecrets, SecretList, SecretRow
from ployz.cli import human
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Lines, Table
from ployz.cli.call import ANSWER_S, Call


def add_arguments(parser: Parser) -> None:
    pass


def run(call: Call) -> None:
    call.out.show("secret.list", call.node.ask("secrets", ListSecrets(), timeout_s=ANSWER_S), render)


def render(listed: SecretList) -> Iterator[Block]:
    yield Table(
        columns=("SECRET", "VERSION", "SET", "USED BY", "READ BY"),
        spare=("SET", "READ BY"),
        rows=tuple(_row(row) for row in listed.secrets),
        right=frozenset({"VERSION"}),
        empty="there is no secret",
    )
    left = [
        f"{row.secret}: {human.listed(row.former_readers)} could read it and can no more; whoever has "
        f"the key of then still can. Give it a new value: ployzctl secret set {row.secret}"
        for row in listed.secrets
        if row.former_readers
    ]
    if left:
        yield Lines.of(left)


def _row(row: SecretRow) -> tuple[str, ...]:
    return (
        str(row.secret),
        str(row.version),
        human.when(row.set_ms),
        human.listed(row.used_by),
        human.listed(row.readers),
    )
