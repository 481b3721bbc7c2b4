"""Reads: one version, exactly the bytes asked for, under exactly the conditions given."""

from __future__ import annotations

import asyncio
import contextlib
import random
from datetime import timedelta

import pytest

from conformance.clients import read, together
from conformance.table import promise
from conformance.world import World
from conformance.wrappers import Reading, unchanged
from stow.errors import (
    BackendError,
    LimitExceededError,
    NotModifiedError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    WriteOutcomeUnknownError,
)
from stow.storage.model import ByteRange, ObjectMetadata, ReadConditions

N = 1000
DATA = random.Random(3).randbytes(N)
RANGES: tuple[tuple[ByteRange, int, int], ...] = (
    (ByteRange(0, 1), 0, 1),
    (ByteRange(0), 0, N),
    (ByteRange(1), 1, N),
    (ByteRange(N - 1), N - 1, N),
    (ByteRange(N - 1, N), N - 1, N),
    (ByteRange(0, N), 0, N),
    (ByteRange(0, N - 1), 0, N - 1),
    (ByteRange(10, 20), 10, 20),
    (ByteRange(990, N + 500), 990, N),
    (ByteRange(suffix=1), N - 1, N),
    (ByteRange(suffix=N - 1), 1, N),
    (ByteRange(suffix=N), 0, N),
    (ByteRange(suffix=N + 5), 0, N),
)
BEYOND = (ByteRange(N), ByteRange(N, N + 1), ByteRange(N + 1000, N + 2000), ByteRange(suffix=0))


@promise("read-whole")
async def whole(world: World) -> None:
    big = random.Random(5).randbytes(1_500_000)
    await world.client.write("k", big)
    got = await read(world.client, "k")
    assert got.data == big
    assert (got.start, got.end, got.metadata.size_bytes) == (0, len(big), len(big))


@promise("read-range")
async def ranges(world: World) -> None:
    await world.client.write("k", DATA)
    for byte_range, start, end in RANGES:
        got = await read(world.client, "k", byte_range=byte_range)
        assert (got.start, got.end, got.metadata.size_bytes) == (start, end, N), byte_range
        assert got.data == DATA[start:end], byte_range


@promise("read-range-not-satisfiable")
async def beyond(world: World) -> None:
    await world.client.write("k", DATA)
    await world.client.write("empty", b"")
    for byte_range in BEYOND:
        with pytest.raises(RangeNotSatisfiableError) as raised:
            await read(world.client, "k", byte_range=byte_range)
        assert raised.value.size_bytes in {N, None}, byte_range
    for byte_range in (ByteRange(0), ByteRange(0, 1), ByteRange(suffix=1), ByteRange(suffix=0)):
        with pytest.raises(RangeNotSatisfiableError):
            await read(world.client, "empty", byte_range=byte_range)


async def answer(world: World, conditions: ReadConditions, byte_range: ByteRange | None = None) -> int:
    """The HTTP status that this read comes to."""
    try:
        got = await read(world.client, "k", byte_range=byte_range, conditions=conditions)
    except PreconditionFailedError:
        return 412
    except NotModifiedError as error:
        return 304 if error.etag else 0
    except RangeNotSatisfiableError:
        return 416
    assert got.data == DATA[got.start : got.end]
    return 200 if (got.start, got.end) == (0, N) else 206


@promise("read-conditions-in-order")
async def conditions(world: World) -> None:
    """The table of RFC 9110 13.2.2: If-Match shadows If-Unmodified-Since, If-None-Match shadows If-Modified-Since."""
    await world.client.write("k", DATA)
    found = await world.client.head("k")
    assert found.last_modified is not None
    second = timedelta(seconds=1)
    exact = found.last_modified.replace(microsecond=0)
    before, after = exact - second, exact + second
    tag, other = found.etag, "0" * 32
    table: list[tuple[ReadConditions, int]] = [
        (ReadConditions(), 200),
        (ReadConditions(if_match=(tag,)), 200),
        (ReadConditions(if_match=(other, tag)), 200),
        (ReadConditions(if_match=("*",)), 200),
        (ReadConditions(if_match=(other,)), 412),
        (ReadConditions(if_match=(f"W/{tag}",)), 412),
        (ReadConditions(if_none_match=(tag,)), 304),
        (ReadConditions(if_none_match=(f"W/{tag}",)), 304),
        (ReadConditions(if_none_match=(other, tag)), 304),
        (ReadConditions(if_none_match=("*",)), 304),
        (ReadConditions(if_none_match=(other,)), 200),
        (ReadConditions(if_modified_since=exact), 304),
        (ReadConditions(if_modified_since=after), 304),
        (ReadConditions(if_modified_since=before), 200),
        (ReadConditions(if_unmodified_since=exact), 200),
        (ReadConditions(if_unmodified_since=after), 200),
        (ReadConditions(if_unmodified_since=before), 412),
        (ReadConditions(if_match=(tag,), if_unmodified_since=before), 200),
        (ReadConditions(if_match=(other,), if_unmodified_since=after), 412),
        (ReadConditions(if_none_match=(other,), if_modified_since=after), 200),
        (ReadConditions(if_none_match=(tag,), if_modified_since=before), 304),
        (ReadConditions(if_match=(tag,), if_none_match=(tag,)), 304),
        (ReadConditions(if_match=(other,), if_none_match=(tag,)), 412),
        (ReadConditions(if_unmodified_since=before, if_none_match=(tag,)), 412),
        (ReadConditions(if_unmodified_since=after, if_modified_since=after), 304),
    ]
    for asked, expected in table:
        assert await answer(world, asked) == expected, asked


