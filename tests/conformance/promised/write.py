"""Writes: all of it or nothing, whatever happens on the way; preconditions are atomic."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import random
from collections.abc import AsyncIterator

import pytest

from conformance.clients import read
from conformance.table import promise
from conformance.world import World
from stow.errors import (
    BodyTooLongError,
    BodyTooShortError,
    ChecksumMismatchError,
    ContainerNotFoundError,
    InvalidArgumentError,
    InvalidMetadataError,
    LimitExceededError,
    PreconditionFailedError,
    StowError,
)
from stow.storage.model import ByteRange, ObjectAttributes, WriteOptions
from stow.storage.names import MAX_METADATA_BYTES

SIZE = 150_000
DATA = random.Random(7).randbytes(SIZE)
CUTS = (0, 1, SIZE - 1, *sorted(random.Random(11).sample(range(2, SIZE - 1), 2)))


class SourceLostError(Exception):
    """The one who sends has gone."""


async def cut_at(point: int, *, raises: bool) -> AsyncIterator[bytes]:
    """The first ``point`` bytes of DATA, then an exception or a silent end."""
    for at in range(0, point, 65_536):
        yield DATA[at : min(at + 65_536, point)]
    if raises:
        raise SourceLostError


async def too_long(point: int) -> AsyncIterator[bytes]:
    yield DATA[:point]
    yield DATA[point : point + 1]


async def assert_unchanged(world: World, key: str, old: bytes | None) -> None:
    if old is None:
        assert not (await world.client.head(key)).exists
        assert (await world.client.list(key)).keys == []
    else:
        assert (await read(world.client, key)).data == old


@promise("write-replaces")
async def write_and_replace(world: World) -> None:
    first = await world.client.write("k", b"first")
    assert (await read(world.client, "k")).data == b"first"
    second = await world.client.write("k", b"second!")
    assert first.etag != second.etag
    got = await read(world.client, "k")
    assert (got.data, got.metadata.etag, got.metadata.size_bytes) == (b"second!", second.etag, 7)
    assert (await world.client.list()).keys == ["k"]


@promise("write-empty")
async def empty_object(world: World) -> None:
    for key, size in (("sized", 0), ("unsized", None)):
        await world.client.write(key, cut_at(0, raises=False), size_bytes=size)
        found = await world.client.head(key)
        assert (found.exists, found.size_bytes) == (True, 0)
        assert (await read(world.client, key)).data == b""


@promise("write-of-unknown-size")
async def unknown_size(world: World) -> None:
    written = await world.client.write("k", cut_at(SIZE, raises=False), size_bytes=None)
    got = await read(world.client, "k")
    assert got.data == DATA
    assert written.etag == got.metadata.etag == (await world.client.head("k")).etag


@promise("write-says-what-was-stored")
async def written_metadata(world: World) -> None:
    written = await world.client.write("k", DATA)
    found = await world.client.head("k")
    assert (written.exists, written.size_bytes, written.etag) == (True, SIZE, found.etag)
    assert found.size_bytes == SIZE
    assert found.last_modified is not None
    assert found.last_modified.tzinfo is not None
    assert abs((found.last_modified - world.clock()).total_seconds()) < 60


@promise("cut-write-leaves-nothing")
async def cut_create(world: World) -> None:
    for point in CUTS:
        for size in (SIZE, None):
            with pytest.raises((SourceLostError, StowError)):
                await world.client.write("cut", cut_at(point, raises=True), size_bytes=size)
            await assert_unchanged(world, "cut", None)


@promise("cut-write-leaves-the-old")
async def cut_replace(world: World) -> None:
    await world.client.write("cut", b"the old object")
    for point in CUTS:
        for size in (SIZE, None):
            with pytest.raises((SourceLostError, StowError)):
                await world.client.write("cut", cut_at(point, raises=True), size_bytes=size)
            await assert_unchanged(world, "cut", b"the old object")


@promise("short-body-is-refused")
async def short_body(world: World) -> None:
    for old in (None, b"the old object"):
        if old is not None:
            await world.client.write("short", old)
        for point in CUTS:
            with pytest.raises(BodyTooShortError):
                await world.client.write("short", cut_at(point, raises=False), size_bytes=SIZE)
            await assert_unchanged(world, "short", old)


@promise("long-body-is-refused")
async def long_body(world: World) -> None:
    for old in (None, b"the old object"):
        if old is not None:
            await world.store.write_raw(
                world.store.reference(world.container, "long"), len(old), WriteOptions(), one(old)
            )
        for point in (1, SIZE - 1):
            with pytest.raises(BodyTooLongError):
                await world.client.write("long", too_long(point), size_bytes=point)
            await assert_unchanged(world, "long", old)


async def one(data: bytes) -> AsyncIterator[bytes]:
    yield data


@promise("cancelled-write-leaves-the-old")
async def cancelled_write(world: World) -> None:
    for old in (None, b"the old object"):
        if old is not None:
            await world.client.write("gone", old)
        for size in (SIZE, None):
            under_way = asyncio.Event()

            async def stalls(started: asyncio.Event = under_way) -> AsyncIterator[bytes]:
                yield DATA[: SIZE - 1]
                started.set()
                await asyncio.Event().wait()

            task = asyncio.create_task(world.client.write("gone", stalls(), size_bytes=size))
            await asyncio.wait_for(under_way.wait(), 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await assert_unchanged(world, "gone", old)


@promise("failed-write-leaves-no-upload")
async def no_upload_is_left(world: World) -> None:
    for size in (SIZE, None):
        with pytest.raises(SourceLostError):
            await world.client.write("cut", cut_at(SIZE - 1, raises=True), size_bytes=size)
    contents = await world.store.container_contents(world.container)
    assert contents.empty, contents
    await world.store.delete_container(world.container)


BIG = random.Random(13).randbytes(1 << 20) * 11
"""Above the size at which S3 writes go up in parts here, and more than two of the first parts."""


async def big(stop: int = len(BIG), *, raises: bool = False) -> AsyncIterator[bytes]:
    for at in range(0, stop, 1 << 20):
        yield BIG[at : min(at + (1 << 20), stop)]
    if raises:
        raise SourceLostError


@promise("big-write-is-whole")
async def big_write(world: World) -> None:
    wanted = hashlib.sha256(BIG).digest()
    for size in (len(BIG), None):
        options = WriteOptions(attributes=ATTRIBUTES, content_md5=hashlib.md5(BIG).digest())
        written = await world.client.write("big", big(), size_bytes=size, options=options)
        got = await read(world.client, "big")
        assert hashlib.sha256(got.data).digest() == wanted
        assert got.metadata.etag == written.etag
        assert dict(got.metadata.attributes.metadata) == dict(ATTRIBUTES.metadata)


@promise("cut-big-write-leaves-nothing")
async def cut_big_write(world: World) -> None:
    for old in (None, b"the old object"):
        if old is not None:
            await world.client.write("big", old)
        for size in (len(BIG), None):
            for point in (6 << 20, len(BIG) - 1):
                with pytest.raises(SourceLostError):
                    await world.client.write("big", big(point, raises=True), size_bytes=size)
                await assert_unchanged(world, "big", old)
        with pytest.raises(BodyTooShortError):
            await world.client.write("big", big(len(BIG) - 1), size_bytes=len(BIG))
        wrong = WriteOptions(content_md5=hashlib.md5(b"other").digest())
        with pytest.raises(ChecksumMismatchError):
            await world.client.write("big", big(), size_bytes=None, options=wrong)
        await assert_unchanged(world, "big", old)
    await world.client.delete("big")
    contents = await world.store.container_contents(world.container)
    assert contents.empty, contents


@promise("big-write-if-match")
async def big_swap(world: World) -> None:
    old = await world.client.write("big", b"the old object")
    for size in (len(BIG), None):
        with pytest.raises(PreconditionFailedError):
            await world.client.write("big", big(), size_bytes=size, options=WriteOptions(if_match=old.etag + "x"))
        await assert_unchanged(world, "big", b"the old object")
    await world.client.write("big", big(), size_bytes=None, options=WriteOptions(if_match=old.etag))
    assert (await world.client.head("big")).size_bytes == len(BIG)


@promise("big-create-once")
async def big_create_once(world: World) -> None:
    await world.client.write("big", b"the old object")
    for size in (len(BIG), None):
        with pytest.raises(PreconditionFailedError):
            await world.client.write("big", big(), size_bytes=size, options=WriteOptions(if_none_match=True))
        await assert_unchanged(world, "big", b"the old object")
    await world.client.write("once", big(), size_bytes=None, options=WriteOptions(if_none_match=True))
    assert (await world.client.head("once")).size_bytes == len(BIG)


@promise("wrong-md5-is-refused")
async def md5(world: World) -> None:
    wrong = WriteOptions(content_md5=hashlib.md5(b"other").digest())
    for size in (SIZE, None):
        with pytest.raises(ChecksumMismatchError):
            await world.client.write("k", cut_at(SIZE, raises=False), size_bytes=size, options=wrong)
        await assert_unchanged(world, "k", None)
    await world.client.write("k", DATA, options=WriteOptions(content_md5=hashlib.md5(DATA).digest()))
    with pytest.raises(ChecksumMismatchError):
        await world.client.write("k", DATA, options=wrong)
    await assert_unchanged(world, "k", DATA)


@promise("declared-size-is-kept")
async def limit_before_io(world: World) -> None:
    client = await world.client_over(max_write_bytes=10)
    world.driver.calls.clear()
    with pytest.raises(LimitExceededError):
        await client.write("k", b"x" * 11)
    assert "write" not in world.driver.calls
    with pytest.raises(LimitExceededError):
        await client.write("k", cut_at(11, raises=False), size_bytes=None)
    await assert_unchanged(world, "k", None)
    await client.write("k", b"x" * 10)
    assert (await world.client.head("k")).size_bytes == 10


@promise("write-never-creates-a-container")
async def write_into_a_missing_container(world: World) -> None:
    """Fault 1: the original created the bucket, said success and wrote nothing."""
    await world.driver.delete_container(world.container)
    with pytest.raises(ContainerNotFoundError):
        await world.client.write("k", b"data")
    assert not await world.driver.container_exists(world.container)
    assert "create_container" not in world.driver.calls


@promise("cancelled-write-ends-its-io")
async def source_is_not_drained(world: World) -> None:
    """Fault 9: the original drops contexts, so that a cancelled request keeps uploading."""
    asked = 0
    under_way = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            if asked == 3:
                under_way.set()
                await asyncio.Event().wait()
            yield b"x" * 65_536

    task = asyncio.create_task(world.client.write("k", endless(), size_bytes=None))
    await asyncio.wait_for(under_way.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asked == 3
    await assert_unchanged(world, "k", None)


@promise("create-once")
async def create_once(world: World) -> None:
    once = WriteOptions(if_none_match=True)
    await world.client.write("k", b"first", options=once)
    for size in (6, None):
        with pytest.raises(PreconditionFailedError):
            await world.client.write("k", one(b"second"), size_bytes=size, options=once)
    await assert_unchanged(world, "k", b"first")


@promise("create-once-has-one-winner")
async def sixteen_racers(world: World) -> None:
    bodies = [b"racer %02d" % n for n in range(16)]
    once = WriteOptions(if_none_match=True)
    tasks = (world.client.write("k", body, options=once) for body in bodies)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    winners = [n for n, result in enumerate(results) if not isinstance(result, BaseException)]
    losers = [result for result in results if isinstance(result, BaseException)]
    assert len(winners) == 1, results
    assert all(isinstance(error, PreconditionFailedError) for error in losers), losers
    await assert_unchanged(world, "k", bodies[winners[0]])


@promise("write-if-match")
async def compare_and_swap(world: World) -> None:
    with pytest.raises(PreconditionFailedError):
        await world.client.write("k", b"new", options=WriteOptions(if_match="*"))
    await assert_unchanged(world, "k", None)
    old = await world.client.write("k", b"one")
    await world.client.write("k", b"two", options=WriteOptions(if_match=old.etag))
    with pytest.raises(PreconditionFailedError):
        await world.client.write("k", b"three", options=WriteOptions(if_match=old.etag))
    await assert_unchanged(world, "k", b"two")
    await world.client.write("k", b"four", options=WriteOptions(if_match="*"))
    await assert_unchanged(world, "k", b"four")


@promise("write-if-match-has-one-winner")
async def racers_on_one_version(world: World) -> None:
    old = await world.client.write("k", b"old")
    bodies = [b"racer %02d" % n for n in range(16)]
    swap = WriteOptions(if_match=old.etag)
    tasks = (world.client.write("k", body, options=swap) for body in bodies)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    winners = [n for n, result in enumerate(results) if not isinstance(result, BaseException)]
    losers = [result for result in results if isinstance(result, BaseException)]
    assert len(winners) == 1, results
    assert all(isinstance(error, PreconditionFailedError) for error in losers), losers
    await assert_unchanged(world, "k", bodies[winners[0]])


@promise("two-preconditions-exclude-each-other")
async def both_preconditions(world: World) -> None:
    world.driver.calls.clear()
    with pytest.raises(InvalidArgumentError):
        await world.client.write("k", b"x", options=WriteOptions(if_match="*", if_none_match=True))
    assert "write" not in world.driver.calls


@promise("etag-names-the-version")
async def etags(world: World) -> None:
    first = await world.client.write("k", b"one")
    assert (await world.client.head("k")).etag == first.etag == (await read(world.client, "k")).metadata.etag
    assert [o.etag for o in (await world.client.list()).objects] == [first.etag]
    second = await world.client.write("k", b"two")
    assert (await world.client.head("k")).etag == second.etag != first.etag


ATTRIBUTES = ObjectAttributes(
    content_type="text/csv; charset=utf-8",
    content_encoding="gzip",
    content_language="de, en",
    content_disposition='attachment; filename="a b.csv"',
    cache_control="max-age=60, no-transform",
    metadata={
        "plain": "value",
        "unicode": "größe 大 \U0001f600",
        "percent": "50%25 of %",
        "space": " in and out ",
        "a-1": "",
    },
)


@promise("attributes-come-back")
async def attributes(world: World) -> None:
    await world.client.write("k", b"data", options=WriteOptions(attributes=ATTRIBUTES))
    for found in ((await world.client.head("k")).attributes, (await read(world.client, "k")).metadata.attributes):
        assert dict(found.metadata) == dict(ATTRIBUTES.metadata)
        for header in ("content_type", "content_encoding", "content_language", "content_disposition", "cache_control"):
            assert getattr(found, header) == getattr(ATTRIBUTES, header), header
    await world.client.write("k", b"data")
    assert dict((await world.client.head("k")).attributes.metadata) == {}
    assert (await world.client.head("k")).attributes.content_encoding is None


@promise("attributes-survive-unknown-size")
async def attributes_of_a_streamed_write(world: World) -> None:
    options = WriteOptions(attributes=ATTRIBUTES)
    await world.client.write("k", cut_at(SIZE, raises=False), size_bytes=None, options=options)
    found = (await world.client.head("k")).attributes
    assert dict(found.metadata) == dict(ATTRIBUTES.metadata)
    assert found.content_type == ATTRIBUTES.content_type


@promise("bytes-are-opaque")
async def opaque_bytes(world: World) -> None:
    packed = gzip.compress(b"text " * 5000, mtime=0)
    options = WriteOptions(attributes=ObjectAttributes(content_type="text/plain", content_encoding="gzip"))
    for size in (len(packed), None):
        await world.client.write("k", one(packed), size_bytes=size, options=options)
        got = await read(world.client, "k")
        assert got.data == packed
        assert got.metadata.size_bytes == len(packed)
        assert got.metadata.attributes.content_encoding == "gzip"
        for wanted in (ByteRange(1, 9), ByteRange(suffix=7), ByteRange(len(packed) // 2)):
            start, end = wanted.resolve(len(packed)) or (0, 0)
            part = await read(world.client, "k", byte_range=wanted)
            assert (part.data, part.metadata.size_bytes) == (packed[start:end], len(packed)), wanted
    await world.client.copy("k", "l")
    assert (await read(world.client, "l")).data == packed


@promise("metadata-up-to-its-limit")
async def much_metadata(world: World) -> None:
    limit = min(world.capabilities.max_metadata_bytes, MAX_METADATA_BYTES)
    overhead_bytes = world.capabilities.metadata_overhead_bytes
    name_bytes, each_bytes = overhead_bytes + len("name-00"), 100
    for metadata in (
        {"long": "v" * (limit - overhead_bytes - len("long"))},
        {f"name-{n:02d}": "v" * (each_bytes - name_bytes) for n in range(limit // each_bytes)},
    ):
        await world.client.write("k", b"x", options=WriteOptions(attributes=ObjectAttributes(metadata=metadata)))
        assert dict((await world.client.head("k")).attributes.metadata) == metadata


@promise("bad-attributes-are-refused")
async def poisoned_attributes(world: World) -> None:
    world.driver.calls.clear()
    for attributes in (
        ObjectAttributes(content_type="text/plain\r\nX-Evil: 1"),
        ObjectAttributes(cache_control="\x00"),
        ObjectAttributes(metadata={"Upper": "x"}),
        ObjectAttributes(metadata={"": "x"}),
        ObjectAttributes(metadata={"under_score": "x"}),
        ObjectAttributes(metadata={"control": "a\nb"}),
        ObjectAttributes(metadata={"big": "x" * 2049}),
        ObjectAttributes(metadata={f"n{i}": "x" * 100 for i in range(21)}),
        ObjectAttributes(content_disposition="größe"),
    ):
        with pytest.raises(InvalidMetadataError):
            await world.store.write_raw(
                world.store.reference(world.container, "k"), 1, WriteOptions(attributes=attributes), one(b"x")
            )
    assert world.driver.calls == []
