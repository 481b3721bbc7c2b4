"""Blocking SDKs in threads: what is given up ends, what is closed says so, and no thread waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from stow.errors import BackendTimeoutError, BackendUnreachableError
from stow.transport.threads import Threads

NAME = "stow-test-threads"


class Exchanges:
    """Requests that are never answered."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    made = Threads(NAME, threads=1, request_s=20, foreign=lambda _: None)
    yield made
    await made.aclose()
    for thread in [thread for thread in threading.enumerate() if thread.name.startswith(NAME)]:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()


async def test_a_full_pool_of_cancelled_calls_is_free_at_once(threads: Threads) -> None:
    hanging = Exchanges()
    calls = [asyncio.create_task(threads.run(lambda: threads.exchange(hanging))) for _ in range(8)]
    await hanging.begun.wait()
    for call in calls:
        call.cancel()
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error) for error in found} == {asyncio.CancelledError}
    assert hanging.ended.is_set()
    assert await threads.run(lambda: 1) == 1


async def test_an_sdk_that_goes_on_after_it_was_given_up_sends_nothing_more(threads: Threads) -> None:
    hanging, refused = Exchanges(), []

    def stubborn() -> None:
        for _ in range(3):
            try:
                threads.exchange(hanging)
            except Exception as exc:  # noqa: BLE001 - as an SDK that repeats whatever fails
                refused.append(type(exc))

    call = asyncio.create_task(threads.run(stubborn))
    await hanging.begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await threads.run(lambda: None)  # the only thread is free again
    assert refused[1:] == [BackendTimeoutError, BackendTimeoutError]


async def test_calls_that_wait_for_a_thread_are_told_that_it_is_closed(threads: Threads) -> None:
    """They were not cancelled: a handler that takes them for that leaves its client without an answer."""
    hanging = Exchanges()
    running = asyncio.create_task(threads.run(lambda: threads.exchange(hanging)))
    await hanging.begun.wait()
    waiting = asyncio.create_task(threads.run(lambda: 1))
    await asyncio.sleep(0)
    await threads.aclose()
    with pytest.raises(BackendUnreachableError, match="closed"):
        await waiting
    with pytest.raises(BackendUnreachableError, match="closed"):
        await threads.run(lambda: 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
