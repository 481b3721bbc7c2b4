"""Blocking steps of the disk in a bounded pool of the driver's own, with cancellation that leaves nothing behind.

A step is one function call in a thread: it cannot be interrupted, so who is cancelled meanwhile waits for its end,
undoes what it opened and goes. No step waits for another one's thread: locks are only tried within a step and waited
for outside (:meth:`Threads.when_free`), so a full pool never dead-locks.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from stow.drivers.local.faults import translated
from stow.errors import BackendFailedError, BackendTimeoutError

T = TypeVar("T")

_POLL_S: Final = (0.001, 0.02)
"""Between two tries for a lock, at random: holders have it for a few syncs, that is milliseconds."""


class Busy(Exception):
    """Raised by a step that found a lock taken, before it changed anything. No failure: the step asks to be called again."""


class Threads:
    """The pool. ``lock_timeout_s`` bounds the wait for other writers of the same key or container, ``settle_timeout_s`` that of a
    cancelled caller for the end of its step: a disk that hangs keeps a thread, not the caller, and cleaning up follows when it lets go."""

    def __init__(self, *, workers: int, lock_timeout_s: float, settle_timeout_s: float = 1.0) -> None:
        self._settle_timeout_s = settle_timeout_s
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="stow-local")
        self._lock_timeout_s = lock_timeout_s

    async def run(
        self,
        step: Callable[[], T],
        *,
        undo: Callable[[T], None] | None = None,
        given_up: threading.Event | None = None,
    ) -> T:
        """The step's result. Cancelled after the step began: its end is awaited, ``undo`` gets the result, the cancellation goes on.

        A step that takes long looks at ``given_up`` now and then, which a cancellation sets.

        Raises:
            StowError: of the step, or translated from its OSError.
        """
        try:
            running = self._pool.submit(_translated, step)
        except RuntimeError as exc:  # what a pool says after its shutdown
            raise BackendFailedError("The client of this location is closed; ask again.") from exc
        try:
            return await asyncio.shield(asyncio.wrap_future(running))
        except asyncio.CancelledError:
            if given_up is not None:
                given_up.set()
            if not running.cancel():
                await _settled(running, self._settle_timeout_s)
                if undo is not None and not running.done():
                    running.add_done_callback(partial(_undo_late, undo))
                elif undo is not None and running.exception() is None:
                    await self.finish(lambda: undo(running.result()))
            raise

    async def finish(self, step: Callable[[], object]) -> None:
        """Run a clean-up to its end, cancelled or not. Its own failure is not raised: the sweep gets what it leaves."""
        try:
            running = self._pool.submit(_quiet, step)
        except RuntimeError:  # the pool is shut down, and cleaning up is worth the short wait
            _quiet(step)
            return
        if await _settled(running, self._settle_timeout_s):
            raise asyncio.CancelledError

    async def when_free(self, step: Callable[[], T], *, undo: Callable[[T], None] | None = None) -> T:
        """Run a step again as long as it raises :class:`Busy`.

        Raises:
            BackendTimeoutError: another writer held the lock all the time; nothing was changed.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._lock_timeout_s
        while True:
            try:
                return await self.run(step, undo=undo)
            except Busy:
                if loop.time() >= deadline:
                    raise BackendTimeoutError("Another writer holds the object or its container; try again.") from None
            await asyncio.sleep(random.uniform(*_POLL_S))  # noqa: S311  jitter, no secret

    def close(self) -> None:
        """Running steps end, new ones are refused."""
        self._pool.shutdown(wait=False)


def _translated(step: Callable[[], T]) -> T:
    with translated():
        return step()


def _quiet(step: Callable[[], object]) -> None:
    try:
        step()
    except OSError:
        return


def _undo_late(undo: Callable[[T], None], running: Future[T]) -> None:
    if not running.cancelled() and running.exception() is None:
        _quiet(lambda: undo(running.result()))


async def _settled(running: Future[T], timeout_s: float) -> bool:
    """Wait until the thread is done, however often this task is cancelled meanwhile. True if it was: the caller passes that on."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    waiter = asyncio.wrap_future(running)
    # The caller looks at ``running``; an exception of ``waiter`` that nobody asked for would be logged.
    waiter.add_done_callback(lambda done: done.cancelled() or done.exception())
    cancelled = False
    while not waiter.done() and (left_s := deadline - loop.time()) > 0:
        try:
            await asyncio.wait([waiter], timeout=left_s)
        except asyncio.CancelledError:
            cancelled = True
    return cancelled
