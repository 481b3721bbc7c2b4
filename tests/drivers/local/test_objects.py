"""Objects on one driver: what is written is read, whatever the key; conditions and races within a process; nothing
half-done stays."""

from __future__ import annotations

import asyncio
import hashlib
import unicodedata
from collections.abc import AsyncIterator

import pytest

from drivers.local.box import Box
from stow.errors import (
    BodyTooShortError,
    ContainerNotFoundError,
    IntegrityError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
)
from stow.storage.model import ByteRange, CopyOptions, ObjectAttributes, WriteOptions

ODD_KEYS = [
    "a//b", "/a", "a", "a/", "/", "//", "..", ".", "../..", "a/../b", "./a", "%2e", "%2e%2e", "f", "f/g", "f.p", "f+",
    unicodedata.normalize("NFC", "\u00e9"), unicodedata.normalize("NFD", "\u00e9"), "A", "a b", " ", "a+b", "a%20b",
    "\U0001f600/\U0001f600", "\x01", "new\nline", "tab\t", "\x7f", "back\\slash", "x" * 1024, "/" * 1024, "\x01" * 1024,
    "x" * 239, "x" * 240, "x" * 241, "x" * 480, "x" * 481, "\u00fc" * 512, "con", "-", "=41", "=", "\ufffe",
]  # fmt: skip


async def test_odd_keys_stay_apart_and_list_in_byte_order(box: Box) -> None:
    for key in ODD_KEYS:
        await box.put(key, key.encode())
    for key in ODD_KEYS:
        assert await box.get(key) == key.encode()
    assert await box.keys() == sorted(ODD_KEYS, key=str.encode)
    for path in box.folder.rglob("*"):
        assert len(path.name.encode()) <= 255
    for key in ODD_KEYS:
        await box.driver.delete("box", key, if_match=None)
    assert await box.keys() == []
    assert box.names("data") == box.names("uploads") == []
    await box.driver.delete_container("box")
    assert not await box.driver.container_exists("box")


async def test_what_was_written_comes_back_with_all_that_was_said(box: Box) -> None:
    data = bytes(range(256)) * 3000
    attributes = ObjectAttributes("text/x", "gzip", "de", "inline", "no-cache", {"colour": "gr\u00fcn"})
    written = await box.put("k", data, WriteOptions(attributes=attributes))
    head = await box.driver.head("box", "k")
    assert head == written
    assert head.attributes == attributes
    assert head.md5 == hashlib.md5(data).digest()
    assert head.size_bytes == len(data)
    assert await box.get("k") == data


@pytest.mark.parametrize(
    ("byte_range", "expected"),
    [
        (ByteRange(0, 1), b"0"),
        (ByteRange(3), b"3456789"),
        (ByteRange(8, 99), b"89"),
        (ByteRange(suffix=2), b"89"),
        (ByteRange(suffix=99), b"0123456789"),
    ],
)
async def test_a_range_gives_its_bytes(box: Box, byte_range: ByteRange, expected: bytes) -> None:
    await box.put("k", b"0123456789")
    assert await box.get("k", byte_range) == expected


async def test_a_range_behind_the_end_is_refused_with_the_size(box: Box) -> None:
    await box.put("k", b"0123456789")
    with pytest.raises(RangeNotSatisfiableError) as caught:
        await box.get("k", ByteRange(10))
    assert caught.value.size_bytes == 10


async def test_the_empty_object_is_an_object(box: Box) -> None:
    await box.put("k", b"")
    assert await box.get("k") == b""
    with pytest.raises(RangeNotSatisfiableError):
        await box.get("k", ByteRange(0, 1))


