"""`ployzctl cluster upgrade-check`: also with the ployzctl of a new version, before the machines get it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ployz import __version__
from ployz.actors.messages.doctor import ListVersions, Versions
from ployz.cli import human
from ployz.cli.arguments import Parser
from ployz.cli.blocks import Block, Lines, Table
from ployz.cli.call import ANSWER_S, Call
from ployz.errors import Code, Problem, Refused
from ployz.plan.doctor.versions import Speaker, Spoken, disagreements

THIS: Final = "this ployzctl"
ADVICE: Final = "Bring all machines to one version, one after the other, and restart ployzd on each."


def add_arguments(parser: Parser) -> None:
    pass


def run(call: Call) -> int:
    from ployz.events.codec import CODEC
    from ployz.wire.session import PROTOCOL_VERSION

    listed = call.node.ask("doctor", ListVersions(), timeout_s=ANSWER_S)
    own = Speaker(THIS, Spoken(__version__, PROTOCOL_VERSION, CODEC.newest), None)
    versions = Versions((*listed.speakers, own))
    found = disagreements(versions.speakers)
    problem = Problem(Code.VERSIONS_DIFFER, "; ".join(found), ADVICE) if found else None
    call.out.show("cluster.versions", versions, render, problem=problem)
    return Refused.exit_code if problem else 0


def render(versions: Versions) -> Iterator[Block]:
    yield Table(
        columns=("MACHINE", "VERSION", "PROTOCOL", "EVENTS"),
        rows=tuple(_row(each) for each in versions.speakers),
        right=frozenset({"PROTOCOL", "EVENTS"}),
    )
    if not disagreements(versions.speakers):
        yield Lines.of(["all of them can work together"])


def _row(speaker: Speaker) -> tuple[str, ...]:
    spoken = speaker.spoken
    if spoken is None:
        return (speaker.name, human.NOTHING, human.NOTHING, human.NOTHING)
    return (speaker.name, spoken.version, str(spoken.protocol), str(len(spoken.events)))
