"""Effects side by side: one or many, their error is the one that was raised."""

from __future__ import annotations

from functools import partial

import anyio
import pytest

from ployz.actors.together import together
from ployz.errors import Code, Failed


async def value(number: int) -> int:
    await anyio.lowlevel.checkpoint()
    return number


async def failing() -> None:
    async with anyio.create_task_group():  # which wraps what is raised in it
        raise Failed(Code.PART_FAILED, "no")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_results_are_in_order(count: int) -> None:
    async def main() -> None:
        assert await together(*(partial(value, each) for each in range(count))) == list(range(count))

    anyio.run(main, backend="trio")


@pytest.mark.parametrize("count", [1, 2])
def test_a_declared_error_is_raised_as_it_is(count: int) -> None:
    async def main() -> None:
        with pytest.raises(Failed, match="no"):
            await together(*[failing] * count)

    anyio.run(main, backend="trio")
