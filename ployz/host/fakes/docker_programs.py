"""What runs in the fake Docker's containers, and what it remembers of each of them. Nothing else of it belongs here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
from attrs import define, field, frozen

from ployz.host.ports import AnonymousVolume, Container, ContainerSpec, ExecResult

Exec = Callable[[Sequence[str]], Awaitable[ExecResult]]


async def _no_such_program(command: Sequence[str]) -> ExecResult:
    return ExecResult(127, f"{command[0]}: not found\n")


@frozen
class Program:
    """What runs in a container: how it starts, answers and ends."""

    start_s: float = 0.0
    ready_s: float = 0.0
    """From its start until it answers on its ports; `math.inf`: never."""
    refuses_to_start: str = ""
    """Docker's words when it cannot be started; empty: it can."""
    exits: int | None = None
    """Ends by itself with this code as soon as it has started; None: runs on."""
    stop_s: float = 0.0
    """From SIGTERM to its end. At the end of the grace it is killed."""
    exit_code: int = 0
    """After SIGTERM."""
    output: str = ""
    exec: Exec = _no_such_program


@define(eq=False)
class Made:
    """A container that was made, and what became of it."""

    id: str
    spec: ContainerSpec
    prepared: bool = False
    """It has its network, and so its addresses."""
    torn: bool = False
    """A removal was broken off when its network was gone and it was not."""
    started: bool = False
    running: bool = False
    started_at_s: float = 0.0
    changed_ms: int = 0
    exit_code: int = 0
    pid: int = 0
    stopped_by_hand: bool = False
    output: str = ""
    paused: bool = False
    volumes: tuple[str, ...] = ()
    """Paths of its anonymous volumes."""
    ended: anyio.Event = field(factory=anyio.Event, eq=False)
    """Of the run that goes on."""

    def seen(self) -> Container:
        return Container(
            id=self.id,
            name=self.spec.name,
            image_id=self.spec.image_id,
            labels=self.spec.labels,
            running=self.running,
            exit_code=self.exit_code if self.started and not self.running else None,
            pid=self.pid if self.running else 0,
            changed_ms=self.changed_ms,
            paused=self.running and self.paused,
            volumes=tuple(AnonymousVolume(path, f"/docker/{self.id}{path}") for path in self.volumes),
        )


def comes_back(made: Made) -> bool:
    match made.spec.restart:
        case "always":
            return True
        case "unless-stopped":
            return not made.stopped_by_hand
        case "on-failure":
            return made.exit_code != 0
        case "no":
            return False
