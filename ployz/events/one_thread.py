"""One thread for what must not hold up the event loop: it does one thing after the other, in the order of the asking.

A thread of a pool does the same at twice to thrice the price, which is a good part of what a durable append costs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import trio
from attrs import define

T = TypeVar("T")


@define(eq=False)
class _Job:
    work: Callable[[], Any]
    task: trio.lowlevel.Task
    """Who waits for it."""
    result: Any = None
    error: BaseException | None = None


class OneThread:
    """Of the event loop in which it is made. It lives until it is closed, and keeps no process from ending."""

    def __init__(self, name: str) -> None:
        self._jobs: Final[SimpleQueue[_Job | None]] = SimpleQueue()
        self._loop = trio.lowlevel.current_trio_token()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises. Once it has been asked for it is done and waited for, cancelled or not.

        Never after `close`: nobody would do it.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        job = _Job(work, trio.lowlevel.current_task())
        self._jobs.put(job)
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        try:
            if job.error is not None:
                raise job.error
            done: T = job.result
            return done
        finally:
            del job  # an exception that holds the frame that holds it is freed by the garbage collector alone

    def close(self) -> None:
        """When all is done that was asked for, the thread ends."""
        self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job.result = job.work()
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is of who waits
                job.error = error
            self._loop.run_sync_soon(trio.lowlevel.reschedule, job.task)
            del job  # what it holds is not kept until the next one comes
