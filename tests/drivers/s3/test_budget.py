"""The byte budget of a process: bounded, in order, and nothing is lost when a waiter is cancelled."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stow.errors import LimitExceededError
from stow.storage.budget import ByteBudget


async def _turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_waiters_are_served_in_order_even_where_a_later_one_would_fit() -> None:
    budget = ByteBudget(10)
    await budget.acquire(6)
    order: list[str] = []

    async def take(name: str, size: int) -> None:
        await budget.acquire(size)
        order.append(name)

    tasks = [asyncio.ensure_future(take(name, size)) for name, size in (("big", 8), ("small", 1))]
    await _turns()
    assert (order, budget.waiting) == ([], 2)
    budget.release(6)
    await asyncio.gather(*tasks)
    assert order == ["big", "small"]


async def test_a_cancelled_waiter_lets_those_behind_it_go_on() -> None:
    budget = ByteBudget(10)
    await budget.acquire(6)
    first = asyncio.ensure_future(budget.acquire(8))
    second = asyncio.ensure_future(budget.acquire(4))
    await _turns()
    first.cancel()
    await asyncio.wait({first})
    await second
    assert (budget.used_bytes, budget.waiting) == (10, 0)


async def test_a_waiter_that_is_granted_and_cancelled_in_one_turn_gives_its_share_back() -> None:
    budget = ByteBudget(10)
    await budget.acquire(10)
    waiter = asyncio.ensure_future(budget.acquire(10))
    await _turns()
    budget.release(10)
    waiter.cancel()
    await asyncio.wait({waiter})
    assert waiter.cancelled()
    assert budget.used_bytes == 0


async def test_a_waiter_that_is_cancelled_and_then_passed_over_takes_nothing() -> None:
    budget = ByteBudget(10)
    await budget.acquire(10)
    waiter = asyncio.ensure_future(budget.acquire(10))
    await _turns()
    waiter.cancel()
    budget.release(10)
    await asyncio.wait({waiter})
    assert (budget.used_bytes, budget.waiting) == (0, 0)


async def test_more_than_the_whole_is_refused_at_once() -> None:
    with pytest.raises(LimitExceededError):
        await ByteBudget(10).acquire(11)


def test_giving_back_too_much_is_a_bug_that_shows() -> None:
    with pytest.raises(RuntimeError):
        ByteBudget(10).release(1)


@given(st.lists(st.tuples(st.integers(1, 10), st.booleans()), max_size=20))
async def test_whatever_comes_and_goes_the_bound_holds_and_everybody_ends(shares: list[tuple[int, bool]]) -> None:
    budget = ByteBudget(10)

    async def hold(size: int) -> None:
        async with budget.share(size):
            assert budget.used_bytes <= 10
            await asyncio.sleep(0)

    tasks = [asyncio.ensure_future(hold(size)) for size, _ in shares]
    await asyncio.sleep(0)
    for task, (_, cancelled) in zip(tasks, shares, strict=True):
        if cancelled:
            task.cancel()
    if tasks:
        await asyncio.wait_for(asyncio.wait(tasks), 5)
    assert (budget.used_bytes, budget.waiting) == (0, 0)
    assert budget.peak_bytes <= 10
