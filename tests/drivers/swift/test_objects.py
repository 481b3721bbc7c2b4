"""Objects: how many requests, what goes along with them, and what becomes of a write whose answer is lost or wrong."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from drivers.swift.setup import Cloud, Counter, body, head_answer, put, put_answer, stub_driver
from servers.stub import CLOSE, HANG, Seen, http, serve
from servers.swift import SwiftServer
from stow.drivers.swift.driver import SwiftDriver
from stow.errors import (
    BackendFailedError,
    BackendThrottledError,
    BodyTooLongError,
    ChecksumMismatchError,
    ContainerNotFoundError,
    CredentialsInvalidError,
    LimitExceededError,
    NotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    UnsupportedError,
    WriteOutcomeUnknownError,
)
from stow.storage.model import ByteRange, CopyOptions, ObjectAttributes, WriteOptions

BIG = b"0123456789abcdef" * 10_000
"""More than is held in memory."""


def swift_only(requests: list[Seen]) -> list[Seen]:
    return [seen for seen in requests if not seen.target.endswith("/auth/tokens")]


async def test_each_operation_is_one_request(swift: SwiftDriver, container: str, counter: Counter) -> None:
    for call, methods in (
        (lambda: put(swift, container, "k", b"small"), ["PUT"]),
        (lambda: put(swift, container, "k", BIG), ["PUT"]),
        (lambda: swift.write(container, "k", body(BIG), size_bytes=None, options=WriteOptions()), ["PUT"]),
        (lambda: swift.head(container, "k"), ["HEAD"]),
        (lambda: read(swift, container, "k"), ["GET"]),
        (lambda: read(swift, container, "k", ByteRange(1, 5)), ["GET"]),
        (lambda: read(swift, container, "k", ByteRange(suffix=3)), ["GET"]),
        (lambda: swift.copy((container, "k"), (container, "l"), CopyOptions()), ["HEAD", "PUT"]),
        (lambda: swift.delete(container, "k", if_match=None), ["DELETE"]),
    ):
        counter.methods.clear()
        await call()  # type: ignore[no-untyped-call]  # a table of lambdas
        assert counter.methods == methods


async def read(swift: SwiftDriver, container: str, key: str, byte_range: ByteRange | None = None) -> bytes:
    async with await swift.read(container, key, byte_range) as stream:
        return b"".join([chunk async for chunk in stream])


async def test_a_write_says_what_head_and_read_say(swift: SwiftDriver, container: str) -> None:
    attributes = ObjectAttributes(cache_control="no-store", metadata={"a": "ü", "long": "x" * 900})
    for size in (None, len(BIG)):
        written = await swift.write(
            container, "k", body(BIG), size_bytes=size, options=WriteOptions(attributes=attributes)
        )
        found = await swift.head(container, "k")
        assert written == found
        async with await swift.read(container, "k", ByteRange(5, 9)) as stream:
            assert stream.metadata == found
        assert found.md5 == hashlib.md5(BIG).digest()


async def test_small_bodies_and_announced_checksums_are_verified_by_swift() -> None:
    async with serve(Cloud(swift=lambda seen: put_answer(seen.body))) as stub:
        driver = stub_driver(stub.endpoint)
        await put(driver, "c", "k", b"small")
        await driver.write("c", "k", body(b"un", b"known"), size_bytes=None, options=WriteOptions())
        digest = hashlib.md5(BIG).digest()
        await put(driver, "c", "k", BIG, WriteOptions(content_md5=digest))
        await put(driver, "c", "k", BIG)
        await driver.aclose()
    sent = [seen.headers.get("etag") for seen in swift_only(stub.requests)]
    assert sent == [hashlib.md5(b"small").hexdigest(), hashlib.md5(b"unknown").hexdigest(), digest.hex(), None]


async def test_a_wrong_checksum_is_refused_by_swift_too(swift: SwiftDriver, container: str, counter: Counter) -> None:
    await put(swift, container, "k", b"old")
    with pytest.raises(ChecksumMismatchError):
        await put(swift, container, "k", BIG, WriteOptions(content_md5=bytes(16)))
    assert await read(swift, container, "k") == b"old"


@pytest.mark.parametrize("size", [None, len(BIG) * 3])
async def test_a_body_that_breaks_leaves_the_old_object(swift: SwiftDriver, container: str, size: int | None) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield BIG
        yield BIG
        raise BodyTooLongError("canary")

    await put(swift, container, "k", b"old")
    for key, left in (("k", b"old"), ("new", None)):
        with pytest.raises(BodyTooLongError):
            await swift.write(container, key, broken(), size_bytes=size, options=WriteOptions())
        if left is None:
            with pytest.raises(NotFoundError):
                await swift.head(container, key)
        else:
            assert await read(swift, container, key) == left


async def test_a_lost_answer_is_settled_by_the_nonce() -> None:
    for nonce, found in (("nonce-1", True), ("other", False)):

        def answer(seen: Seen, nonce: str = nonce) -> bytes:
            return CLOSE if seen.method == "PUT" else head_answer(b"small", x_object_meta_stow_nonce=nonce)

        async with serve(Cloud(swift=answer)) as stub:
            driver = stub_driver(stub.endpoint)
            if found:
                assert (await put(driver, "c", "k", b"small")).size_bytes == 5
            else:
                with pytest.raises(WriteOutcomeUnknownError):
                    await put(driver, "c", "k", b"small")
            await driver.aclose()
        sent = swift_only(stub.requests)
        assert [seen.method for seen in sent] == ["PUT", "HEAD"]
        assert sent[0].headers["x-object-meta-stow-nonce"] == "nonce-1"
        assert sent[1].headers["x-newest"] == "true"


@pytest.mark.parametrize(
    ("answer", "expected", "looks"),
    [
        (http(503), WriteOutcomeUnknownError, 1),  # too few copies took it; those that did will spread
        (http(503, retry_after="1"), BackendThrottledError, 0),
        (http(500), WriteOutcomeUnknownError, 1),
        (http(507), LimitExceededError, 0),
        (http(413), LimitExceededError, 0),
        (http(498), BackendThrottledError, 0),
        (http(404), ContainerNotFoundError, 0),
        (http(409), BackendFailedError, 0),
        (http(422), ChecksumMismatchError, 0),
        (http(201), WriteOutcomeUnknownError, 1),  # says nothing about what was stored
        (http(201, etag="x"), WriteOutcomeUnknownError, 1),
        (HANG, WriteOutcomeUnknownError, 1),
    ],
)
async def test_answers_of_a_write(answer: bytes, expected: type[Exception], looks: int) -> None:
    def answered(seen: Seen) -> bytes:
        return answer if seen.method == "PUT" else http(404)

    async with serve(Cloud(swift=answered)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(expected):
            await put(driver, "c", "k", b"small")
        await driver.aclose()
    assert [seen.method for seen in swift_only(stub.requests)] == ["PUT"] + ["HEAD"] * looks


async def test_a_write_that_a_newer_one_overtook_was_done() -> None:
    """202: the servers have a later object already, so this one came before it."""
    async with serve(Cloud(swift=lambda seen: put_answer(seen.body, status=202))) as stub:
        driver = stub_driver(stub.endpoint)
        assert (await put(driver, "c", "k", b"small")).size_bytes == 5
        await driver.aclose()


@pytest.mark.parametrize(("nonce", "removed"), [("nonce-1", True), ("another-write", False)])
async def test_a_body_that_was_damaged_on_its_way_is_not_left_to_be_read(nonce: str, removed: bool) -> None:
    def answer(seen: Seen) -> bytes:
        if seen.method == "PUT":
            return put_answer(seen.body + b"flip")
        return head_answer(seen.body, x_object_meta_stow_nonce=nonce) if seen.method == "HEAD" else http(204)

    async with serve(Cloud(swift=answer)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(ChecksumMismatchError):
            await put(driver, "c", "k", BIG)
        await driver.aclose()
    assert [seen.method for seen in swift_only(stub.requests)] == ["PUT", "HEAD"] + ["DELETE"] * removed


async def test_a_damaged_body_is_found_where_the_answer_was_lost_too() -> None:
    def answer(seen: Seen) -> bytes:
        if seen.method == "PUT":
            return CLOSE
        return head_answer(BIG + b"flip", x_object_meta_stow_nonce="nonce-1") if seen.method == "HEAD" else http(204)

    async with serve(Cloud(swift=answer)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(ChecksumMismatchError):
            await put(driver, "c", "k", BIG)
        await driver.aclose()
    assert [seen.method for seen in swift_only(stub.requests)] == ["PUT", "HEAD", "HEAD", "DELETE"]


async def test_a_stream_that_the_end_of_a_token_refused_does_not_go_out_again() -> None:
    cloud = Cloud(swift=lambda _: http(401))
    async with serve(cloud) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(CredentialsInvalidError):
            await put(driver, "c", "k", BIG)
        await driver.aclose()
    assert [seen.method for seen in stub.requests] == ["POST", "PUT", "POST"], "the next one has another token"


async def test_conditions_on_writes_are_refused_before_any_io() -> None:
    async with serve(Cloud()) as stub:
        driver = stub_driver(stub.endpoint)
        for options in (WriteOptions(if_match="x"), WriteOptions(if_match="*"), WriteOptions(if_none_match=True)):
            with pytest.raises(UnsupportedError):
                await put(driver, "c", "k", b"x", options)
            condition = CopyOptions(if_match=options.if_match, if_none_match=options.if_none_match)
            with pytest.raises(UnsupportedError):
                await driver.copy(("c", "k"), ("c", "l"), condition)
        with pytest.raises(UnsupportedError):
            await driver.delete("c", "k", if_match="*")
        with pytest.raises(LimitExceededError):
            await driver.write("c", "k", body(), size_bytes=6 * 2**30, options=WriteOptions())
        await driver.aclose()
    assert stub.requests == []


async def test_no_request_is_sent_twice_but_idempotent_ones() -> None:
    async with serve(Cloud(swift=lambda _: http(500))) as stub:
        driver = stub_driver(stub.endpoint)
        calls: list[tuple[Callable[[], Any], int]] = [
            (lambda: driver.head("c", "k"), 3),
            (lambda: driver.delete("c", "k", if_match=None), 3),
            (lambda: driver.create_container("c", None), 1),
            (lambda: driver.write_marker("c", None), 1),
        ]
        for call, times in calls:
            stub.requests.clear()
            with pytest.raises(BackendFailedError):
                await call()
            assert len(swift_only(stub.requests)) == times
        await driver.aclose()


# Copies


async def test_a_copy_is_of_the_bytes_that_were_seen(swift: SwiftDriver, container: str) -> None:
    """Swift holds the source against If-Match: without that an overwritten source would be copied with the old one's attributes."""
    first = await put(swift, container, "a", b"one", WriteOptions(attributes=ObjectAttributes(metadata={"n": "1"})))
    copied = await swift.copy((container, "a"), (container, "b"), CopyOptions(source_if_match=first.etag))
    assert (copied.size_bytes, copied.md5, copied.attributes) == (3, first.md5, first.attributes)
    assert await swift.head(container, "b") == copied
    await put(swift, container, "a", b"two")
    with pytest.raises(PreconditionFailedError):
        await swift.copy((container, "a"), (container, "b"), CopyOptions(source_if_match=first.etag))
    assert await read(swift, container, "b") == b"one"


