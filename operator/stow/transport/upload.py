"""A request's body on its way to the backend: counted, and watched by an idle deadline that stands still while its source is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from stow.errors import BackendFailedError

_STOP_S: Final = 1.0
"""For a source that ignores its cancellation."""


class Upload:
    """A body on its way. Says afterwards whether all of it was handed over, and what its source raised.

    ``size_bytes=None``: of unknown length, sent in chunks (RFC 9112 7.1). A source that raises never gets to the last chunk, so the
    backend sees a body that was cut off.
    """

    def __init__(self, source: AsyncIterator[bytes], size_bytes: int | None) -> None:
        self.size_bytes = size_bytes
        self.sent_bytes = 0
        self.failure: Exception | None = None
        self._ended = False
        self._source = aiter(source)
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def complete(self) -> bool:
        return self._ended if self.size_bytes is None else self.sent_bytes == self.size_bytes

    async def chunks(self, idle: Idle) -> AsyncIterator[bytes]:
        """The chunks, for aiohttp. ``idle`` runs while the backend takes one, and stands still while the source is asked."""
        try:
            idle.pause()
            while chunk := await self._next():
                self.sent_bytes += len(chunk)
                if self.size_bytes is not None and self.sent_bytes > self.size_bytes:
                    raise BackendFailedError("The body is longer than was announced.")
                idle.start()
                yield chunk
                idle.pause()
            self._ended = True
            if not self.complete:
                raise BackendFailedError("The body is shorter than was announced.")
            idle.start()
        except Exception as exc:
            # aiohttp wraps or swallows what a body raises; the sender wants the original. (GeneratorExit and CancelledError are aiohttp's
            # own way to stop asking: then the connection's failure is what counts.)
            self.failure = exc
            raise

    async def stopped(self) -> None:
        """Wait until the source is no longer being asked, after the request ended: only then may its owner close it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await self._quiet.wait()

    async def _next(self) -> bytes:
        self._quiet.clear()
        try:
            return await anext(self._source, b"")
        finally:
            self._quiet.set()


class Idle:
    """The idle deadline of a request, restarted by each step forward."""

    def __init__(self, timeout: asyncio.Timeout, idle_s: float) -> None:
        self._timeout = timeout
        self._idle_s = idle_s
        self.over = False

    def start(self) -> None:
        if not self.over and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._idle_s)

    def pause(self) -> None:
        if not self.over and not self._timeout.expired():
            self._timeout.reschedule(None)


async def each(chunks: list[bytes]) -> AsyncIterator[bytes]:
    """What is in memory as a body."""
    for chunk in chunks:
        yield chunk
