"""Several requests at once, of a whole that may have many thousands: as many tasks as may run, never one for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def several(items: Iterable[T], work: Callable[[T], Awaitable[R]], *, at_once: int) -> list[R]:
    """Do the work for each item, ``at_once`` of them at a time; what comes of it in the order of the items.

    Raises:
        BaseException: what the first work that failed raised; the others have ended then.
    """
    left = enumerate(items)
    done: dict[int, R] = {}

    async def worker() -> None:
        for number, item in left:
            done[number] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [done[number] for number in range(len(done))]