async def test_swift_refuses_a_copy_of_another_version(
    swift: SwiftDriver, container: str, swift_server: SwiftServer
) -> None:
    await put(swift, container, "a", b"one")
    access = await swift._tokens.access()
    headers = {"X-Auth-Token": access.token or "", "X-Copy-From": f"{container}/a", "If-Match": "0" * 32}
    async with (
        aiohttp.ClientSession() as session,
        session.put(f"{swift_server.storage_url}/{container}/b", headers=headers) as answer,
    ):
        assert answer.status == 412
    with pytest.raises(NotFoundError):
        await swift.head(container, "b")


async def test_a_source_that_changes_under_the_copy_is_tried_again() -> None:
    versions = [b"one", b"two", b"two"]

    def answer(seen: Seen) -> bytes:
        if seen.method == "HEAD":
            return head_answer(versions.pop(0))
        right = seen.headers["if-match"] == hashlib.md5(b"two").hexdigest()
        return put_answer(b"two") if right else http(412)

    async with serve(Cloud(swift=answer)) as stub:
        driver = stub_driver(stub.endpoint)
        copied = await driver.copy(("c", "ä b"), ("c", "l"), CopyOptions())
        await driver.aclose()
    assert copied.md5 == hashlib.md5(b"two").digest()
    sent = swift_only(stub.requests)
    assert [seen.method for seen in sent] == ["HEAD", "PUT", "HEAD", "PUT"]
    assert sent[-1].headers["x-copy-from"] == "/c/%C3%A4%20b"
    assert sent[-1].headers["x-fresh-metadata"] == "true"


