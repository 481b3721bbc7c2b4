"""How requests go out: once, signed, bounded in time, and gone when nobody wants them any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import pytest

from drivers.s3.setup import PATIENT, QUICK, Counter, body, content, failing, stub_driver
from servers.stub import CLOSE, HANG, CutOff, Partial, Seen, error, http, serve
from stow.drivers.s3.driver import S3Driver
from stow.errors import (
    AccessDeniedError,
    BackendError,
    BackendFailedError,
    BackendTimeoutError,
    BackendUnreachableError,
    BodyTooShortError,
    ChecksumMismatchError,
    PreconditionFailedError,
    StowError,
    WriteOutcomeUnknownError,
    WrongRegionError,
)
from stow.storage.clock import utc_now
from stow.storage.driver import SignRequest
from stow.storage.model import ByteRange, ContainerEntry, Method, Origin, WriteOptions
from stow.transport.deadlines import Deadlines

OBJECT = {"etag": '"e1"', "last_modified": "Mon, 23 Nov 2026 02:00:00 GMT"}
EMPTY_LIST = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"


async def put(driver: S3Driver, *chunks: bytes, options: WriteOptions | None = None) -> str:
    options = options if options is not None else WriteOptions()
    return (await driver.write("b-1", "k", body(*chunks), size_bytes=sum(map(len, chunks)), options=options)).etag


async def test_each_single_object_operation_is_one_request(s3: S3Driver, bucket: str, counter: Counter) -> None:
    await s3.write(bucket, "k", body(b"x" * 100_000), size_bytes=100_000, options=WriteOptions())
    await s3.head(bucket, "k")
    await content(s3, bucket, "k")
    await content(s3, bucket, "k", ByteRange(5, 10))
    await s3.list(bucket, prefix="", delimiter=None, limit=10, token=None)
    await s3.delete(bucket, "k", if_match=None)
    assert counter.methods == ["PUT", "HEAD", "GET", "GET", "GET", "DELETE"]


async def test_a_small_body_carries_its_checksum_as_a_header_and_a_big_one_as_a_trailer() -> None:
    async with serve(lambda _: http(etag='"e1"')) as stub:
        driver = stub_driver(stub.endpoint)
        await put(driver, b"hello")
        await put(driver, b"x" * 70_000)
        await driver.aclose()
    small, big = stub.requests
    assert small.headers["x-amz-checksum-crc32c"] == "mnG7TA=="
    assert big.headers["x-amz-trailer"] == "x-amz-checksum-crc32c"
    assert big.headers["x-amz-decoded-content-length"] == "70000"
    assert big.body.startswith(b"10000\r\n")
    assert b"\r\n0\r\nx-amz-checksum-crc32c:" in big.body


class FirstLost:
    """Answers the first request on a connection, and drops the second one after it arrived whole."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, seen: Seen) -> bytes:
        self.count += 1
        if seen.method == "HEAD":
            return http(404)
        return http(etag='"e1"') if self.count == 1 else CLOSE


@pytest.mark.parametrize("size_bytes", [5, 70_000])
async def test_a_lost_put_on_a_reused_connection_is_not_sent_again(size_bytes: int) -> None:
    """aiohttp resends idempotent requests silently unless it is told not to."""
    async with serve(FirstLost()) as stub:
        driver = stub_driver(stub.endpoint)
        await put(driver, b"1" * size_bytes)
        with pytest.raises(WriteOutcomeUnknownError):
            await put(driver, b"2" * size_bytes)
        await driver.aclose()
    assert [seen.method for seen in stub.requests] == ["PUT", "PUT", "HEAD"]


@pytest.mark.parametrize("lost", [CLOSE, HANG, http(500), http(502), http(504), http(200), Partial(b"HTTP/1.1 200")])
@pytest.mark.parametrize("conditional", [False, True])
async def test_a_write_whose_answer_is_lost_succeeds_by_its_nonce(lost: bytes | Partial, conditional: bool) -> None:
    def answer(seen: Seen) -> bytes | Partial:
        if seen.method == "HEAD":
            return http(x_amz_meta_stow_nonce="nonce-1", content_length="5", etag='"e2"')
        return lost

    async with serve(answer) as stub:
        driver = stub_driver(
            stub.endpoint, deadlines=PATIENT if isinstance(lost, bytes) and lost is not HANG else QUICK
        )
        assert await put(driver, b"hello", options=WriteOptions(if_none_match=conditional)) == "e2"
        await driver.aclose()
    assert [seen.method for seen in stub.requests] == ["PUT", "HEAD"]
    assert stub.requests[0].headers["x-amz-meta-stow-nonce"] == "nonce-1"


