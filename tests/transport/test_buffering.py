"""Buffered parts: nothing lost, in order, and the budget whole again whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from stow.storage.budget import ByteBudget
from stow.storage.checksums import new_crc32c
from stow.transport.buffering import send_buffered
from stow.transport.cutting import Cutter

PART = 4
BODY = bytes(range(50))


async def source(fails_at: int | None = None) -> AsyncIterator[bytes]:
    for at in range(0, len(BODY), 3):
        if fails_at is not None and at >= fails_at:
            raise ValueError("the source")
        yield BODY[at : at + 3]


class Sender:
    """Notes parts; ``fails`` is the number of the one that fails, ``hangs`` of the one that never ends."""

    def __init__(self, fails: int = 0, hangs: int = 0) -> None:
        self.fails = fails
        self.hangs = hangs
        self.stuck = asyncio.Event()
        self.budget = ByteBudget(3 * PART)

    async def send(self, number: int, chunks: list[bytes]) -> tuple[int, bytes]:
        whole = b"".join(chunks)
        for _ in range(3 - number % 3):
            await asyncio.sleep(0)
        if number == self.fails:
            raise ValueError("the part")
        if number == self.hangs:
            self.stuck.set()
            await asyncio.Event().wait()
        return number, whole

    async def run(self, fails_at: int | None = None, part_bytes: Callable[[int], int] = lambda _: PART) -> bytes:
        cutter = Cutter(source(fails_at), new_crc32c())
        await self.budget.acquire(PART)
        first = [chunk async for chunk in cutter.take(PART)]
        parts = await send_buffered(
            cutter, first, PART, budget=self.budget, at_once=2, part_bytes=part_bytes, send=self.send
        )
        assert [number for number, _ in parts] == list(range(1, len(parts) + 1))
        return b"".join(part for _, part in parts)


async def test_all_of_a_body_arrives_in_order_within_the_budget() -> None:
    sender = Sender()
    assert await sender.run() == BODY
    assert (sender.budget.used_bytes, sender.budget.peak_bytes) == (0, 3 * PART)


@pytest.mark.parametrize("number", [1, 2, 3, 13])
async def test_a_part_that_fails_gives_all_shares_back(number: int) -> None:
    sender = Sender(fails=number)
    with pytest.raises(ValueError, match="the part"):
        await sender.run()
    assert sender.budget.used_bytes == 0


@pytest.mark.parametrize("at", [6, 30, 48])
async def test_a_body_that_fails_gives_all_shares_back(at: int) -> None:
    sender = Sender(hangs=2)
    with pytest.raises(ValueError, match="the source"):
        await sender.run(fails_at=at)
    assert sender.budget.used_bytes == 0


async def test_a_body_of_too_many_parts_gives_all_shares_back() -> None:
    def limited(number: int) -> int:
        if number > 3:
            raise ValueError("too many")
        return PART

    sender = Sender()
    with pytest.raises(ValueError, match="too many"):
        await sender.run(part_bytes=limited)
    assert sender.budget.used_bytes == 0


@pytest.mark.parametrize("turns", range(8))
async def test_cancellation_at_any_moment_gives_all_shares_back(turns: int) -> None:
    sender = Sender(hangs=3)
    running = asyncio.create_task(sender.run())
    await sender.stuck.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (sender.budget.used_bytes, sender.budget.waiting) == (0, 0)
