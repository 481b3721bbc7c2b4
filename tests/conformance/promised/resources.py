"""What a driver takes it gives back: no socket, file, task or thread outlives it, and the loop's thread never waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from conformance.clients import DirectClient, read
from conformance.table import promise
from conformance.world import World, name
from stow.errors import ChecksumMismatchError, ContainerTakenError, ObjectNotFoundError
from stow.storage.driver import Driver
from stow.storage.model import ByteRange, SignedURLProperties, WriteOptions

BODY = bytes(range(256)) * 4000
TURN_S, SETTLE_TURNS = 0.01, 200
"""A closed connection leaves the loop some turns after its close."""
LOOPS_OWN = "asyncio_"
"""Threads of the loop's default executor: they resolve names for everybody."""


class SourceLostError(Exception):
    """The one who sends has gone."""


async def breaks_off() -> AsyncIterator[bytes]:
    yield BODY
    raise SourceLostError


async def stalls(under_way: asyncio.Event) -> AsyncIterator[bytes]:
    yield BODY
    under_way.set()
    await asyncio.Event().wait()


async def cancelled_write(client: DirectClient) -> None:
    under_way = asyncio.Event()
    task = asyncio.create_task(client.write("never", stalls(under_way), size_bytes=None))
    await asyncio.wait_for(under_way.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def exercise(world: World, driver: Driver) -> None:
    """Every verb: done, refused, broken off, given up and cancelled."""
    store = world.make_store(driver)
    client = DirectClient(store, world.container)
    await store.probe()
    await client.write("k", BODY)
    await client.write("streamed", client_chunks(), size_bytes=None)
    await asyncio.gather(*(client.head("k") for _ in range(8)))
    assert (await read(client, "k")).data == BODY
    assert (await read(client, "k", byte_range=ByteRange(5, 9))).data == BODY[5:9]
    async with await client.open("k") as stream:  # and leave it after the first bytes
        await anext(aiter(stream))
    with pytest.raises(ObjectNotFoundError):
        await read(client, "missing")
    with pytest.raises(SourceLostError):
        await client.write("never", breaks_off(), size_bytes=None)
    with pytest.raises(ChecksumMismatchError):
        await client.write("never", BODY, options=WriteOptions(content_md5=bytes(16)))
    await cancelled_write(client)
    await client.copy("k", "copied")
    assert len((await client.list()).keys) == 3
    for method in world.capabilities.sign_methods:
        await client.sign("k", SignedURLProperties(scope=method))
    made = name()
    await store.create_container(made)
    with pytest.raises(ContainerTakenError):
        await store.create_container(made)
    await store.container_state(made)
    await store.container_settings(made)
    await store.sweep_container(made)
    assert (await store.container_contents(made)).empty
    await store.delete_container(made)
    for key in ("k", "streamed", "copied"):
        await client.delete(key)


async def client_chunks() -> AsyncIterator[bytes]:
    for at in range(0, len(BODY), 1 << 18):
        yield BODY[at : at + (1 << 18)]


def fresh_driver(world: World) -> Driver:
    assert world.kind.again is not None, "the kind says not how one more driver on its backend is opened"
    return world.kind.again()


def held() -> set[object]:
    """Open descriptors, living tasks and threads of this process."""
    descriptors: set[object] = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor by which this folder is read
            descriptors.add((link.name, str(link.readlink())))
    threads = {thread for thread in threading.enumerate() if not thread.name.startswith(LOOPS_OWN)}
    return descriptors | asyncio.all_tasks() | threads


@promise("nothing-is-left-open")
async def left_open(world: World) -> None:
    before = held()
    driver = fresh_driver(world)
    try:
        await exercise(world, driver)
    finally:
        await driver.aclose()
    for _ in range(SETTLE_TURNS):
        if not held() - before:
            return
        await asyncio.sleep(TURN_S)
    pytest.fail(f"left behind: {held() - before}")


@contextlib.contextmanager
def blocking_is_an_error() -> Iterator[None]:
    """While it is entered, a blocking call on a loop's thread raises."""
    guard = BlockBuster()
    guard.activate()
    try:
        yield
    finally:
        guard.deactivate()


@promise("the-loop-is-never-blocked")
async def never_blocked(world: World) -> None:
    """From the first use of a driver to its close. That it is not built on the loop's thread is its owner's to see to."""
    driver = fresh_driver(world)
    with blocking_is_an_error():
        try:
            await exercise(world, driver)
        finally:
            await driver.aclose()
