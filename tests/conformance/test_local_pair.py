"""Two local drivers on one folder, as two processes have them: one winner of each race, nobody sees half an object."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conformance.clients import DirectClient, read
from conformance.world import Clock, make_store, name
from stow.drivers.local.driver import LocalDriver
from stow.errors import PreconditionFailedError
from stow.storage.clock import utc_now
from stow.storage.model import WriteOptions


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[list[DirectClient]]:
    drivers = [LocalDriver(root=tmp_path / "team", base=tmp_path, clock=utc_now) for _ in range(2)]
    container = name()
    await drivers[0].create_container(container, None)
    yield [DirectClient(make_store(driver, container, clock=Clock()), container) for driver in drivers]
    for driver in drivers:
        await driver.aclose()


async def winners(pair: list[DirectClient], options: WriteOptions) -> list[bytes]:
    """The bodies of those of sixteen racers, eight on each driver, that were told of success."""
    bodies = [b"racer %02d" % number for number in range(16)]
    tasks = (pair[number % 2].write("k", body, options=options) for number, body in enumerate(bodies))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(r, PreconditionFailedError) for r in results if isinstance(r, BaseException)), results
    return [body for body, result in zip(bodies, results, strict=True) if not isinstance(result, BaseException)]


async def test_one_of_sixteen_racers_on_two_drivers_creates(pair: list[DirectClient]) -> None:
    won = await winners(pair, WriteOptions(if_none_match=True))
    assert len(won) == 1
    assert (await read(pair[0], "k")).data == (await read(pair[1], "k")).data == won[0]


async def test_one_of_sixteen_racers_on_two_drivers_swaps(pair: list[DirectClient]) -> None:
    old = await pair[0].write("k", b"old")
    won = await winners(pair, WriteOptions(if_match=old.etag))
    assert len(won) == 1
    assert (await read(pair[1], "k")).data == won[0]


async def test_readers_on_one_driver_see_whole_versions_of_the_other(pair: list[DirectClient]) -> None:
    versions = [bytes([65 + n]) * (200_000 + n) for n in range(4)]
    await pair[0].write("k", versions[0])

    async def write() -> None:
        for turn in range(8):
            await pair[0].write("k", versions[turn % 4])

    async def look() -> list[bytes]:
        return [(await read(pair[1], "k")).data for _ in range(8)]

    _, *seen = await asyncio.gather(write(), look(), look())
    assert all(data in versions for each in seen for data in each)
