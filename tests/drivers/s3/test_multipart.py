"""Multipart uploads: whole or nothing at every boundary, bounded memory, nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import google_crc32c
import pytest

from drivers.s3.setup import PATIENT, QUICK, SMALL_PARTS, Counter, body, content, failing, server_driver, stub_driver
from servers.minio import MinioServer
from servers.stub import CLOSE, HANG, Partial, Seen, error, http, serve
from stow.drivers.s3.config import Dialect, Multipart
from stow.drivers.s3.driver import S3Driver
from stow.errors import (
    BackendFailedError,
    BackendThrottledError,
    BodyTooLongError,
    BodyTooShortError,
    LimitExceededError,
    PreconditionFailedError,
    StowError,
    UnsupportedError,
    WriteOutcomeUnknownError,
)
from stow.storage.budget import ByteBudget
from stow.storage.model import MIB, CopyOptions, ObjectAttributes, WriteOptions
from stow.transport.deadlines import Deadlines

PART = 5 * MIB
CREATED = b"<InitiateMultipartUploadResult><UploadId>up-1</UploadId></InitiateMultipartUploadResult>"
COMPLETED = b"<CompleteMultipartUploadResult><ETag>&quot;done-1&quot;</ETag></CompleteMultipartUploadResult>"
TINY = Multipart(
    threshold_bytes=10,
    first_part_bytes=10,
    streamed_part_bytes=10,
    concurrency=2,
    max_single_copy_bytes=10,
    copy_part_bytes=10,
)


def data_of(size_bytes: int) -> list[bytes]:
    block = bytes(range(256)) * 256
    return [block[: min(len(block), size_bytes - start)] for start in range(0, size_bytes, len(block))]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("size_bytes", [PART - 1, PART, PART + 1, 2 * PART, 11 * MIB, 11 * MIB + 1, 3 * PART + 7])
async def test_a_body_around_a_part_boundary_is_stored_whole(
    s3: S3Driver, bucket: str, known: bool, size_bytes: int
) -> None:
    chunks = data_of(size_bytes)
    whole = b"".join(chunks)
    attributes = ObjectAttributes(content_type="text/x", metadata={"a": "é"})
    written = await s3.write(
        bucket,
        "k",
        body(*chunks),
        size_bytes=size_bytes if known else None,
        options=WriteOptions(attributes=attributes),
    )
    found = await s3.head(bucket, "k")
    assert hashlib.sha256(await content(s3, bucket, "k")).digest() == hashlib.sha256(whole).digest()
    assert (found.etag, found.size_bytes, found.attributes) == (written.etag, size_bytes, attributes)
    assert found.crc32c == written.crc32c == google_crc32c.value(whole).to_bytes(4, "big")
    assert written.md5 in {None, hashlib.md5(whole).digest()}
    assert (await s3.container_contents(bucket)).uploads == 0


async def test_a_body_of_unknown_size_that_ends_in_the_first_part_is_one_put(
    s3: S3Driver, bucket: str, counter: Counter
) -> None:
    await s3.write(bucket, "k", body(*data_of(PART)), size_bytes=None, options=WriteOptions())
    assert counter.methods == ["PUT"]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("sent", [PART, PART + 1, 2 * PART - 1, 2 * PART, 3 * PART])
async def test_a_body_that_fails_at_a_part_boundary_leaves_the_old_object_and_no_upload(
    s3: S3Driver, bucket: str, known: bool, sent: int
) -> None:
    await s3.write(bucket, "k", body(b"old"), size_bytes=3, options=WriteOptions())
    size_bytes = 3 * PART if known else None
    with pytest.raises(BodyTooShortError):
        await s3.write(
            bucket, "k", failing(data_of(sent), BodyTooShortError("cut")), size_bytes=size_bytes, options=WriteOptions()
        )
    assert await content(s3, bucket, "k") == b"old"
    assert (await s3.container_contents(bucket)).uploads == 0


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("sent", [PART, PART + 70_000, 2 * PART, 2 * PART + 1])
async def test_a_write_that_is_cancelled_at_a_part_boundary_leaves_the_old_object_and_no_upload(
    s3: S3Driver, bucket: str, known: bool, sent: int
) -> None:
    reached = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        for chunk in data_of(sent):
            yield chunk
        reached.set()
        await asyncio.Event().wait()

    await s3.write(bucket, "k", body(b"old"), size_bytes=3, options=WriteOptions())
    size_bytes = 3 * PART if known else None
    task = asyncio.ensure_future(s3.write(bucket, "k", stuck(), size_bytes=size_bytes, options=WriteOptions()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await content(s3, bucket, "k") == b"old"
    assert (await s3.container_contents(bucket)).uploads == 0


@pytest.mark.parametrize("known", [True, False])
async def test_create_once_holds_at_completion(s3: S3Driver, bucket: str, known: bool) -> None:
    size_bytes = 3 * PART
    options = WriteOptions(if_none_match=True)
    size = size_bytes if known else None
    await s3.write(bucket, "k", body(*data_of(size_bytes)), size_bytes=size, options=options)
    with pytest.raises(PreconditionFailedError):
        await s3.write(bucket, "k", body(*data_of(size_bytes)), size_bytes=size, options=options)
    assert (await s3.container_contents(bucket)).uploads == 0


async def test_one_of_many_racing_creators_wins(s3: S3Driver, bucket: str) -> None:
    async def create() -> bool:
        try:
            await s3.write(
                bucket, "k", body(*data_of(PART + 1)), size_bytes=None, options=WriteOptions(if_none_match=True)
            )
        except PreconditionFailedError:
            return False
        return True

    assert sorted(await asyncio.gather(*(create() for _ in range(4)))) == [False, False, False, True]


async def test_a_replace_names_the_version_at_completion(s3: S3Driver, bucket: str) -> None:
    first = await s3.write(bucket, "k", body(*data_of(12 * MIB)), size_bytes=12 * MIB, options=WriteOptions())
    options = WriteOptions(if_match=first.etag)
    second = await s3.write(bucket, "k", body(*data_of(12 * MIB + 1)), size_bytes=12 * MIB + 1, options=options)
    with pytest.raises(PreconditionFailedError):
        await s3.write(bucket, "k", body(*data_of(12 * MIB)), size_bytes=12 * MIB, options=options)
    assert (await s3.head(bucket, "k")).etag == second.etag


async def test_a_longer_body_than_announced_is_never_completed(s3: S3Driver, bucket: str) -> None:
    with pytest.raises(BodyTooLongError):
        await s3.write(bucket, "k", body(*data_of(3 * PART + 1)), size_bytes=3 * PART, options=WriteOptions())
    assert (await s3.container_contents(bucket)).empty


async def test_abandoned_uploads_count_and_are_swept_once_they_are_old(
    minio: MinioServer, s3: S3Driver, bucket: str
) -> None:
    reached = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        for chunk in data_of(PART + 1):
            yield chunk
        reached.set()
        await asyncio.Event().wait()

    killed = server_driver(minio, dialect=Dialect.MINIO)
    task = asyncio.ensure_future(killed.write(bucket, "a b+c", stuck(), size_bytes=None, options=WriteOptions()))
    await reached.wait()
    assert (await s3.container_contents(bucket)).uploads == 1
    assert not (await s3.container_contents(bucket)).empty
    assert await s3.sweep(bucket) == 0, "an upload of today may go on"
    sweeper = server_driver(minio, dialect=Dialect.MINIO, multipart=replace(SMALL_PARTS, abandoned_after=timedelta(0)))
    assert await sweeper.sweep(bucket) == 1
    await sweeper.aclose()
    assert (await s3.container_contents(bucket)).uploads == 0
    task.cancel()
    await asyncio.wait({task})
    await killed.aclose()


async def test_many_uploads_share_one_budget_and_all_end(minio: MinioServer, bucket: str) -> None:
    budget = ByteBudget(3 * PART)
    drivers = [server_driver(minio, dialect=Dialect.MINIO, budget=budget) for _ in range(2)]
    chunks = data_of(2 * PART + 10)
    async with asyncio.timeout(60):
        await asyncio.gather(
            *(
                drivers[number % 2].write(bucket, f"k{number}", body(*chunks), size_bytes=None, options=WriteOptions())
                for number in range(6)
            )
        )
    assert budget.peak_bytes <= 3 * PART
    assert budget.used_bytes == 0
    for driver in drivers:
        await driver.aclose()


async def test_a_known_size_takes_nothing_of_the_budget(minio: MinioServer, bucket: str) -> None:
    budget = ByteBudget(1)
    driver = server_driver(minio, dialect=Dialect.MINIO, budget=budget)
    await driver.write(bucket, "k", body(*data_of(12 * MIB)), size_bytes=12 * MIB, options=WriteOptions())
    assert budget.peak_bytes == 0
    await driver.aclose()


class Backend:
    """Answers a multipart upload; ``replies`` overrides one step."""

    def __init__(self, **replies: bytes | Partial) -> None:
        self.replies = replies
        self.steps: list[str] = []

    def __call__(self, seen: Seen) -> bytes | Partial:
        step = self._step(seen)
        self.steps.append(step)
        plain = {
            "create": http(body=CREATED),
            "part": http(etag='"p"'),
            "complete": http(body=COMPLETED),
            "abort": http(204),
            "head": http(404),
            "put": http(etag='"e"'),
        }
        return self.replies.get(step, plain[step])

    @staticmethod
    def _step(seen: Seen) -> str:
        if seen.method == "HEAD":
            return "head"
        if seen.method == "DELETE":
            return "abort"
        if "uploads=" in seen.target:
            return "create"
        if seen.method == "POST":
            return "complete"
        return "part" if "partNumber" in seen.target else "put"


async def _write(driver: S3Driver, *, size_bytes: int | None = None, options: WriteOptions | None = None) -> str:
    chunks = [b"0123456789", b"0123456789", b"01234"]
    written = await driver.write(
        "b-1", "k", body(*chunks), size_bytes=size_bytes, options=options if options is not None else WriteOptions()
    )
    return written.etag


@pytest.mark.parametrize("size_bytes", [25, None])
@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"create": http(500)}, BackendFailedError),
        ({"create": http(body=b"<Error><Code>InternalError</Code></Error>")}, BackendFailedError),
        ({"create": http(body=b"nonsense")}, BackendFailedError),
        ({"part": http(403)}, StowError),
        ({"part": http()}, BackendFailedError),
        ({"part": CLOSE}, StowError),
        ({"complete": http(body=b"<Error><Code>PreconditionFailed</Code></Error>")}, PreconditionFailedError),
        ({"complete": http(body=b"<Error><Code>InternalError</Code></Error>")}, WriteOutcomeUnknownError),
        ({"complete": http(body=b"")}, WriteOutcomeUnknownError),
        ({"complete": http(body=b"<CompleteMultipartUploadResult/>")}, WriteOutcomeUnknownError),
        ({"complete": CLOSE}, WriteOutcomeUnknownError),
        ({"complete": HANG}, WriteOutcomeUnknownError),
        ({"complete": error(503, "SlowDown")}, BackendThrottledError),
        ({"complete": error(412, "PreconditionFailed")}, PreconditionFailedError),
        ({"complete": error(404, "NoSuchUpload")}, BackendFailedError),
    ],
)
async def test_every_failure_is_told_and_aborts(
    size_bytes: int | None, replies: dict[str, bytes], expected: type[StowError]
) -> None:
    backend = Backend(**replies)
    async with serve(backend) as stub:
        driver = stub_driver(stub.endpoint, multipart=TINY, deadlines=QUICK if HANG in replies.values() else PATIENT)
        with pytest.raises(expected) as caught:
            await _write(driver, size_bytes=size_bytes)
        assert "SECRET" not in repr(caught.value)
        await driver.aclose()
    assert ("abort" in backend.steps) == ("create" not in replies)
    assert backend.steps.count("complete") <= 1


async def test_a_lost_completion_succeeds_by_its_nonce() -> None:
    found = http(etag='"e9"', content_length="25", x_amz_meta_stow_nonce="nonce-1")
    backend = Backend(complete=CLOSE, head=found)
    async with serve(backend) as stub:
        driver = stub_driver(stub.endpoint, multipart=TINY)
        assert await _write(driver) == "e9"
        await driver.aclose()
    assert backend.steps[-2:] == ["abort", "head"]


@pytest.mark.parametrize("abort", [HANG, http(500), CLOSE])
async def test_an_abort_that_fails_ends_at_its_deadline_and_hides_nothing(abort: bytes) -> None:
    async with serve(Backend(part=http(403), abort=abort)) as stub:
        driver = stub_driver(stub.endpoint, multipart=TINY, deadlines=QUICK)
        async with asyncio.timeout(5):
            with pytest.raises(StowError) as caught:
                await _write(driver)
            await driver.aclose()
    assert caught.value.code == "access_denied"


async def test_an_abort_survives_a_second_cancellation() -> None:
    backend = Backend(part=HANG)
    async with serve(backend) as stub:
        driver = stub_driver(stub.endpoint, multipart=TINY, deadlines=Deadlines())
        task = asyncio.ensure_future(_write(driver))
        while (await stub.begun.get()).method != "PUT":
            pass
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await driver.aclose()
    assert backend.steps[-1] == "abort"


async def test_an_upload_that_comes_to_be_after_its_caller_has_left_is_aborted() -> None:
    backend = Backend()
    async with serve(backend) as stub:
        driver = stub_driver(stub.endpoint, multipart=TINY, deadlines=Deadlines())
        task = asyncio.ensure_future(_write(driver))
        while (await stub.begun.get()).method != "POST":
            pass
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "abort" not in backend.steps, "the caller does not wait for it"
        await driver.aclose()
    assert backend.steps == ["create", "abort"]


async def test_a_create_that_is_never_answered_is_given_up_soon_after_its_caller_has_left() -> None:
    async with serve(Backend(create=HANG)) as stub:
        driver = stub_driver(stub.endpoint, multipart=TINY, deadlines=Deadlines())
        task = asyncio.ensure_future(_write(driver))
        while (await stub.begun.get()).method != "POST":
            pass
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(5):
            assert await stub.gone.get() == "answer"
        await driver.aclose()


async def test_a_buffered_part_is_sent_again_and_a_streamed_one_is_not() -> None:
    failures = [http(503), http(503)]

    class Flaky(Backend):
        def __call__(self, seen: Seen) -> bytes | Partial:
            answer = super().__call__(seen)
            return failures.pop() if self.steps[-1] == "part" and failures else answer

    backend = Flaky()
    async with serve(backend) as stub:
        driver = stub_driver(stub.endpoint, multipart=TINY)
        assert await _write(driver) == "done-1"
        assert driver.repeated_requests == 2
        failures.append(http(503))
        with pytest.raises(BackendThrottledError):
            await _write(driver, size_bytes=25)
        await driver.aclose()


async def test_the_completion_names_parts_checksums_and_condition() -> None:
    async with serve(Backend()) as stub:
        driver = stub_driver(stub.endpoint, multipart=TINY)
        await _write(driver, options=WriteOptions(if_none_match=True))
        await driver.aclose()
    create, *_, complete = stub.requests
    assert create.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert "if-none-match" not in create.headers
    assert complete.headers["if-none-match"] == "*"
    assert complete.headers["x-amz-mp-object-size"] == "25"
    assert "x-amz-checksum-crc32c" in complete.headers
    assert complete.body.count(b"<Part>") == 3
    assert complete.body.count(b"<ChecksumCRC32C>") == 3


async def test_a_body_with_too_many_parts_is_refused_and_aborted() -> None:
    backend = Backend()
    few = Multipart(threshold_bytes=10, first_part_bytes=10, max_parts=2)
    async with serve(backend) as stub:
        driver = stub_driver(stub.endpoint, multipart=few, budget=ByteBudget(10))
        with pytest.raises(LimitExceededError):
            await _write(driver)
        await driver.aclose()
    assert "abort" in backend.steps
    assert "complete" not in backend.steps


async def test_a_dialect_without_conditional_completion_refuses_it_before_the_upload() -> None:
    backend = Backend()
    async with serve(backend) as stub:
        driver = stub_driver(stub.endpoint, multipart=TINY, dialect=Dialect.R2)
        with pytest.raises(UnsupportedError):
            await _write(driver, options=WriteOptions(if_none_match=True))
        assert backend.steps == []
        await _write(driver, size_bytes=25, options=WriteOptions(if_none_match=True))
        assert backend.steps == ["put"]
        await driver.aclose()


@pytest.mark.parametrize("conditional", [False, True])
async def test_a_big_object_is_copied_by_parts(minio: MinioServer, bucket: str, conditional: bool) -> None:
    settings = Multipart(
        threshold_bytes=11 * MIB, max_single_copy_bytes=0 if not conditional else 100 * MIB, copy_part_bytes=5 * MIB
    )
    driver = server_driver(minio, dialect=Dialect.MINIO, multipart=settings)
    attributes = ObjectAttributes(content_type="text/x", metadata={"a": "b"})
    chunks = data_of(2 * PART + 7)
    await driver.write(
        bucket, "a b+", body(*chunks), size_bytes=2 * PART + 7, options=WriteOptions(attributes=attributes)
    )
    options = CopyOptions(if_none_match=conditional)
    copied = await driver.copy((bucket, "a b+"), (bucket, "to"), options)
    found = await driver.head(bucket, "to")
    assert (found.etag, found.size_bytes, found.attributes) == (copied.etag, 2 * PART + 7, attributes)
    assert await content(driver, bucket, "to") == b"".join(chunks)
    if conditional:
        with pytest.raises(PreconditionFailedError):
            await driver.copy((bucket, "a b+"), (bucket, "to"), options)
    assert (await driver.container_contents(bucket)).uploads == 0
    await driver.aclose()


async def test_copies_change_attributes_pin_the_source_and_work_in_place(s3: S3Driver, bucket: str) -> None:
    old = ObjectAttributes(content_type="text/x", metadata={"a": "b"})
    new = ObjectAttributes(content_type="text/y", metadata={"c": "d"})
    written = await s3.write(bucket, "k", body(b"data"), size_bytes=4, options=WriteOptions(attributes=old))
    await s3.copy((bucket, "k"), (bucket, "same"), CopyOptions(source_if_match=written.etag))
    await s3.copy((bucket, "k"), (bucket, "other"), CopyOptions(attributes=new))
    await s3.copy((bucket, "k"), (bucket, "k"), CopyOptions())
    await s3.write(bucket, "empty", body(), size_bytes=0, options=WriteOptions())
    await s3.copy((bucket, "empty"), (bucket, "empty-2"), CopyOptions(if_none_match=True))
    assert [(await s3.head(bucket, key)).attributes for key in ("same", "other", "k")] == [old, new, old]
    for options in (CopyOptions(source_if_match="0" * 32), CopyOptions(if_match="0" * 32)):
        with pytest.raises(PreconditionFailedError):
            await s3.copy((bucket, "k"), (bucket, "same"), options)
    with pytest.raises(PreconditionFailedError):
        await s3.copy((bucket, "empty"), (bucket, "empty-2"), CopyOptions(if_none_match=True))


async def test_a_copy_that_fails_inside_a_200_is_a_failure() -> None:
    def answer(seen: Seen) -> bytes:
        if seen.method == "HEAD":
            return http(etag='"e"', content_length="5")
        return http(body=b"<Error><Code>InternalError</Code><Message>SECRET</Message></Error>")

    async with serve(answer) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(WriteOutcomeUnknownError):
            await driver.copy(("b-1", "k"), ("b-1", "l"), CopyOptions())
        await driver.aclose()
