"""Blocking SDKs in a few threads, whose requests come back to the event loop to be sent.

An SDK's call runs in a thread of the pool; each request that it makes is handed to :meth:`Threads.exchange`, which runs a coroutine on the
event loop (over :class:`stow.transport.connections.Connections`) and waits for it. So the deny list, the deadlines and the refusal of
redirects and proxies hold for SDKs as for objects, and a call that is cancelled closes its connection at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from stow.errors import BackendTimeoutError, BackendUnreachableError, StowError
from stow.transport.faults import AnswerError

T = TypeVar("T")


class _Call:
    """One SDK call in its thread: the request it has open, so that it can be ended from outside."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._open: Future[Any] | None = None
        self._over = False

    def send(self, exchange: Callable[[], Awaitable[T]]) -> T:
        """From the thread: run the exchange on the event loop and wait for it."""
        with self._lock:
            if self._over:
                raise BackendTimeoutError("The call was given up.")
            opened: Future[T] = asyncio.run_coroutine_threadsafe(_awaited(exchange), self._loop)
            self._open = opened
        return opened.result()

    def give_up(self) -> None:
        """From the event loop: end what is open, refuse what would follow."""
        with self._lock:
            self._over = True
            if self._open is not None:
                self._open.cancel()


async def _awaited(exchange: Callable[[], Awaitable[T]]) -> T:
    return await exchange()


class Threads:
    """A pool for one driver's SDK. ``foreign`` turns an exception of the SDK into ours, None where it is none of the SDK's."""

    def __init__(
        self, name: str, *, threads: int, request_s: float, foreign: Callable[[BaseException], StowError | None]
    ) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._request_s = request_s
        self._foreign = foreign
        self._local = threading.local()
        self._closed = False

    async def run(self, function: Callable[[], T]) -> T:
        """Call it in a thread, within ``request_s``.

        Raises:
            AnswerError: the backend refused.
            StowError: no answer, the pool is closed, or what ``foreign`` made of the SDK's exception.
        """
        if self._closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        call = _Call(loop)

        def work() -> T:
            self._local.call = call
            return function()

        try:
            async with asyncio.timeout(self._request_s):
                return await loop.run_in_executor(self._pool, work)
        except BaseException as exc:
            call.give_up()
            if isinstance(exc, asyncio.CancelledError) and not _being_cancelled():
                raise _closed() from exc  # what ran for the caller was ended, not the caller
            error = self._foreign(exc) if not isinstance(exc, AnswerError) else None
            if error is None or error is exc:
                raise
            raise error from exc

    def exchange(self, send: Callable[[], Awaitable[T]]) -> T:
        """From within a function that :meth:`run` runs: send on the event loop and wait for the answer."""
        call: _Call = self._local.call
        return call.send(send)

    async def aclose(self) -> None:
        """Let the threads go. Calls that wait for one fail; those that still run have been given up or end at their deadline."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _closed() -> StowError:
    return BackendUnreachableError("The connection to the backend is closed.")