@pytest.mark.parametrize("cut_at", [0, 1, 300_000, 599_999])
async def test_an_upload_cut_anywhere_leaves_the_old_object_and_no_file(box: Box, cut_at: int) -> None:
    await box.put("k", b"old")
    before = box.names("data")

    async def cut() -> AsyncIterator[bytes]:
        if cut_at:
            yield b"n" * cut_at
        raise BodyTooShortError("cut")

    with pytest.raises(BodyTooShortError):
        await box.driver.write("box", "k", cut(), size_bytes=600_000, options=WriteOptions())
    assert await box.get("k") == b"old"
    assert box.names("data") == before
    assert box.names("uploads") == []


async def test_a_cancelled_upload_leaves_no_file_and_counts_as_open_until_then(box: Box) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"n" * 300_000
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(box.driver.write("box", "k", endless(), size_bytes=None, options=WriteOptions()))
    await started.wait()
    assert (await box.driver.container_contents("box")).uploads == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert box.names("uploads") == []
    assert (await box.driver.container_contents("box")).empty


async def test_replacing_and_deleting_leave_one_data_file_and_none(box: Box) -> None:
    await box.put("k", b"1")
    await box.put("k", b"2")
    assert len(box.names("data")) == 1
    await box.driver.delete("box", "k", if_match=None)
    assert box.names("data") == []
    await box.driver.delete("box", "k", if_match=None)


async def test_a_stream_stays_on_its_version(box: Box) -> None:
    old = b"o" * 600_000
    await box.put("k", old)
    async with await box.driver.read("box", "k", None) as stream:
        iterator = aiter(stream)
        first = await anext(iterator)
        await box.put("k", b"new")
        await box.driver.delete("box", "k", if_match=None)
        rest = b"".join([chunk async for chunk in iterator])
    assert first + rest == old


async def test_conditions_decide_on_the_version_that_is_there(box: Box) -> None:
    first = await box.put("k", b"1", WriteOptions(if_none_match=True))
    with pytest.raises(PreconditionFailedError):
        await box.put("k", b"2", WriteOptions(if_none_match=True))
    second = await box.put("k", b"2", WriteOptions(if_match=first.etag))
    for etag in (first.etag, "other"):
        with pytest.raises(PreconditionFailedError):
            await box.put("k", b"3", WriteOptions(if_match=etag))
        with pytest.raises(PreconditionFailedError):
            await box.driver.delete("box", "k", if_match=etag)
    await box.put("k", b"4", WriteOptions(if_match="*"))
    assert second.etag != first.etag
    with pytest.raises(PreconditionFailedError):
        await box.put("absent", b"5", WriteOptions(if_match="*"))
    with pytest.raises(PreconditionFailedError):
        await box.driver.delete("box", "absent", if_match="*")
    await box.driver.delete("box", "k", if_match="*")
    assert box.names("data") == box.names("uploads") == []