@promise("read-conditions-before-range")
async def conditions_and_ranges(world: World) -> None:
    await world.client.write("k", DATA)
    tag, other = (await world.client.head("k")).etag, "0" * 32
    inside, outside = ByteRange(10, 20), ByteRange(N)
    assert await answer(world, ReadConditions(if_match=(tag,)), inside) == 206
    assert await answer(world, ReadConditions(if_match=(other,)), inside) == 412
    assert await answer(world, ReadConditions(if_match=(other,)), outside) == 412
    assert await answer(world, ReadConditions(if_none_match=(tag,)), outside) == 304
    assert await answer(world, ReadConditions(if_match=(tag,)), outside) == 416


@promise("if-range")
async def if_range(world: World) -> None:
    await world.client.write("k", DATA)
    found = await world.client.head("k")
    assert found.last_modified is not None
    exact = found.last_modified.replace(microsecond=0)
    inside, outside = ByteRange(10, 20), ByteRange(N)
    for validator, matches in (
        (found.etag, True),
        ("0" * 32, False),
        (f"W/{found.etag}", False),
        (exact, True),
        (exact - timedelta(seconds=1), False),
        (exact + timedelta(seconds=1), False),
    ):
        asked = ReadConditions(if_range=validator)
        assert await answer(world, asked, inside) == (206 if matches else 200), validator
        assert await answer(world, asked, outside) == (416 if matches else 200), validator


@promise("read-is-pinned")
async def pinned(world: World) -> None:
    """Fault 9: the original asks for the size first and for the bytes afterwards, with nothing that ties the two together."""
    old, new = b"o" * 3_000_000, b"n" * 2_000_000
    await world.client.write("k", old)
    stream = await world.client.open("k")
    seen = b""
    try:
        async with stream:
            iterator = aiter(stream)
            seen += await anext(iterator)
            await world.client.write("k", new)
            async for chunk in iterator:
                seen += chunk
        assert seen == old
    except BackendError:
        assert old.startswith(seen), "a read that was cut gave bytes of another version"
    assert (await read(world.client, "k")).data == new


@promise("read-has-one-version-under-load")
async def readers_and_writers(world: World) -> None:
    versions = [bytes([65 + n]) * (100_000 + n) for n in range(4)]
    await world.client.write("k", versions[0])
    torn: list[tuple[int, set[int]]] = []

    reading = 20

    async def reader() -> None:
        nonlocal reading
        for _ in range(3):
            got = await read(world.client, "k")
            if got.data not in versions or got.metadata.size_bytes != len(got.data):
                torn.append((len(got.data), set(got.data)))
        reading -= 1

    async def writer(number: int) -> None:
        """As long as anybody reads."""
        while reading:
            # A 5xx of a server that cannot take parallel writes of one key.
            with contextlib.suppress(WriteOutcomeUnknownError):
                number += 1
                await world.client.write("k", versions[number % 4])

    await together(*(writer(number) for number in range(12)), *(reader() for _ in range(reading)))
    assert torn == []


@promise("closed-read-ends-at-the-backend")
async def closed_early(world: World) -> None:
    await world.client.write("k", b"x" * 2_000_000)
    reading = Reading(world.driver, unchanged)
    store = world.make_store(reading)
    stream = await store.read_raw(store.reference(world.container, "k"))
    async with stream:
        await anext(aiter(stream))
    assert [s.closed for s in reading.streams] == [True]
    for refused in (ReadConditions(if_match=("0" * 32,)), ReadConditions(if_none_match=("*",))):
        with pytest.raises((PreconditionFailedError, NotModifiedError)):
            await store.read_raw(store.reference(world.container, "k"), conditions=refused)
    assert [s.closed for s in reading.streams] == [True] * 3


@promise("cancelled-read-ends-at-the-backend")
async def cancelled(world: World) -> None:
    """Fault 9: a reader that goes away ends the backend's request."""
    await world.client.write("k", b"x" * 2_000_000)
    reading = Reading(world.driver, unchanged)
    store = world.make_store(reading)
    begun = asyncio.Event()

    async def slow_reader() -> None:
        async with await store.read_raw(store.reference(world.container, "k")) as stream:
            async for _ in stream:
                begun.set()
                await asyncio.Event().wait()

    task = asyncio.create_task(slow_reader())
    await asyncio.wait_for(begun.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [s.closed for s in reading.streams] == [True]


@promise("no-read-limit-by-default")
async def unlimited(world: World) -> None:
    """Fault 11: the original refuses to read more than 2 MiB unless it is told otherwise."""
    data = b"x" * (2 * 1024 * 1024 + 1)
    await world.client.write("k", data)
    assert len((await read(world.client, "k")).data) == len(data)


@promise("read-limit-is-kept")
async def limited(world: World) -> None:
    await world.client.write("k", DATA)
    client = await world.client_over(max_read_bytes=100)
    with pytest.raises(LimitExceededError):
        await read(client, "k")
    with pytest.raises(LimitExceededError):
        await read(client, "k", byte_range=ByteRange(0, 101))
    assert (await read(client, "k", byte_range=ByteRange(0, 100))).data == DATA[:100]
    assert (await client.head("k")).size_bytes == N


@promise("head-equals-read")
async def head_and_read_agree(world: World) -> None:
    await world.client.write("k", DATA)
    head, got = await world.client.head("k"), await read(world.client, "k", byte_range=ByteRange(0, 1))

    def facts(found: ObjectMetadata) -> tuple[object, ...]:
        whole_second = found.last_modified and found.last_modified.replace(microsecond=0)
        return found.exists, found.size_bytes, found.etag, whole_second, found.attributes.content_type

    assert facts(head) == facts(got.metadata)
