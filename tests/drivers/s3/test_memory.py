"""Memory: a write and a read of any size take a few chunks of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator

import pytest

from drivers.s3.setup import server_driver
from servers.minio import MinioServer
from stow.drivers.s3.config import Dialect, Multipart
from stow.drivers.s3.driver import S3Driver
from stow.storage.budget import ByteBudget
from stow.storage.model import MIB, WriteOptions

SIZE = 96 * MIB


async def _zeros() -> AsyncIterator[bytes]:
    """Fresh chunks, so that kept ones would show."""
    for number in range(SIZE // (256 * 1024)):
        yield bytes([number % 256]) * (256 * 1024)


async def _peak_of_write(driver: S3Driver, bucket: str, size_bytes: int | None) -> int:
    await driver.head(bucket, "warm")
    tracemalloc.start()
    try:
        await driver.write(bucket, "k", _zeros(), size_bytes=size_bytes, options=WriteOptions())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("multipart", "size_bytes", "limit_bytes"),
    [
        (Multipart(), SIZE, 4 * MIB),
        (Multipart(threshold_bytes=SIZE), SIZE, 4 * MIB),
        # Three shares of the budget, and what the sockets hold of them.
        (Multipart(concurrency=4), None, 24 * MIB + 8 * MIB),
    ],
)
async def test_a_write_takes_a_few_chunks_or_its_share_of_the_budget(
    minio: MinioServer, s3: S3Driver, bucket: str, multipart: Multipart, size_bytes: int | None, limit_bytes: int
) -> None:
    driver = server_driver(minio, dialect=Dialect.MINIO, multipart=multipart, budget=ByteBudget(24 * MIB))
    await s3.write(bucket, "warm", _one(), size_bytes=1, options=WriteOptions())
    assert await _peak_of_write(driver, bucket, size_bytes) < limit_bytes
    assert (await driver.head(bucket, "k")).size_bytes == SIZE
    tracemalloc.start()
    try:
        left = SIZE
        async with await driver.read(bucket, "k", None) as stream:
            async for chunk in stream:
                left -= len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert left == 0
    assert peak < 4 * MIB
    await driver.aclose()


async def _one() -> AsyncIterator[bytes]:
    yield b"x"
