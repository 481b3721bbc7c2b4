"""Memory: a write and a read of any size take a few chunks of it. Without the front, which runs in this process."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Callable

import pytest

from drivers.google.setup import body, stub_driver
from servers.fake_gcs import FakeGcsServer
from stow.drivers.google.config import Uploads
from stow.storage.budget import ByteBudget
from stow.storage.model import MIB, WriteOptions
from stow.transport.deadlines import Deadlines

SIZE = 48 * MIB


async def _zeros() -> AsyncIterator[bytes]:
    """Fresh chunks, so that kept ones would show."""
    for number in range(SIZE // (256 * 1024)):
        yield bytes([number % 256]) * (256 * 1024)


@pytest.mark.parametrize(
    ("uploads", "size_bytes", "limit_bytes"),
    [
        (Uploads(), SIZE, 4 * MIB),
        (Uploads(single_bytes=MIB), SIZE, 4 * MIB),
        # One chunk out of the budget, and what the socket holds of it.
        (Uploads(chunk_bytes=8 * MIB), None, 8 * MIB + 8 * MIB),
    ],
)
async def test_a_write_takes_a_few_chunks_or_its_share_of_the_budget(
    fake_gcs: FakeGcsServer,
    unique_name: Callable[[str], str],
    uploads: Uploads,
    size_bytes: int | None,
    limit_bytes: int,
) -> None:
    budget, bucket = ByteBudget(24 * MIB), unique_name("google")
    driver = stub_driver(
        fake_gcs.endpoint, uploads=uploads, budget=budget, deadlines=Deadlines(), project=fake_gcs.project
    )
    await driver.create_container(bucket, None)
    await driver.write(bucket, "warm", body(b"x"), size_bytes=1, options=WriteOptions())
    tracemalloc.start()
    try:
        await driver.write(bucket, "k", _zeros(), size_bytes=size_bytes, options=WriteOptions())
        assert tracemalloc.get_traced_memory()[1] < limit_bytes
        tracemalloc.reset_peak()
        left = SIZE
        async with await driver.read(bucket, "k", None) as stream:
            async for chunk in stream:
                left -= len(chunk)
        assert left == 0
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
    assert budget.used_bytes == 0
    await driver.delete(bucket, "k", if_match=None)
    await driver.aclose()
