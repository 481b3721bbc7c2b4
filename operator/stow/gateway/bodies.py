"""Bodies on their way through the gateway, piece by piece: nothing is collected, every wait has a deadline.

A request's body is read only as fast as the backend takes it; ``100 Continue`` goes out when the first byte is asked for, so after
authorization and everything that can be refused without the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from aiohttp.http import HttpVersion11

from stow.errors import BackendTimeoutError, BodyError, BodyTooShortError
from stow.gateway.headers import body_size, single
from stow.gateway.problems import Code, Refusal
from stow.storage.model import ObjectStream

CHUNK_BYTES: Final = 256 * 1024


class BackendWatch:
    """The deadline of a call that takes a body: it stands still while the client is waited for.

    Use as an async context manager around the call.

    Raises:
        BackendTimeoutError: on leaving, when it passed.
    """

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._limit = asyncio.timeout(idle_s)
        self._active = False

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        self._active = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._active = False
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise backend_late() from late

    def pause(self) -> None:
        """From now on the client is waited for."""
        if self._active and not self._limit.expired():
            self._limit.reschedule(None)

    def resume(self) -> None:
        """From now on the backend is waited for. The driver may iterate in another task, and after the call has ended."""
        if self._active and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + self._idle_s)


def backend_late() -> BackendTimeoutError:
    return BackendTimeoutError("The backend did not answer in time; try again.")


@asynccontextmanager
async def backend_deadline(seconds: float) -> AsyncIterator[None]:
    """A fixed deadline for one call to a backend.

    Raises:
        BackendTimeoutError
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as late:
        raise backend_late() from late


class RequestBody:
    """The body of one request. Iterate once.

    Raises, on construction:
        Refusal: no or a foreign framing, an expectation other than 100-continue.
    """

    def __init__(self, request: web.BaseRequest, *, idle_s: float) -> None:
        self._request = request
        self._idle_s = idle_s
        self.size_bytes = body_size(request.headers, request.version)
        self.expects_continue = expects_continue(request)
        self._continued = False
        self.received_bytes = 0
        self.failure: BaseException | None = None
        """What went wrong with the client's side; it is the better answer where a driver reports only that its source failed."""

    async def chunks(self, watch: BackendWatch | None = None) -> AsyncIterator[bytes]:
        """Raises:
        Refusal: 408, the client stopped sending.
        BodyTooShortError: it went away.
        BodyError: its framing is broken.
        """
        while True:
            if watch is not None:
                watch.pause()
            try:
                chunk = await self._next()
            except (Refusal, BodyError) as error:
                self.failure = error
                raise
            finally:
                if watch is not None:
                    watch.resume()
            if not chunk:
                return
            self.received_bytes += len(chunk)
            for at in range(0, len(chunk), CHUNK_BYTES):
                yield chunk[at : at + CHUNK_BYTES]

    async def _next(self) -> bytes:
        if self.expects_continue and not self._continued:
            self._continued = True
            if self._request.transport is not None:
                self._request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            async with asyncio.timeout(self._idle_s):
                return await self._request.content.readany()
        except TimeoutError as late:
            raise Refusal(Code.REQUEST_TIMEOUT, "The body stopped arriving; nothing was stored.", close=True) from late
        except ConnectionError as gone:
            raise BodyTooShortError("The client went away before the body's end; nothing was stored.") from gone
        except asyncio.CancelledError:
            raise
        except Exception as broken:  # aiohttp's payload errors have no common base
            raise BodyError("The body's framing is broken; nothing was stored.") from broken

    async def document(self, limit_bytes: int) -> bytes:
        """All of a small body.

        Raises:
            Refusal: 413, it is larger.
        """
        parts: list[bytes] = []
        if self.size_bytes is not None and self.size_bytes > limit_bytes:
            raise _too_large(limit_bytes)
        async for chunk in self.chunks():
            parts.append(chunk)
            if self.received_bytes > limit_bytes:
                raise _too_large(limit_bytes)
        return b"".join(parts)


def _too_large(limit_bytes: int) -> Refusal:
    return Refusal(Code.DOCUMENT_TOO_LARGE, f"The document may have {limit_bytes} bytes.")


def expects_continue(request: web.BaseRequest) -> bool:
    """Raises:
    Refusal: 417, another expectation.
    """
    value = single(request.headers, "Expect")
    if value is None or request.version < HttpVersion11:
        return False
    if value.strip().lower() != "100-continue":
        raise Refusal(Code.EXPECTATION_FAILED, "The only expectation that is met is 100-continue.", close=True)
    return True


async def send(
    stream: ObjectStream, answer: web.StreamResponse, *, idle_s: float, on_bytes: Callable[[int], None]
) -> None:
    """Pass an open read on to the client; ``on_bytes`` hears of each piece that was handed over.

    The client's own deadline is the sweeper's: a write waits as long as bytes are taken.

    Raises:
        BackendTimeoutError, IntegrityError, BackendError: the answer is incomplete and must not end cleanly.
    """
    source = aiter(stream)
    while True:
        async with backend_deadline(idle_s):
            chunk = await anext(source, None)
        if chunk is None:
            return
        view = memoryview(chunk)
        for at in range(0, len(view), CHUNK_BYTES):
            piece = view[at : at + CHUNK_BYTES]
            await answer.write(piece)
            on_bytes(len(piece))
