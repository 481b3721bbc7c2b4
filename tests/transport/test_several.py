"""Work for many items: in their order, so many at a time, and none after a failure."""

from __future__ import annotations

import asyncio

import pytest

from stow.transport.several import several


async def test_results_are_in_the_items_order_and_so_many_run_at_once() -> None:
    running: set[int] = set()
    most = tasks = 0

    async def work(item: int) -> int:
        nonlocal most, tasks
        running.add(item)
        most, tasks = max(most, len(running)), max(tasks, len(asyncio.all_tasks()))
        for _ in range(item % 3):
            await asyncio.sleep(0)
        running.remove(item)
        return item * 2

    before = len(asyncio.all_tasks())
    assert await several(range(50_000), work, at_once=4) == [item * 2 for item in range(50_000)]
    assert most == 4
    assert tasks <= before + 4
    assert await several([], work, at_once=4) == []


async def test_a_failure_ends_the_others_and_is_raised_as_it_is() -> None:
    started: list[int] = []
    ended: list[int] = []

    async def work(item: int) -> None:
        started.append(item)
        if item == 1:
            raise ValueError("one")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(item)

    with pytest.raises(ValueError, match="one"):
        await several(range(10), work, at_once=3)
    assert set(started) - {1} == set(ended) != set()
    assert len(started) <= 3


async def test_cancellation_ends_all_of_it() -> None:
    ended: list[int] = []
    both = asyncio.Barrier(3)

    async def work(item: int) -> None:
        await both.wait()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(item)

    running = asyncio.create_task(several(range(10), work, at_once=2))
    await both.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(ended) == [0, 1]
