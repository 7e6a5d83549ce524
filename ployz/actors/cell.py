"""A cell runs one actor for life: takes its letters, catches its bugs, starts a fresh instance, gives up in the end.

Queued letters outlive a bug: the next instance takes them. When the cell ends, everyone still waiting is answered.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable

import anyio
from anyio.abc import TaskGroup

from ployz.actors.core import Actor, Handler, Home, speaking_for
from ployz.actors.mailbox import Letter, Mailbox
from ployz.actors.ref import Ref
from ployz.errors import Code, Failed, PloyzError, Refused, Unreachable
from ployz.wire.message import Local

RESTARTS_MAX = 5
RESTARTS_WINDOW_S = 60.0
RESTART_PAUSE_S = 0.1
"""Doubles with each restart in the window, so that a bug in `started` does not spin."""
FULL_PAUSE_S = 5.0
"""Until an actor tries again that found no room for what it had to write."""

_log = logging.getLogger("ployz.actors")

Make = Callable[[], Actor]
SpawnInto = Callable[[TaskGroup, str, Make], Ref]


class Cell:
    def __init__(self, address: str, make: Make, home: Home, mailbox_size: int, spawn_into: SpawnInto) -> None:
        self.address = address
        self.home = home
        self.spawn_into = spawn_into
        self.mailbox = Mailbox(address, mailbox_size)
        self.gone = anyio.Event()
        self.gave_up = False
        """It broke too often. It stays in the system's table, to say so to everyone who asks."""
        self._make = make
        self._scope = anyio.CancelScope()

    async def serve(self) -> None:
        """Until it finishes, is stopped, or has broken RESTARTS_MAX times within RESTARTS_WINDOW_S."""
        speaking_for(Local())
        try:
            with self._scope:
                await self._live_again_and_again()
        finally:
            self.mailbox.close(Refused(Code.STOPPED, f"{self.address} has stopped; the message was not begun"))
            self.gone.set()

    async def _live_again_and_again(self) -> None:
        restarts: deque[float] = deque()
        while True:
            bug = await Life(self, self._make).live()
            if bug is None:
                return
            if (declared := declared_error(bug)) is not None and declared.code is Code.STATE_FULL:
                # No bug, and nothing of it was done: it begins again as after a crash, until there is room.
                _log.warning("%s waits for room: %s", self.address, declared)
                await anyio.sleep(FULL_PAUSE_S)
                continue
            now_s = anyio.current_time()
            while restarts and restarts[0] <= now_s - RESTARTS_WINDOW_S:
                restarts.popleft()
            if len(restarts) >= RESTARTS_MAX:
                self._give_up(bug)
                return
            restarts.append(now_s)
            _log.error("%s broke and starts again", self.address, exc_info=bug)
            await anyio.sleep(RESTART_PAUSE_S * 2 ** (len(restarts) - 1))

    def _give_up(self, bug: Exception) -> None:
        self.gave_up = True
        text = (
            f"{self.address} broke {RESTARTS_MAX + 1} times within {RESTARTS_WINDOW_S:g} s and stays stopped; "
            f"the last time: {type(bug).__name__}: {bug}"
        )
        _log.critical("%s", text, exc_info=bug)
        self.mailbox.close(Refused(Code.STOPPED, text, "Read ployzd's log, then restart ployzd."))

    def stop(self) -> None:
        self._scope.cancel()


class Life:
    """One instance of the actor, from `started` to its end or its first bug."""

    def __init__(self, cell: Cell, make: Make) -> None:
        self._cell = cell
        self._make = make
        self._bug: Exception | None = None
        self._in_turn = False
        """A handler that is not concurrent runs now."""
        self._running = 0

    # What the actor sees as its place.

    @property
    def address(self) -> str:
        return self._cell.address

    @property
    def home(self) -> Home:
        return self._cell.home

    def spawn_child(self, name: str, make: Make) -> Ref:
        return self._cell.spawn_into(self._beside, f"{self.address}/{name}", make)

    def finish(self) -> None:
        self._cell.mailbox.close(Refused(Code.STOPPED, f"{self.address} has finished; the message was not begun"))

    async def live(self) -> Exception | None:
        """None: it finished."""
        async with anyio.create_task_group() as self._beside:  # children and `run`: they end with the last handler
            async with anyio.create_task_group() as self._handlers:
                await self._guarded(self._begin)
                if self._bug is None:
                    await self._take_letters()
            self._beside.cancel_scope.cancel()
        return self._bug

    async def _begin(self) -> None:
        actor = self._make()
        actor.place = self
        self._actor = actor
        await actor.started()
        self._beside.start_soon(self._guarded, actor.run)

    async def _take_letters(self) -> None:
        while (letter := await self._cell.mailbox.take(self._may_begin)) is not None:
            handler = self._handler_of(letter)
            if handler is None:
                text = f"{self.address} does not take {letter.message.tag}"
                letter.fail(Refused(Code.UNKNOWN_MESSAGE, text))
            elif not handler.concurrent:
                self._in_turn = True
                self._handlers.start_soon(self._handle_in_turn, letter, handler)
            elif self._running >= self._actor.concurrent_max:
                text = f"{self.address} already works on {self._running} messages at once"
                letter.fail(Refused(Code.MAILBOX_FULL, text, "Try again in a moment."))
            else:
                self._running += 1
                self._handlers.start_soon(self._handle_beside, letter, handler)

    def _handler_of(self, letter: Letter) -> Handler | None:
        return self._actor.handlers.get(type(letter.message))

    def _may_begin(self, letter: Letter) -> bool:
        """One after the other; concurrent ones do not wait for their turn."""
        handler = self._handler_of(letter)
        return not self._in_turn or handler is None or handler.concurrent

    async def _handle_in_turn(self, letter: Letter, handler: Handler) -> None:
        try:
            await self._handle(letter, handler)
        finally:
            self._in_turn = False
            self._cell.mailbox.look_again()

    async def _handle_beside(self, letter: Letter, handler: Handler) -> None:
        try:
            await self._handle(letter, handler)
        finally:
            self._running -= 1

    async def _handle(self, letter: Letter, handler: Handler) -> None:
        speaking_for(letter.sender)
        tag = letter.message.tag
        try:
            reply = await handler.method(self._actor, letter.message)
            if not isinstance(reply, letter.message.reply):
                raise TypeError(f"the handler of {tag} returned {type(reply).__name__}")  # noqa: TRY301 - a bug as any
            letter.answer(reply)
        except Exception as error:  # noqa: BLE001 - the supervisor's boundary: what is not declared is a bug
            declared = declared_error(error)
            letter.fail(declared or Failed(Code.BUG, f"{self.address} broke on {tag}: {type(error).__name__}: {error}"))
            if declared is None:
                self._crash(error)
        finally:
            if not letter.is_answered:
                text = f"{self.address} was stopped while it worked on {tag}: it may or may not be done"
                letter.fail(Unreachable(Code.STOPPED, text))

    async def _guarded(self, part: Callable[[], Awaitable[None]]) -> None:
        try:
            await part()
        except Exception as error:  # noqa: BLE001 - the supervisor's boundary
            self._crash(error)

    def _crash(self, error: Exception) -> None:
        if self._bug is None:
            self._bug = error
        self._beside.cancel_scope.cancel()


def declared_error(error: BaseException) -> PloyzError | None:
    """The refusal that was raised, also out of a handler's own task group; None when any part of it is a bug."""
    if isinstance(error, PloyzError):
        return error
    if isinstance(error, BaseExceptionGroup):
        inner = [declared_error(each) for each in error.exceptions]
        return inner[0] if all(inner) else None
    return None
