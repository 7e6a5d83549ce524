"""`ployzctl secret set NAMESPACE/SECRET`: the value is the standard input, and leaves this process encrypted."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from ployz.actors.messages.secrets import PrepareSecret, SecretIsSet, SetSecret
from ployz.cli import human
from ployz.cli.arguments import Parser, named
from ployz.cli.blocks import Block, Lines
from ployz.cli.call import ANSWER_S, Call
from ployz.errors import Code, Refused
from ployz.ids import SECRET_BYTES_MAX, SecretRef


def add_arguments(parser: Parser) -> None:
    parser.add_argument("secret", type=named(SecretRef.parse), metavar="NAMESPACE/SECRET")


def run(call: Call) -> None:
    secret: SecretRef = call.arguments.secret
    value = _read(call, secret)
    done = call.node.ask("secrets", _sealed(call, secret, value), timeout_s=ANSWER_S)
    call.out.show("secret.set", done, render)
    if value.endswith(b"\n"):
        call.out.note("Its value ends with a line break, as it was given: `printf %s` gives none.")


def _read(call: Call, secret: SecretRef) -> bytes:
    """All of it, as it is: a key file ends with a line break that belongs to it."""
    if call.stdin.isatty():
        from getpass import getpass

        value = getpass(f"The value of {secret}: ", stream=sys.stderr).encode()
    else:
        value = call.read_bytes(SECRET_BYTES_MAX + 1)
    if not value:
        raise Refused(Code.USAGE, "the standard input is empty: a secret has a value")
    if len(value) > SECRET_BYTES_MAX:
        raise Refused(Code.USAGE, f"a secret has at most {SECRET_BYTES_MAX >> 10} KiB")
    return value


def _sealed(call: Call, secret: SecretRef, value: bytes) -> SetSecret:
    from os import urandom

    from ployz.plan.secrets import sealed_for
    from ployz.wire.sealing import Unopened

    asked = call.node.ask("secrets", PrepareSecret(secret), timeout_s=ANSWER_S)
    members = {each.machine: each.certificate for each in asked.recipients}
    try:
        fact = sealed_for(secret, asked.version, value, members, urandom)
    except Unopened:
        raise Refused(Code.IDENTITY, "a machine's certificate has no key that anything can be encrypted for") from None
    return SetSecret(secret, fact.version, fact.sealed, fact.shares)


def render(done: SecretIsSet) -> Iterator[Block]:
    lines = [f"{done.secret} is set (version {done.version}), encrypted for {human.listed(done.readers)}"]
    if done.used_by:
        lines.append(
            f"{human.listed(done.used_by)} keep the value of before until they start again; "
            "the next deploy replaces their containers"
        )
    yield Lines.of(lines)
