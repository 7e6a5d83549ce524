"""The actor: a class whose handlers are methods marked with the message that each one answers.

What delivers to it is in mailbox, what runs and restarts it in cell, who can be reached in system.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, ClassVar, Protocol, TypeVar, get_type_hints

from attrs import frozen

from ployz.actors.ref import Ref
from ployz.ids import MachineId
from ployz.wire.message import Local, Message, Sender

R = TypeVar("R")
A = TypeVar("A", bound="Actor")
M = TypeVar("M")

Method = Callable[[A, M], Awaitable[R]]

_MARK = "__handles__"


@frozen
class Handler:
    """One entry of an actor's table."""

    message: type[Message[Any]]
    method: Callable[[Any, Any], Awaitable[Any]]
    concurrent: bool


def handles(message: type[Message[R]], *, concurrent: bool = False) -> Callable[[Method[A, M, R]], Method[A, M, R]]:
    """Marks the method that answers `message`.

    An actor takes one message at a time. A concurrent handler runs beside the mailbox, for work that takes long:
    the actor goes on with its next message meanwhile, so state must hold across each await.
    """

    def mark(method: Method[A, M, R]) -> Method[A, M, R]:
        setattr(method, _MARK, (message, concurrent))
        return method

    return mark


class Home(Protocol):
    """What an actor may ask of the system that runs it."""

    def ref(self, address: str) -> Ref: ...

    def remote(self, machine: MachineId, address: str) -> Ref: ...

    def silent_s(self, machine: MachineId) -> float | None: ...


class Place(Protocol):
    """Where one actor runs: given to it before `started`."""

    @property
    def address(self) -> str: ...

    @property
    def home(self) -> Home: ...

    def spawn_child(self, name: str, make: Callable[[], Actor]) -> Ref: ...

    def finish(self) -> None: ...


_SENDER: ContextVar[Sender] = ContextVar("sender", default=Local())  # noqa: B039 - a frozen value


def speaking_for(sender: Sender) -> None:
    """From here on, in this task, `Actor.sender` is this one."""
    _SENDER.set(sender)


class Actor:
    """Base of every actor. State is rebuilt in `started`: after a bug a fresh instance takes over the mailbox.

    A PloyzError that leaves a handler is a declared refusal and reaches the asker as the same class. Any other
    exception is a bug: the asker gets `Failed` with BUG, and the actor is restarted.
    """

    handlers: ClassVar[Mapping[type[Message[Any]], Handler]] = {}
    concurrent_max: ClassVar[int] = 64
    """Concurrent handlers that run at once in one instance."""
    place: Place

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.handlers = _handlers_of(cls)

    async def started(self) -> None:
        """Runs before the first message. Raising here is a bug, whatever is raised."""

    async def run(self) -> None:
        """Runs beside the mailbox, from `started` to the end. It may return early; raising is a bug."""

    @property
    def address(self) -> str:
        return self.place.address

    @property
    def system(self) -> Home:
        return self.place.home

    @property
    def sender(self) -> Sender:
        """Who sent the message that the calling handler works on."""
        return _SENDER.get()

    def spawn(self, name: str, make: Callable[[], Actor]) -> Ref:
        """A child at `ADDRESS/NAME`, which ends when this actor ends or is restarted."""
        return self.place.spawn_child(name, make)

    def finish(self) -> None:
        """No further message is begun; when the running ones are answered, this actor stops."""
        self.place.finish()


def _handlers_of(cls: type[Actor]) -> Mapping[type[Message[Any]], Handler]:
    """The table of a class, inherited handlers included. A wrong one is a programmer's error, found at import."""
    table: dict[type[Message[Any]], Handler] = {}
    names: dict[type[Message[Any]], str] = {}
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        marked = getattr(method, _MARK, None)
        if marked is None:
            continue
        message, concurrent = marked
        where = f"{cls.__name__}.{name}"
        _check_handler(where, method, message)
        if message in table:
            raise AssertionError(f"{where} and {cls.__name__}.{names[message]} both handle {message.__name__}")
        table[message] = Handler(message, method, concurrent)
        names[message] = name
    return table


def _check_handler(where: str, method: Callable[..., Any], message: type[Message[Any]]) -> None:
    if not message.tag:
        raise AssertionError(f"{where} handles {message.__name__}, which is in no registry: mark it with @message")
    if not inspect.iscoroutinefunction(method):
        raise AssertionError(f"{where} is not an async def")
    hints = get_type_hints(method)
    _self, *taken = inspect.signature(method).parameters
    if [hints.get(name) for name in taken] != [message]:
        raise AssertionError(f"{where} must take one annotated {message.__name__}")
    if hints.get("return") is not message.reply:
        raise AssertionError(f"{where} must return {message.reply.__name__}")
