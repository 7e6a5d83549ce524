"""Several effects side by side: all of which must succeed, or the first of which is enough."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from ployz.actors.cell import declared_error


async def together(*calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Their results, in order. The first that fails ends the others, and its error is raised as it is."""
    results: list[Any] = [None] * len(calls)

    async def run(index: int) -> None:
        results[index] = await calls[index]()

    try:
        if len(calls) <= 1:  # most often: it takes no task of its own
            return [await each() for each in calls]
        async with anyio.create_task_group() as tasks:
            for index in range(len(calls)):
                tasks.start_soon(run, index)
    except BaseExceptionGroup as group:
        declared = declared_error(group)
        if declared is None:
            raise
        raise declared from group
    return results


async def first(*calls: Callable[[], Awaitable[Any]]) -> None:
    """Returns when one of them has, and ends the others."""
    async with anyio.create_task_group() as tasks:

        async def run(call: Callable[[], Awaitable[Any]]) -> None:
            await call()
            tasks.cancel_scope.cancel()

        for call in calls:
            tasks.start_soon(run, call)
