"""Letters and the bounded queue they wait in: everyone who puts a letter in gets exactly one answer.

No tasks here: the asker waits on its letter, the cell takes letters out and answers them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import anyio

from ployz.errors import Code, PloyzError, Refused
from ployz.wire.message import Message, Sender


class Letter:
    """A message on its way, and the one place where its answer arrives."""

    def __init__(self, message: Message[Any], sender: Sender) -> None:
        self.message = message
        self.sender = sender
        self._answered = anyio.Event()
        self._reply: Any = None
        self._error: PloyzError | None = None

    @property
    def is_answered(self) -> bool:
        return self._answered.is_set()

    def answer(self, reply: Any) -> None:
        if not self.is_answered:
            self._reply = reply
            self._answered.set()

    def fail(self, error: PloyzError) -> None:
        """The first answer stands."""
        if not self.is_answered:
            self._error = error
            self._answered.set()

    async def wait(self) -> Any:
        await self._answered.wait()
        if self._error is not None:
            raise self._error
        return self._reply


class Mailbox:
    """A queue of at most `size` letters, for one taker, until it is closed with a reason."""

    def __init__(self, address: str, size: int) -> None:
        self._address = address
        self._size = size
        self._letters: deque[Letter] = deque()
        self._news = anyio.Event()
        self._closed: Refused | None = None

    def put(self, letter: Letter) -> None:
        """Raises `Refused`: MAILBOX_FULL, or the reason that the mailbox was closed with."""
        if self._closed is not None:
            raise Refused(self._closed.code, self._closed.problem.text, self._closed.problem.advice)
        if len(self._letters) >= self._size:
            text = f"{self._address} has {self._size} messages waiting and takes no more"
            raise Refused(Code.MAILBOX_FULL, text, "Try again in a moment.")
        self._letters.append(letter)
        self._news.set()

    async def take(self, may_begin: Callable[[Letter], bool]) -> Letter | None:
        """The oldest letter that may be begun now; None once the mailbox is closed."""
        while self._closed is None:
            letter = next(filter(may_begin, self._letters), None)
            if letter is not None:
                self._letters.remove(letter)
                return letter
            self._news = anyio.Event()
            await self._news.wait()
        return None

    def look_again(self) -> None:
        """What may be begun has changed."""
        self._news.set()

    def drop(self, letter: Letter) -> None:
        """Its asker has gone: if it was not begun yet, it never is, and makes room for others."""
        if letter in self._letters:
            self._letters.remove(letter)

    def close(self, reason: Refused) -> None:
        """Answers everyone who still waits, and everyone who comes later, with `reason`. The first close stands."""
        if self._closed is None:
            self._closed = reason
        while self._letters:
            self._letters.popleft().fail(reason)
        self._news.set()
