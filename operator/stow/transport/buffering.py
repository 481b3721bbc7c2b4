"""A body of unknown size in parts that are buffered, a few on their way at once, out of the process's byte budget.

Who waits for the budget holds only parts that are being sent, which need nothing more from it: so there is no deadlock. Each share is given
back exactly once, whatever fails or is cancelled in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from stow.storage.budget import ByteBudget
from stow.transport.cutting import Cutter

R = TypeVar("R")


async def send_buffered(
    cutter: Cutter,
    first: list[bytes],
    first_bytes: int,
    *,
    budget: ByteBudget,
    at_once: int,
    part_bytes: Callable[[int], int],
    send: Callable[[int, list[bytes]], Awaitable[R]],
) -> list[R]:
    """Send ``first`` and what the cutter still has, in parts numbered from 1; what came of each, in their order.

    ``first`` has its share of the budget, which is given back here. ``part_bytes`` gives the size of a part by its number, or raises.

    Raises:
        BaseException: what ``send``, ``part_bytes`` or the body raised first.
    """
    slots = asyncio.Semaphore(at_once)
    sent: dict[int, R] = {}

    async def run(number: int, chunks: list[bytes]) -> None:
        sent[number] = await send(number, chunks)

    def start(group: asyncio.TaskGroup, number: int, chunks: list[bytes], share_bytes: int) -> None:
        def over(_: asyncio.Task[None]) -> None:
            # A callback and no `finally` in the task: a task that is cancelled before its first step runs none.
            chunks.clear()
            budget.release(share_bytes)
            slots.release()

        group.create_task(run(number, chunks)).add_done_callback(over)

    chunks, share_bytes, number = first, first_bytes, 1
    try:
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    await slots.acquire()
                except BaseException:
                    budget.release(share_bytes)
                    raise
                start(group, number, chunks, share_bytes)
                if await cutter.at_end():
                    break
                number += 1
                share_bytes = part_bytes(number)
                await budget.acquire(share_bytes)
                try:
                    chunks = [chunk async for chunk in cutter.take(share_bytes)]
                except BaseException:
                    budget.release(share_bytes)
                    raise
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [sent[number] for number in sorted(sent)]
