"""A driver that stops or fails where a test says so, and notes when its caller went away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from stow.storage.driver import Driver, SignRequest
from stow.storage.model import ByteRange, Listing, ObjectMetadata, ObjectStream, SignedURL, WriteOptions


class FaultyDriver:
    """Wraps a driver. ``stop`` names points at which a call waits for ever: head, list, read, chunk, write, part, written, delete,
    sign.

    ``reached`` and ``cancelled`` say which of them were come to and which were left by cancellation; ``error`` is raised
    instead of waiting; ``hides_source`` instead of what the body raised.
    """

    def __init__(self, inner: Driver) -> None:
        self._inner = inner
        self.stop: set[str] = set()
        self.error: BaseException | None = None
        self.reached: list[str] = []
        self.cancelled: list[str] = []
        self.closed_streams = 0
        self.taken_bytes = 0
        self.reads_first = False
        self.hides_source: Exception | None = None
        self.gate = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @contextmanager
    def _noted(self, point: str) -> Iterator[None]:
        self.reached.append(point)
        try:
            yield
        except asyncio.CancelledError:
            self.cancelled.append(point)
            raise

    async def _at(self, point: str) -> None:
        with self._noted(point):
            if point in self.stop:
                if self.error is not None:
                    raise self.error
                await self.gate.wait()

    async def head(self, container: str, key: str) -> ObjectMetadata:
        await self._at("head")
        return await self._inner.head(container, key)

    async def sign(self, request: SignRequest) -> SignedURL:
        await self._at("sign")
        return await self._inner.sign(request)

    async def list(
        self, container: str, *, prefix: str, delimiter: str | None, limit: int, token: str | None
    ) -> Listing:
        await self._at("list")
        return await self._inner.list(container, prefix=prefix, delimiter=delimiter, limit=limit, token=token)

    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        await self._at("delete")
        await self._inner.delete(container, key, if_match=if_match)

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> ObjectStream:
        await self._at("read")
        return _Stream(self, await self._inner.read(container, key, byte_range))

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        await self._at("write")
        if self.reads_first:  # as a backend does that looks at conditions when it has everything
            body = _given([chunk async for chunk in body])
        with self._noted("whole-write"):
            return await self._inner.write(container, key, self._parts(body), size_bytes=size_bytes, options=options)

    async def _source(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in body:
                yield chunk
        except Exception as error:
            if self.hides_source is None:
                raise
            raise self.hides_source from error

    async def _parts(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for chunk in self._source(body):
            await self._at("part")
            self.taken_bytes += len(chunk)
            yield chunk
        await self._at("written")


class _Stream:
    def __init__(self, owner: FaultyDriver, inner: ObjectStream) -> None:
        self._owner = owner
        self._inner = inner
        self.metadata = inner.metadata
        self.start, self.end = inner.start, inner.end

    async def __aenter__(self) -> _Stream:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._owner.closed_streams += 1
        await self._inner.__aexit__(*error)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield chunk
            await self._owner._at("chunk")


async def _given(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
