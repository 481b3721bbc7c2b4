"""Drivers around a driver: one that counts, ones whose backend does not let them in or does not answer, one that lacks an ability."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from stow.errors import StowError
from stow.storage.driver import Driver
from stow.storage.model import ByteRange, ObjectMetadata, ObjectStream


class Wrapper:
    """Passes everything on. Subclasses change single methods. Closing it leaves the shared driver below open."""

    def __init__(self, inner: Driver) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def aclose(self) -> None:
        """The one who opened the inner driver closes it."""


class Counting(Wrapper):
    """Writes down each call that would leave the process."""

    def __init__(self, inner: Driver) -> None:
        super().__init__(inner)
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if not inspect.iscoroutinefunction(value):
            return value

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            return await value(*args, **kwargs)

        return counted


class Failing(Wrapper):
    """A backend that answers every call with one and the same error."""

    def __init__(self, inner: Driver, error: Callable[[], StowError]) -> None:
        super().__init__(inner)
        self._error = error

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if not inspect.iscoroutinefunction(value) or name == "sign":  # which asks no backend
            return value

        async def refuse(*args: Any, **kwargs: Any) -> Any:
            raise self._error()

        return refuse


class Lacking(Wrapper):
    """The same driver with other capabilities."""

    def __init__(self, inner: Driver, **capabilities: Any) -> None:
        super().__init__(inner)
        self.capabilities = replace(inner.capabilities, **capabilities)


class Stream:
    """A stream whose bytes go through ``change``; closing it closes the one below."""

    def __init__(
        self,
        inner: ObjectStream,
        change: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]],
        *,
        metadata: ObjectMetadata | None = None,
    ) -> None:
        self._inner = inner
        self._change = change
        self.metadata = metadata or inner.metadata
        self.start, self.end = inner.start, inner.end
        self.closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._change(aiter(self._inner))

    async def __aenter__(self) -> Stream:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.closed = True
        await self._inner.__aexit__(*error)


class Reading(Wrapper):
    """Every read's bytes go through ``change``; remembers the streams that it gave out."""

    def __init__(self, inner: Driver, change: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]) -> None:
        super().__init__(inner)
        self._change = change
        self.streams: list[Stream] = []

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> Stream:
        stream = Stream(await self.inner.read(container, key, byte_range), self._change)
        self.streams.append(stream)
        return stream


async def unchanged(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk


async def flipped(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """One bit of the first byte is another."""
    first = True
    async for chunk in chunks:
        yield bytes([chunk[0] ^ 1]) + chunk[1:] if first else chunk
        first = False


async def shortened(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Each chunk lacks its last byte."""
    async for chunk in chunks:
        if len(chunk) > 1:
            yield chunk[:-1]
