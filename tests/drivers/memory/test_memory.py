from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from stow.drivers.memory import MemoryBackend, MemoryDriver
from stow.errors import (
    BackendFailedError,
    ContainerNotEmptyError,
    ContainerNotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    UnsupportedError,
)
from stow.storage.driver import Driver, SignRequest
from stow.storage.model import ContainerEntry, CopyOptions, Method, ObjectAttributes, Origin, WriteOptions

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        await asyncio.sleep(0)
        yield part


async def put(driver: Driver, key: str, data: bytes, options: WriteOptions | None = None) -> str:
    written = await driver.write("box", key, chunks(data), size_bytes=len(data), options=options or WriteOptions())
    return written.etag


async def get(driver: Driver, key: str) -> bytes:
    async with await driver.read("box", key, None) as stream:
        return b"".join([chunk async for chunk in stream])


@pytest.fixture
async def driver() -> Driver:
    driver = MemoryDriver(clock=lambda: NOW, identity="mem://here")
    await driver.create_container("box", None)
    return driver


async def test_a_body_that_raises_leaves_the_old_object_and_no_open_upload(driver: Driver) -> None:
    await put(driver, "k", b"old")

    async def cut() -> AsyncIterator[bytes]:
        yield b"new"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await driver.write("box", "k", cut(), size_bytes=None, options=WriteOptions())
    assert await get(driver, "k") == b"old"
    assert (await driver.container_contents("box")).uploads == 0


async def test_a_cancelled_write_changes_nothing(driver: Driver) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"new"
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(driver.write("box", "k", endless(), size_bytes=None, options=WriteOptions()))
    await started.wait()
    assert (await driver.container_contents("box")).uploads == 1
    with pytest.raises(ContainerNotEmptyError):
        await driver.delete_container("box")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ObjectNotFoundError):
        await driver.head("box", "k")
    await driver.delete_container("box")


async def test_one_of_sixteen_racers_creates(driver: Driver) -> None:
    racers = (put(driver, "k", b"%d" % n, WriteOptions(if_none_match=True)) for n in range(16))
    results = await asyncio.gather(*racers, return_exceptions=True)
    assert sum(isinstance(result, str) for result in results) == 1
    assert sum(isinstance(result, PreconditionFailedError) for result in results) == 15


async def test_one_of_sixteen_racers_swaps(driver: Driver) -> None:
    etag = await put(driver, "k", b"old")
    racers = (put(driver, "k", b"%d" % n, WriteOptions(if_match=etag)) for n in range(16))
    results = await asyncio.gather(*racers, return_exceptions=True)
    assert sum(isinstance(result, str) for result in results) == 1


async def test_a_stream_stays_on_its_version(driver: Driver) -> None:
    old = b"o" * 600_000
    await put(driver, "k", old)
    async with await driver.read("box", "k", None) as stream:
        iterator = aiter(stream)
        first = await anext(iterator)
        await put(driver, "k", b"new")
        await driver.delete("box", "k", if_match=None)
        rest = b"".join([chunk async for chunk in iterator])
    assert first + rest == old


async def test_rewriting_the_same_bytes_is_another_version(driver: Driver) -> None:
    assert await put(driver, "k", b"same") != await put(driver, "k", b"same")


async def test_stored_attributes_do_not_follow_the_writers_mapping(driver: Driver) -> None:
    metadata = {"colour": "red"}
    await put(driver, "k", b"x", WriteOptions(attributes=ObjectAttributes(metadata=metadata)))
    metadata["colour"] = "blue"
    assert (await driver.head("box", "k")).attributes.metadata == {"colour": "red"}


async def test_copy_honours_the_condition_on_its_source(driver: Driver) -> None:
    await put(driver, "a", b"1")
    with pytest.raises(PreconditionFailedError):
        await driver.copy(("box", "a"), ("box", "b"), CopyOptions(source_if_match="other"))
    with pytest.raises(ObjectNotFoundError):
        await driver.head("box", "b")


async def test_a_missing_container_is_not_a_missing_object(driver: Driver) -> None:
    with pytest.raises(ContainerNotFoundError):
        await driver.head("gone", "k")
    with pytest.raises(ContainerNotFoundError):
        await driver.write("gone", "k", chunks(b"x"), size_bytes=1, options=WriteOptions())
    assert not await driver.container_exists("gone")


async def test_a_closed_driver_fails_and_its_backend_lives_on() -> None:
    backend = MemoryBackend()
    first = MemoryDriver(clock=lambda: NOW, backend=backend)
    await first.create_container("box", None)
    await put(first, "k", b"kept")
    await first.aclose()
    with pytest.raises(BackendFailedError):
        await first.head("box", "k")
    assert await get(MemoryDriver(clock=lambda: NOW, backend=backend), "k") == b"kept"


async def test_without_a_signer_nothing_is_signed(driver: Driver) -> None:
    entry = ContainerEntry("box", "mem://box", Origin.BASE, NOW, "uid")
    assert driver.capabilities.sign_methods == frozenset()
    with pytest.raises(UnsupportedError):
        await driver.sign(SignRequest("box", "k", Method.GET, NOW, NOW, entry))
