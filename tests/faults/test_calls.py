"""How many requests each operation costs, counted by the proxy. Through StowStore, so its own questions to the driver count too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from faults.harm import Status
from faults.kinds import KINDS
from faults.table import BY_NAME
from faults.world import OLD, Base, World, body, open_world
from stow.errors import ContainerNotFoundError, ObjectNotFoundError
from stow.storage.model import ByteRange, CopyOptions, Method, SignedURLProperties, WriteOptions
from stow.storage.names import DataReference

Call = Callable[[World], Awaitable[None]]
SMALL_BYTES: Final = 1000


def here(world: World) -> DataReference:
    return world.store.reference(world.base.container, world.key)


async def head(world: World) -> None:
    await world.store.head(here(world))


def read(byte_range: ByteRange | None, expected: bytes) -> Call:
    async def call(world: World) -> None:
        async with await world.store.read_raw(here(world), byte_range=byte_range) as stream:
            assert b"".join([chunk async for chunk in stream]) == expected

    return call


async def some(size_bytes: int) -> AsyncIterator[bytes]:
    chunk = bytes(100_000)
    for start in range(0, size_bytes, len(chunk)):
        yield chunk[: size_bytes - start]


async def write(world: World, size_bytes: int, *, announced: bool = True) -> None:
    await world.store.write_raw(here(world), size_bytes if announced else None, WriteOptions(), some(size_bytes))
    assert (await world.base.direct.head(world.base.container, world.key)).size_bytes == size_bytes


async def write_empty(world: World) -> None:
    await write(world, 0)


async def write_small(world: World) -> None:
    await write(world, SMALL_BYTES)


async def write_streamed(world: World) -> None:
    await write(world, 300_000)


async def write_at_the_limit(world: World) -> None:
    await write(world, world.base.kind.single_bytes)


async def write_small_unannounced(world: World) -> None:
    await write(world, SMALL_BYTES, announced=False)


async def delete(world: World) -> None:
    await world.store.delete(here(world))


async def list_one_page(world: World) -> None:
    page = await world.store.list(here(world))
    assert (len(page.objects), page.cursor) == (1, None)


async def copy(world: World) -> None:
    source = world.store.reference(world.base.container, "source")
    await world.store.copy_raw(source, here(world), CopyOptions())


async def sign(world: World) -> None:
    await world.store.create_signed_url(here(world), SignedURLProperties(Method.GET))


CALLS: Final[dict[str, tuple[int, Call]]] = {
    "head": (1, head),
    "read": (1, read(None, OLD)),
    "read a range": (1, read(ByteRange(5, 100), OLD[5:100])),
    "read from an offset": (1, read(ByteRange(5), OLD[5:])),
    "read a suffix": (1, read(ByteRange(suffix=7), OLD[-7:])),
    "write nothing": (1, write_empty),
    "write small": (1, write_small),
    "write streamed": (1, write_streamed),
    "write up to the single-write limit": (1, write_at_the_limit),
    "write small of unknown size": (1, write_small_unannounced),
    "delete": (1, delete),
    "list a page": (1, list_one_page),
    "copy": (1, copy),
    "sign": (0, sign),
}
"""What each may cost. A kind that differs says so in its ``calls``."""


@pytest.mark.parametrize("kind_name", KINDS, indirect=True)
@pytest.mark.parametrize("name", CALLS)
async def test_an_operation_costs_its_number_of_requests(kind_name: str, base: Base, name: str, tmp_path: Path) -> None:
    expected, call = CALLS[name]
    async with open_world(base, tmp_path) as world:
        await world.seed(BY_NAME["head"])
        await world.log_in()
        await call(world)
        seen = [str(request) for request in world.proxy.seen]
    await world.clean()
    assert len(seen) == base.kind.calls.get(name, expected), seen


@pytest.mark.parametrize("kind_name", KINDS, indirect=True)
async def test_a_listing_costs_one_request_a_page(kind_name: str, base: Base, tmp_path: Path) -> None:
    async with open_world(base, tmp_path) as world:
        keys = [f"{world.key}/{number}" for number in range(5)]
        for key in keys:
            await base.direct.write(base.container, key, body(b"x"), size_bytes=1, options=WriteOptions())
        await world.log_in()
        listed: list[str] = []
        cursor: str | None = None
        for page_number in range(1, 4):
            page = await world.store.list(world.store.reference(base.container, f"{world.key}/"), 2, cursor)
            cursor = page.cursor
            listed += [found.key for found in page.objects]
            assert len(world.proxy.seen) == page_number
    assert (listed, cursor) == (keys, None)
    for key in keys:
        await base.direct.delete(base.container, key, if_match=None)


NAMELESS_404: Final = Status(404)
"""Says neither what is missing nor anything else."""


@pytest.mark.parametrize("kind_name", KINDS, indirect=True)
@pytest.mark.parametrize("operation", ["head", "read", "delete"])
async def test_a_404_that_does_not_say_what_is_missing_costs_one_look_for_the_container(
    kind_name: str, base: Base, operation: str, tmp_path: Path
) -> None:
    """And the look counts for the next such answers, too."""
    async with open_world(base, tmp_path) as world:
        await world.log_in()
        world.proxy.inject(NAMELESS_404, when=world.is_role(operation))
        for requests in (2, 3):
            await absent(world, operation)
            seen = [str(request) for request in world.proxy.seen]
            assert len(seen) == requests, seen
        assert world.proxy.count(world.is_role("exists")) == 1


async def absent(world: World, operation: str) -> None:
    """The object is absent, in the operation's own way to say so."""
    if operation == "head":
        assert not (await world.store.head(here(world))).exists
    elif operation == "read":
        with pytest.raises(ObjectNotFoundError):
            await world.store.read_raw(here(world))
    else:
        await delete(world)


@pytest.mark.parametrize("kind_name", KINDS, indirect=True)
async def test_the_look_for_the_container_tells_a_missing_one(kind_name: str, base: Base, tmp_path: Path) -> None:
    async with open_world(base, tmp_path) as world:
        await world.log_in()
        world.proxy.inject(NAMELESS_404, when=world.is_role("head"))
        world.proxy.inject(NAMELESS_404, when=world.is_role("exists"))
        with pytest.raises(ContainerNotFoundError):
            await head(world)
        assert len(world.proxy.seen) == 2


def test_every_call_that_a_kind_has_its_own_number_for_is_one_of_these() -> None:
    for kind in KINDS.values():
        assert kind.calls.keys() <= CALLS.keys()