@pytest.mark.parametrize("found", [http(404), http(403), http(500), http(content_length="5", etag='"e"'), CLOSE])
async def test_a_write_whose_answer_is_lost_is_unknown_without_its_nonce(found: bytes) -> None:
    async with serve(lambda seen: found if seen.method == "HEAD" else CLOSE) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(WriteOutcomeUnknownError):
            await put(driver, b"hello")
        await driver.aclose()


async def test_a_write_that_never_reached_the_backend_is_unreachable_and_not_unknown() -> None:
    async with serve(lambda _: http()) as stub:
        endpoint = stub.endpoint
    driver = stub_driver(endpoint)
    with pytest.raises(BackendUnreachableError):
        await put(driver, b"hello")
    await driver.aclose()


async def test_a_refused_write_is_not_sent_again() -> None:
    async with serve(lambda _: error(503, "SlowDown")) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(StowError):
            await put(driver, b"hello")
        await driver.aclose()
    assert len(stub.requests) == 1


class FailsTwice:
    def __init__(self, success: bytes, failure: bytes) -> None:
        self.failures = [failure, failure]
        self.success = success

    def __call__(self, _: Seen) -> bytes:
        return self.failures.pop() if self.failures else self.success


@pytest.mark.parametrize("failure", [CLOSE, error(503, "SlowDown"), error(500, "InternalError")])
async def test_heads_reads_lists_and_deletes_are_repeated_a_few_times_and_counted(failure: bytes) -> None:
    async def run(success: bytes, verb: str) -> None:
        async with serve(FailsTwice(success, failure)) as stub:
            driver = stub_driver(stub.endpoint)
            if verb == "head":
                await driver.head("b-1", "k")
            elif verb == "read":
                assert await content(driver, "b-1", "k") == b"data"
            elif verb == "list":
                await driver.list("b-1", prefix="", delimiter=None, limit=1, token=None)
            else:
                await driver.delete("b-1", "k", if_match=None)
            assert driver.repeated_requests == 2
            assert len(stub.requests) == 3
            await driver.aclose()

    await run(http(etag='"e"'), "head")
    await run(http(body=EMPTY_LIST), "list")
    await run(http(204), "delete")
    await run(http(body=b"data", etag='"e"'), "read")


