"""How a promise talks to the store: one protocol, and its form that calls StowStore directly (HTTP is `http_client.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol

from stow.errors import StowError
from stow.storage.model import (
    ByteRange,
    CopyOptions,
    ListedObject,
    ObjectMetadata,
    ObjectStream,
    ReadConditions,
    SignedURL,
    SignedURLProperties,
    WriteOptions,
)
from stow.storage.names import DataReference
from stow.storage.store import StowStore

Body = bytes | AsyncIterator[bytes]
WHOLE: Final = -1
"""`size_bytes=WHOLE` announces the length of a body of bytes; None announces nothing."""


@dataclass(frozen=True, slots=True)
class Got:
    """A finished read."""

    data: bytes
    metadata: ObjectMetadata
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Page:
    objects: tuple[ListedObject, ...]
    prefixes: tuple[str, ...]
    cursor: str | None

    @property
    def keys(self) -> list[str]:
        return [found.key for found in self.objects]


class ObjectClient(Protocol):
    """Objects of one container (or of another one that is named). Every failure is raised as the error of the tree with its code."""

    async def head(self, key: str, *, container: str | None = None) -> ObjectMetadata: ...

    async def open(
        self,
        key: str,
        *,
        byte_range: ByteRange | None = None,
        conditions: ReadConditions | None = None,
        container: str | None = None,
    ) -> ObjectStream: ...

    async def write(
        self,
        key: str,
        body: Body,
        *,
        size_bytes: int | None = WHOLE,
        options: WriteOptions | None = None,
        container: str | None = None,
    ) -> ObjectMetadata: ...

    async def list(
        self,
        prefix: str = "",
        *,
        limit: int = 1000,
        cursor: str | None = None,
        delimiter: str | None = None,
        container: str | None = None,
    ) -> Page: ...

    async def delete(self, key: str, *, if_match: str | None = None, container: str | None = None) -> None: ...

    async def copy(
        self, source: str, destination: str, options: CopyOptions | None = None, *, container: str | None = None
    ) -> ObjectMetadata:
        """Within one container; ``container`` names another one for the source."""
        ...

    async def sign(self, key: str, properties: SignedURLProperties, *, container: str | None = None) -> SignedURL: ...


async def chunks_of(data: bytes, *, size_bytes: int = 1 << 18) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size_bytes):
        yield data[at : at + size_bytes]


async def together(*calls: Coroutine[Any, Any, None]) -> None:
    """Run them side by side; the first that fails ends the others, and its error is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(call)
    except* (AssertionError, StowError) as errors:
        raise errors.exceptions[0] from None


async def read(
    client: ObjectClient,
    key: str,
    *,
    byte_range: ByteRange | None = None,
    conditions: ReadConditions | None = None,
    container: str | None = None,
) -> Got:
    """Open, read to the end, close."""
    stream = await client.open(key, byte_range=byte_range, conditions=conditions, container=container)
    async with stream:
        data = b"".join([chunk async for chunk in stream])
        return Got(data, stream.metadata, stream.start, stream.end)


class DirectClient:
    """Calls StowStore."""

    def __init__(self, store: StowStore, container: str) -> None:
        self.store = store
        self.container = container

    def _reference(self, key: str, container: str | None) -> DataReference:
        return self.store.reference(container or self.container, key)

    async def head(self, key: str, *, container: str | None = None) -> ObjectMetadata:
        return await self.store.head(self._reference(key, container))

    async def open(
        self,
        key: str,
        *,
        byte_range: ByteRange | None = None,
        conditions: ReadConditions | None = None,
        container: str | None = None,
    ) -> ObjectStream:
        return await self.store.read_raw(self._reference(key, container), byte_range=byte_range, conditions=conditions)

    async def write(
        self,
        key: str,
        body: Body,
        *,
        size_bytes: int | None = WHOLE,
        options: WriteOptions | None = None,
        container: str | None = None,
    ) -> ObjectMetadata:
        stream = chunks_of(body) if isinstance(body, bytes) else body
        if size_bytes == WHOLE:
            size_bytes = len(body) if isinstance(body, bytes) else None
        return await self.store.write_raw(
            self._reference(key, container), size_bytes, options or WriteOptions(), stream
        )

    async def list(
        self,
        prefix: str = "",
        *,
        limit: int = 1000,
        cursor: str | None = None,
        delimiter: str | None = None,
        container: str | None = None,
    ) -> Page:
        page = await self.store.list(self._reference(prefix, container), limit, cursor, delimiter=delimiter)
        assert [r.key for r in page.references] == [o.key for o in page.objects]
        assert all(r.container == (container or self.container) for r in page.references)
        return Page(page.objects, page.prefixes, page.cursor)

    async def delete(self, key: str, *, if_match: str | None = None, container: str | None = None) -> None:
        await self.store.delete(self._reference(key, container), if_match=if_match)

    async def copy(
        self, source: str, destination: str, options: CopyOptions | None = None, *, container: str | None = None
    ) -> ObjectMetadata:
        return await self.store.copy_raw(
            self._reference(source, container), self._reference(destination, None), options or CopyOptions()
        )

    async def sign(self, key: str, properties: SignedURLProperties, *, container: str | None = None) -> SignedURL:
        return await self.store.create_signed_url(self._reference(key, container), properties)
