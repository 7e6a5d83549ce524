"""Whether machines of these versions can work together: one minor, one protocol, and no event that one does not know.

Within a minor version nothing that travels or is stored changes; that is what a minor version is. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen

from ployz.errors import Problem

SHOWN_MAX = 5


@frozen
class Spoken:
    """What one ployz speaks, and writes into its log."""

    version: str
    protocol: int
    events: tuple[str, ...]
    """`volume.snapshot_taken/1`, the newest version of each: it reads those before it, too."""

    def reads(self, event: str) -> bool:
        name, _, version = event.rpartition("/")
        newest = next((each for each in self.events if each.startswith(f"{name}/")), None)
        return newest is not None and int(newest.rpartition("/")[2]) >= int(version)


@frozen
class Speaker:
    """A machine, or the ployzctl that asks."""

    name: str
    spoken: Spoken | None
    problem: Problem | None
    """Why it is not known what it speaks."""


def minor(version: str) -> str:
    """`1.4.2` -> `1.4`."""
    return ".".join(version.split(".")[:2])


def is_one_minor(versions: Iterable[str]) -> bool:
    return len({minor(each) for each in versions}) <= 1


def disagreements(speakers: Sequence[Speaker]) -> tuple[str, ...]:
    """Each thing that keeps them from working together, in words. Empty: they can."""
    return tuple(_disagreements(speakers))


def _disagreements(speakers: Sequence[Speaker]) -> Iterator[str]:
    for each in speakers:
        if each.problem is not None:
            yield f"{each.name} does not say what it speaks: {each.problem.text}"
    known = [(each.name, each.spoken) for each in speakers if each.spoken is not None]
    if not is_one_minor(spoken.version for _, spoken in known):
        said = ", ".join(f"{name} {spoken.version}" for name, spoken in known)
        yield f"these are not of one minor version: {said}"
    if len({spoken.protocol for _, spoken in known}) > 1:
        said = ", ".join(f"{name} {spoken.protocol}" for name, spoken in known)
        yield f"these refuse each other, by the version of their protocol: {said}"
    written = {event for _, spoken in known for event in spoken.events}
    for name, spoken in known:
        if unknown := sorted(event for event in written if not spoken.reads(event)):
            more = f" and {len(unknown) - SHOWN_MAX} more" if len(unknown) > SHOWN_MAX else ""
            yield (
                f"{name} does not know {', '.join(unknown[:SHOWN_MAX])}{more}: it stops at the first one that another "
                "machine commits"
            )
