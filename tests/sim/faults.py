"""What strikes a simulated cluster, as values: each fault, the moment it strikes at, and its words.

A seed draws them (drawing.py), striking.py carries them out, and a failing seed prints them.
"""

from __future__ import annotations

from attrs import frozen

from ployz.ids import MachineId


@frozen
class Moment:
    """The `nth` effect since the operator's command, or since the fault before it struck."""

    nth: int
    effect: str = ""
    """`docker.start`; empty: any."""
    done: bool | None = None
    """Before it happens, or after. None: either counts."""
    after_last: bool = False
    """Counted from the fault before: a second blow while the first is being recovered from."""

    def __str__(self) -> str:
        when = "" if self.done is None else "after " if self.done else "before "
        since = " since that" if self.after_last else ""
        return f"{when}{self.effect or 'effect'} #{self.nth}{since}"


@frozen
class Crash:
    """ployzd dies, or the machine loses its power; later it comes back."""

    at: Moment
    machine: MachineId | None
    """None: whichever the effect belongs to."""
    power: bool
    down_s: float

    def __str__(self) -> str:
        what = "the power goes" if self.power else "ployzd is killed"
        return f"{self.at}: {what} on {self.machine or 'its machine'}, for {self.down_s:g} s"


@frozen
class Cut:
    """A link passes nothing for a while, both ways or one way."""

    at: Moment
    source: MachineId
    target: MachineId
    one_way: bool
    for_s: float

    def __str__(self) -> str:
        arrow = "→" if self.one_way else "↔"
        return f"{self.at}: {self.source} {arrow} {self.target} is cut for {self.for_s:g} s"


@frozen
class Lost:
    """The next message, or the next answer, between two machines is lost."""

    at: Moment
    reply: bool
    about: str = ""
    """`workload.fence`, or `commit`; empty: whichever is next."""

    def __str__(self) -> str:
        return f"{self.at}: {_next(self.about, reply=self.reply)} is lost"


@frozen
class Late:
    """It arrives when nobody reckons with it any more, after what was sent later."""

    at: Moment
    reply: bool
    late_s: float
    about: str = ""

    def __str__(self) -> str:
        return f"{self.at}: {_next(self.about, reply=self.reply)} arrives {self.late_s:g} s late"


@frozen
class Twice:
    """It arrives, and once more."""

    at: Moment
    again_after_s: float
    about: str = ""

    def __str__(self) -> str:
        return f"{self.at}: {_next(self.about, reply=False)} arrives again after {self.again_after_s:g} s"


@frozen
class Refusing:
    """A part of one machine fails everything that it is asked: zfs, docker, overlay, streams."""

    at: Moment
    machine: MachineId
    part: str
    times: int

    def __str__(self) -> str:
        return f"{self.at}: {self.part} on {self.machine} refuses {self.times} times"


@frozen
class DiskFull:
    """The log's disk takes nothing: the append fails, and the log is of no use before ployzd starts again."""

    at: Moment
    machine: MachineId
    written: bool
    """What was appended is there all the same: the commit failed after it."""

    def __str__(self) -> str:
        how = "reports an error for what it has written" if self.written else "is full"
        return f"{self.at}: the disk of {self.machine}'s log {how}"


@frozen
class PoolFull:
    """Nothing can be received or written any more."""

    at: Moment
    machine: MachineId
    for_s: float

    def __str__(self) -> str:
        return f"{self.at}: the pool of {self.machine} is full for {self.for_s:g} s"


@frozen
class SlowDisk:
    """Every effect on the pool and the log takes this much longer."""

    at: Moment
    machine: MachineId
    by_s: float
    for_s: float

    def __str__(self) -> str:
        return f"{self.at}: the disk of {self.machine} takes {self.by_s:g} s longer, for {self.for_s:g} s"


@frozen
class LockLost:
    """The authority forgets the lease of the namespace's lock. Stolen: somebody else holds it at once."""

    at: Moment
    stolen: bool

    def __str__(self) -> str:
        return f"{self.at}: the lock is {'stolen' if self.stolen else 'lost'}"


@frozen
class EngineRestart:
    """dockerd dies and starts again, and brings back what restart policies name."""

    at: Moment
    machine: MachineId
    down_s: float

    def __str__(self) -> str:
        return f"{self.at}: dockerd on {self.machine} dies, and starts again after {self.down_s:g} s"


@frozen
class Meddled:
    """Somebody who knows nothing of ployz takes away what it made. Nobody starts anything again for it."""

    at: Moment
    machine: MachineId
    how: str
    """`container`, `connection`, `prune` or `overlay`."""

    def __str__(self) -> str:
        what = {
            "container": "a container is removed by hand",
            "connection": "a container loses its network",
            "prune": "everything that does not run is pruned, with its images",
            "overlay": "the firewall is flushed",
        }
        return f"{self.at}: {what[self.how]} on {self.machine}"


Fault = (
    Meddled | Crash | Cut | Lost | Late | Twice | Refusing | DiskFull | PoolFull | SlowDisk | LockLost | EngineRestart
)


@frozen
class Faults:
    """All that happens to one run. In order: `after_last` counts from the one before."""

    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return "\n".join(f"  {each}" for each in self.faults) or "  none"


def _next(about: str, *, reply: bool) -> str:
    what = "answer" if reply else "message"
    return f"the next {what} to {about}" if about and reply else f"the next {about} {what}".replace("  ", " ")