async def test_a_source_that_never_stands_still_is_given_up() -> None:
    def answer(seen: Seen) -> bytes:
        return head_answer(b"x") if seen.method == "HEAD" else http(412)

    async with serve(Cloud(swift=answer)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(BackendFailedError):
            await driver.copy(("c", "k"), ("c", "l"), CopyOptions())
        pinned = f"{hashlib.md5(b'x').hexdigest()}-6b03d873"
        with pytest.raises(PreconditionFailedError):
            await driver.copy(("c", "k"), ("c", "l"), CopyOptions(source_if_match=pinned))
        await driver.aclose()


@pytest.mark.parametrize(("container_status", "expected"), [(404, ContainerNotFoundError), (204, ObjectNotFoundError)])
async def test_a_copy_tells_a_missing_container_from_a_source_that_went(
    container_status: int, expected: type[Exception]
) -> None:
    def answer(seen: Seen) -> bytes:
        if seen.method == "PUT":
            return http(404)
        return http(container_status) if seen.target.endswith("/d") else head_answer(b"x")

    async with serve(Cloud(swift=answer)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(expected):
            await driver.copy(("c", "k"), ("d", "l"), CopyOptions())
        await driver.aclose()


async def test_a_lost_answer_of_a_copy_is_settled_by_its_own_nonce() -> None:
    def answer(seen: Seen) -> bytes:
        if seen.method == "PUT":
            return CLOSE
        nonce = "of-the-source" if seen.target.endswith("/k") else "nonce-1"
        return head_answer(b"x", x_object_meta_stow_nonce=nonce)

    async with serve(Cloud(swift=answer)) as stub:
        driver = stub_driver(stub.endpoint)
        assert (await driver.copy(("c", "k"), ("c", "l"), CopyOptions())).size_bytes == 1
        await driver.aclose()


async def test_thirty_two_writers_of_one_key_leave_one_whole_object(swift: SwiftDriver, container: str) -> None:
    bodies = [bytes([n]) * (200_000 + n) for n in range(32)]
    await asyncio.gather(*(put(swift, container, "k", each) for each in bodies))
    assert await read(swift, container, "k") in bodies
