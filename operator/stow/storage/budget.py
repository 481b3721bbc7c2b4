"""A budget of bytes that all uploads of a process share: what bounds the memory of buffered parts, however many uploads run.

First come, first served: a big request is not starved by small ones behind it. No deadlock as long as holders keep the rule: whoever
waits here holds only shares that are freed without this budget (parts that are already being sent). A request for more than the
whole is refused at once, because it could never be granted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stow.errors import LimitExceededError


class ByteBudget:
    """Belongs to one event loop. ``total_bytes`` is the most that is out at any time."""

    def __init__(self, total_bytes: int) -> None:
        if total_bytes <= 0:
            raise ValueError("a budget needs at least one byte")
        self.total_bytes = total_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiters)

    async def acquire(self, size_bytes: int) -> None:
        """Take a share; wait in line until it is free.

        Raises:
            LimitExceededError: more than the whole budget.
        """
        if size_bytes > self.total_bytes:
            raise LimitExceededError(
                f"A part of {size_bytes} bytes does not fit into the {self.total_bytes} bytes that uploads may buffer; "
                "announce the size of the object, so that nothing needs buffering."
            )
        if not self._waiters and self.used_bytes + size_bytes <= self.total_bytes:
            self._take(size_bytes)
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size_bytes, granted)
        self._waiters.append(entry)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.release(size_bytes)  # granted and cancelled in the same turn of the loop
            else:
                if entry in self._waiters:
                    self._waiters.remove(entry)
                self._grant()  # who stood behind it may fit now
            raise

    def release(self, size_bytes: int) -> None:
        """Give a share back and let the next in line go on."""
        self.used_bytes -= size_bytes
        if self.used_bytes < 0:
            raise RuntimeError("more was given back to the byte budget than was taken")
        self._grant()

    @asynccontextmanager
    async def share(self, size_bytes: int) -> AsyncIterator[None]:
        """A share for the time of a block."""
        await self.acquire(size_bytes)
        try:
            yield
        finally:
            self.release(size_bytes)

    def _take(self, size_bytes: int) -> None:
        self.used_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)

    def _grant(self) -> None:
        while self._waiters and self.used_bytes + self._waiters[0][0] <= self.total_bytes:
            size_bytes, granted = self._waiters.popleft()
            if granted.cancelled():
                continue
            self._take(size_bytes)
            granted.set_result(None)
