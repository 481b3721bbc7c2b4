"""A driver with one container, for the tests of the local driver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from stow.drivers.local.driver import LocalDriver
from stow.storage.model import ByteRange, ObjectMetadata, WriteOptions

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(slots=True)
class Box:
    """A driver with one container, ``box``, and short ways to write and read."""

    driver: LocalDriver
    base: Path

    @property
    def folder(self) -> Path:
        return self.base / "team" / "box"

    async def put(self, key: str, data: bytes, options: WriteOptions | None = None) -> ObjectMetadata:
        async def body() -> AsyncIterator[bytes]:
            for at in range(0, len(data), 100_000):
                await asyncio.sleep(0)
                yield data[at : at + 100_000]

        return await self.driver.write("box", key, body(), size_bytes=len(data), options=options or WriteOptions())

    async def get(self, key: str, byte_range: ByteRange | None = None) -> bytes:
        async with await self.driver.read("box", key, byte_range) as stream:
            return b"".join([chunk async for chunk in stream])

    async def keys(self) -> list[str]:
        page = await self.driver.list("box", prefix="", delimiter=None, limit=1000, token=None)
        return [found.key for found in page.objects]

    def names(self, part: str) -> list[str]:
        return sorted(path.name for path in (self.folder / part).iterdir())