async def test_a_conditional_delete_is_never_repeated() -> None:
    async with serve(lambda _: CLOSE) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(BackendUnreachableError):
            await driver.delete("b-1", "k", if_match="e")
        await driver.aclose()
    assert len(stub.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_never_followed(status: int) -> None:
    async with (
        serve(lambda _: http()) as other,
        serve(lambda _: http(status, location=other.endpoint + "/b-1/k")) as stub,
    ):
        driver = stub_driver(stub.endpoint)
        with pytest.raises(BackendError):
            await driver.head("b-1", "k")
        with pytest.raises(BackendError):
            await driver.container_exists("b-1")
        with pytest.raises(BackendError):
            await put(driver, b"x")
        assert other.requests == []
        await driver.aclose()


async def test_a_bucket_of_another_region_says_so() -> None:
    async with serve(lambda _: http(301, x_amz_bucket_region="eu-west-1")) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(WrongRegionError):
            await driver.head("b-1", "k")
        with pytest.raises(WrongRegionError):
            await driver.container_exists("b-1")
        await driver.aclose()


async def test_no_text_of_the_backend_gets_into_an_error() -> None:
    async with serve(lambda _: error(403, "AccessDenied")) as stub:
        driver = stub_driver(stub.endpoint)
        for call in (driver.head("b-1", "k"), driver.container_exists("b-1"), put(driver, b"x")):
            with pytest.raises(AccessDeniedError) as caught:
                await call
            assert "SECRET" not in repr(caught.value)
            assert "canary" not in repr(caught.value)
        await driver.aclose()


GET_BEGUN = b'HTTP/1.1 200 X\r\ncontent-length: 1000000\r\netag: "e"\r\n\r\n' + b"x" * 1000


async def _open_read(driver: S3Driver) -> None:
    async with await driver.read("b-1", "k", None) as stream:
        async for _ in stream:
            pass


async def _endless() -> AsyncGenerator[bytes, None]:
    yield b"x" * 70_000  # more than a frame, so that something goes out
    await asyncio.Event().wait()


def _operations(driver: S3Driver) -> dict[str, object]:
    return {
        "get before the first byte": (HANG, lambda: _open_read(driver)),
        "get in the middle": (Partial(GET_BEGUN), lambda: _open_read(driver)),
        "head": (HANG, lambda: driver.head("b-1", "k")),
        "list": (HANG, lambda: driver.list("b-1", prefix="", delimiter=None, limit=1, token=None)),
        "put without an answer": (HANG, lambda: put(driver, b"hello")),
        "delete": (HANG, lambda: driver.delete("b-1", "k", if_match=None)),
        "put in the middle": (
            HANG,
            lambda: driver.write("b-1", "k", _endless(), size_bytes=200_000, options=WriteOptions()),
        ),
        "container": (HANG, lambda: driver.container_exists("b-1")),
    }


@pytest.mark.parametrize("name", list(_operations(None)))  # type: ignore[arg-type]  # the names alone
async def test_a_cancelled_call_leaves_the_backend_within_a_second(name: str) -> None:
    replies: list[bytes | Partial] = []
    async with serve(lambda _: replies[0]) as stub:
        driver = stub_driver(stub.endpoint, deadlines=Deadlines())
        reply, operation = _operations(driver)[name]  # type: ignore[misc]  # a pair of reply and call
        replies.append(reply)
        task = asyncio.ensure_future(operation())
        await asyncio.wait_for(stub.begun.get(), 5)
        began = time.monotonic()
        task.cancel()
        assert await asyncio.wait_for(stub.gone.get(), 1) in {"answer", "body"}
        assert time.monotonic() - began < 1
        with pytest.raises(asyncio.CancelledError):
            await task
        await driver.aclose()


async def test_leaving_a_read_early_ends_it_at_the_backend() -> None:
    async with serve(lambda _: Partial(GET_BEGUN)) as stub:
        driver = stub_driver(stub.endpoint, deadlines=Deadlines())
        async with await driver.read("b-1", "k", None) as stream:
            assert await anext(aiter(stream))
        await asyncio.wait_for(stub.gone.get(), 1)
        await driver.aclose()


@pytest.mark.parametrize("name", [name for name in _operations(None) if name != "put in the middle"])  # type: ignore[arg-type]  # the names alone
async def test_a_silent_backend_is_cut_at_its_deadline(name: str) -> None:
    replies: list[bytes | Partial] = []
    async with serve(lambda _: replies[0]) as stub:
        driver = stub_driver(stub.endpoint, deadlines=QUICK)
        reply, operation = _operations(driver)[name]  # type: ignore[misc]  # a pair of reply and call
        replies.append(reply)
        expected = WriteOutcomeUnknownError if name.startswith("put") else BackendTimeoutError
        async with asyncio.timeout(5):
            with pytest.raises(expected):
                await operation()
        await asyncio.wait_for(stub.gone.get(), 1)
        await driver.aclose()


async def test_a_connection_that_breaks_under_a_body_is_unreachable_and_not_unknown() -> None:
    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    server = await asyncio.start_server(slam, "127.0.0.1", 0)
    driver = stub_driver(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    size_bytes = 50 * 1024 * 1024
    chunks = (b"x" * 65536 for _ in range(size_bytes // 65536))
    with pytest.raises(BackendUnreachableError):
        await driver.write("b-1", "k", body(*chunks), size_bytes=size_bytes, options=WriteOptions())
    server.close()
    await driver.aclose()


@pytest.mark.parametrize(
    ("answer", "expected"), [(error(403, "AccessDenied"), AccessDeniedError), (http(etag='"e"'), BackendFailedError)]
)
async def test_an_answer_that_comes_before_the_body_is_taken_at_its_word_only_as_a_refusal(
    answer: bytes, expected: type[StowError]
) -> None:
    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hasty, "127.0.0.1", 0)
    driver = stub_driver(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    source = _endless()
    with pytest.raises(expected):
        await driver.write("b-1", "k", source, size_bytes=200_000, options=WriteOptions())
    # Nobody asks the source any more, so its owner may close it at once.
    await source.aclose()
    server.close()
    await driver.aclose()


async def test_no_log_at_any_level_holds_a_secret_or_a_signature(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serve(lambda _: http(etag='"e"')) as stub:
        driver = stub_driver(stub.endpoint)
        await driver.head("b-1", "k")
        await driver.container_exists("b-1")
        now = utc_now()
        entry = ContainerEntry("b-1", "s3://b-1", Origin.BASE, now, "uid")
        signed = await driver.sign(SignRequest("b-1", "k", Method.GET, now, now + timedelta(minutes=1), entry))
        await driver.aclose()
    signatures = [seen.headers["authorization"].rpartition("=")[2] for seen in stub.requests]
    for secret in ("secret-key-canary", signed.url.rpartition("=")[2], *signatures):
        assert len(secret) > 10
        assert secret not in caplog.text


def _open_sockets() -> int:
    return sum(
        1 for found in Path("/proc/self/fd").iterdir() if found.is_symlink() and "socket:" in str(found.readlink())
    )


async def test_a_slow_reader_is_no_silent_backend() -> None:
    """The idle deadline stands still while the reader holds the stream back."""
    data = b"x" * 3_000_000
    async with serve(lambda _: http(body=data, etag='"e"')) as stub:
        driver = stub_driver(stub.endpoint, deadlines=QUICK)
        async with await driver.read("b-1", "k", None) as stream:
            chunks = aiter(stream)
            got = len(await anext(chunks))
            await asyncio.sleep(2 * QUICK.idle_s)
            async for chunk in chunks:
                got += len(chunk)
                assert len(chunk) <= 128 * 1024
        assert got == len(data)
        await driver.aclose()


async def test_a_backend_that_takes_no_more_of_a_body_is_cut_at_the_idle_deadline() -> None:
    left = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await left.wait()
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    driver = stub_driver(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", deadlines=QUICK)
    size_bytes = 50 * 1024 * 1024
    chunks = (b"x" * 65536 for _ in range(size_bytes // 65536))
    before = _open_sockets()
    async with asyncio.timeout(5):
        with pytest.raises(BackendTimeoutError):
            await driver.write("b-1", "k", body(*chunks), size_bytes=size_bytes, options=WriteOptions())
    # The connection is not left to the backend's mercy either, although it still holds unsent data: only the backend's end stays.
    async with asyncio.timeout(5):
        while _open_sockets() > before + 1:  # noqa: ASYNC110 (the kernel tells nobody)
            await asyncio.sleep(0.05)
    left.set()
    server.close()
    await driver.aclose()


@pytest.mark.parametrize("failure", [BodyTooShortError("short"), ChecksumMismatchError("sum"), RuntimeError("cut")])
@pytest.mark.parametrize("size_bytes", [100, 100_000, None])
async def test_a_body_that_fails_is_never_stored_and_its_own_exception_comes_out(
    s3: S3Driver, bucket: str, failure: Exception, size_bytes: int | None
) -> None:
    await s3.write(bucket, "k", body(b"old"), size_bytes=3, options=WriteOptions())
    with pytest.raises(type(failure)) as caught:
        await s3.write(bucket, "k", failing([b"x" * 50], failure), size_bytes=size_bytes, options=WriteOptions())
    assert caught.value is failure
    assert await content(s3, bucket, "k") == b"old"


@pytest.mark.parametrize("cut", [b"", b"x" * 999])
async def test_an_answer_that_breaks_off_is_an_error_and_not_an_end(cut: bytes) -> None:
    async with serve(lambda _: CutOff(b'HTTP/1.1 200 X\r\ncontent-length: 1000\r\netag: "e"\r\n\r\n' + cut)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(BackendUnreachableError):
            await content(driver, "b-1", "k")
        await driver.aclose()


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {"content_range": "bytes 0-4/100"}),
        (206, {"content_range": "bytes 5-9/nonsense"}),
        (206, {}),
        (200, {}),
    ],
)
async def test_a_range_that_was_not_asked_for_is_refused(status: int, headers: dict[str, str]) -> None:
    async with serve(lambda _: http(status, b"12345", etag='"e"', **headers)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(BackendFailedError):
            await driver.read("b-1", "k", ByteRange(1, 3))
        await driver.aclose()


@pytest.mark.parametrize(
    ("status", "code"), [(412, "PreconditionFailed"), (409, "ConditionalRequestConflict"), (404, "NoSuchKey")]
)
async def test_a_condition_that_fails_is_told_apart(status: int, code: str) -> None:
    async with serve(lambda _: error(status, code)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(PreconditionFailedError):
            await put(driver, b"x", options=WriteOptions(if_match="e"))
        await driver.aclose()
