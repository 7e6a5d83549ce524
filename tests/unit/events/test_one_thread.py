"""The thread of a file: in order, one at a time, whatever happens to who asked."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

import anyio
import pytest

from ployz.events.one_thread import OneThread


def using(work: Callable[[OneThread], Awaitable[None]]) -> None:
    async def main() -> None:
        thread = OneThread("test")
        try:
            await work(thread)
        finally:
            thread.close()

    anyio.run(main, backend="trio")


def test_it_returns_what_was_returned_and_raises_what_was_raised() -> None:
    async def work(thread: OneThread) -> None:
        assert await thread.run(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await thread.run(lambda: 1 // 0)
        assert await thread.run(lambda: 8) == 8

    using(work)


def test_everything_is_done_in_the_one_thread_in_order() -> None:
    done: list[int] = []
    names: set[str] = set()

    async def work(thread: OneThread) -> None:
        def add(number: int) -> None:
            names.add(threading.current_thread().name)
            done.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(thread.run, lambda number=number: add(number))
                await anyio.lowlevel.checkpoint()

    using(work)
    assert done == list(range(50))
    assert names == {"test"}


def test_who_is_cancelled_waits_until_it_is_done_and_who_was_asks_for_nothing() -> None:
    done: list[str] = []

    async def work(thread: OneThread) -> None:
        go_on = threading.Event()

        def first() -> None:
            go_on.wait(10)
            done.append("first")

        async def ask() -> None:
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                await thread.run(first)
            assert done == ["first"]

        scopes: list[anyio.CancelScope] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(0.01)
            scopes[0].cancel()
            await anyio.sleep(0.01)
            assert done == []
            go_on.set()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await thread.run(lambda: done.append("second"))
        assert await thread.run(lambda: 3) == 3

    using(work)
    assert done == ["first"]


def test_the_thread_ends_after_what_was_asked_for() -> None:
    async def work(thread: OneThread) -> None:
        names = await thread.run(lambda: [each.name for each in threading.enumerate()])
        assert names.count("test") == 1

    using(work)
    for thread in threading.enumerate():
        if thread.name == "test":
            thread.join(10)
            assert not thread.is_alive()


def test_the_loop_goes_on_meanwhile() -> None:
    async def work(thread: OneThread) -> None:
        go_on = threading.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(thread.run, lambda: go_on.wait(10))
            await anyio.sleep(0.01)
            go_on.set()

    using(work)