async def test_one_of_sixteen_racers_creates_and_one_swaps(box: Box) -> None:
    creating = [box.put("k", b"%d" % n, WriteOptions(if_none_match=True)) for n in range(16)]
    results = await asyncio.gather(*creating, return_exceptions=True)
    winners = [result for result in results if not isinstance(result, BaseException)]
    assert len(winners) == 1
    assert sum(isinstance(result, PreconditionFailedError) for result in results) == 15
    swapping = [box.put("k", b"%d" % n, WriteOptions(if_match=winners[0].etag)) for n in range(16)]
    results = await asyncio.gather(*swapping, return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert sum(isinstance(result, PreconditionFailedError) for result in results) == 15
    assert len(box.names("data")) == 1
    assert box.names("uploads") == []


async def test_readers_among_overwriters_see_one_whole_version(box: Box) -> None:
    bodies = [bytes([65 + n]) * 300_000 for n in range(8)]
    await box.put("k", bodies[0])
    done = asyncio.Event()

    async def read_on() -> int:
        count = 0
        while not done.is_set():
            assert await box.get("k") in bodies
            count += 1
        return count

    readers = [asyncio.create_task(read_on()) for _ in range(2)]
    for _ in range(3):
        await asyncio.gather(*(box.put("k", body) for body in bodies))
    done.set()
    assert min(await asyncio.gather(*readers)) > 0
    assert len(box.names("data")) == 1


async def test_a_copy_lives_on_when_its_source_goes(box: Box) -> None:
    source = await box.put("a", b"data", WriteOptions(attributes=ObjectAttributes(content_type="text/a")))
    await box.driver.create_container("other", None)
    copied = await box.driver.copy(("box", "a"), ("other", "b"), CopyOptions(source_if_match=source.etag))
    await box.driver.delete("box", "a", if_match=None)
    assert copied.etag != source.etag
    assert (await box.driver.head("other", "b")).attributes.content_type == "text/a"
    async with await box.driver.read("other", "b", None) as stream:
        assert [chunk async for chunk in stream] == [b"data"]


async def test_an_object_is_copied_onto_itself_to_change_its_attributes(box: Box) -> None:
    await box.put("a", b"data")
    attributes = ObjectAttributes(content_type="text/new")
    await box.driver.copy(("box", "a"), ("box", "a"), CopyOptions(attributes=attributes))
    assert (await box.driver.head("box", "a")).attributes == attributes
    assert await box.get("a") == b"data"
    assert len(box.names("data")) == 1


async def test_a_copy_whose_condition_fails_leaves_nothing(box: Box) -> None:
    await box.put("a", b"1")
    await box.put("b", b"2")
    for options in (CopyOptions(if_none_match=True), CopyOptions(source_if_match="x"), CopyOptions(if_match="x")):
        with pytest.raises(PreconditionFailedError):
            await box.driver.copy(("box", "a"), ("box", "b"), options)
    with pytest.raises(ObjectNotFoundError):
        await box.driver.copy(("box", "absent"), ("box", "b"), CopyOptions())
    assert await box.get("b") == b"2"
    assert len(box.names("data")) == 2
    assert box.names("uploads") == []


async def test_a_missing_container_is_not_a_missing_object(box: Box) -> None:
    with pytest.raises(ObjectNotFoundError):
        await box.driver.head("box", "k")
    with pytest.raises(ContainerNotFoundError):
        await box.driver.head("gone", "k")
    with pytest.raises(ContainerNotFoundError):
        await box.driver.list("gone", prefix="", delimiter=None, limit=1, token=None)


async def test_pages_with_a_delimiter_fold_and_go_on(box: Box) -> None:
    for key in ("a", "b/1", "b/2", "b0", "c/1", "c/2/3", "d"):
        await box.put(key, b"")
    seen: list[str] = []
    token = None
    for _ in range(10):
        page = await box.driver.list("box", prefix="", delimiter="/", limit=2, token=token)
        seen += sorted([found.key for found in page.objects] + list(page.prefixes))
        token = page.token
        if token is None:
            break
    assert seen == ["a", "b/", "b0", "c/", "d"]
    inner = await box.driver.list("box", prefix="c/", delimiter="/", limit=9, token=None)
    assert ([found.key for found in inner.objects], inner.prefixes) == (["c/1"], ("c/2/",))


async def test_a_lost_data_file_is_damage_and_not_absence(box: Box) -> None:
    await box.put("k", b"x")
    (box.folder / "data" / box.names("data")[0]).unlink()
    with pytest.raises(IntegrityError):
        await box.get("k")


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 60_000, b"x" * 70_000, b'{"format":2}'])
async def test_a_damaged_pointer_is_damage_and_can_be_replaced_or_deleted(box: Box, content: bytes) -> None:
    await box.put("k", b"x")
    pointer = box.folder / "pointers" / "k.p"
    pointer.write_bytes(content)
    with pytest.raises(IntegrityError):
        await box.driver.head("box", "k")
    with pytest.raises(PreconditionFailedError):
        await box.put("k", b"y", WriteOptions(if_none_match=True))
    await box.put("k", b"y")
    assert await box.get("k") == b"y"
    pointer.write_bytes(content)
    await box.driver.delete("box", "k", if_match=None)
    assert await box.keys() == []
