"""Writes and copies: what goes out, how it is verified, and what becomes of lost and damaged ones."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from drivers.google.setup import (
    GRAIN,
    OBJECT,
    SMALL_CHUNKS,
    answer,
    body,
    content,
    failing,
    parts,
    path,
    query,
    refusal,
    stub_driver,
)
from servers.gcs_front import GcsFront
from servers.stub import CLOSE, HANG, Seen, Stub, http, serve
from stow.drivers.google.driver import GoogleDriver
from stow.errors import (
    BackendError,
    BackendFailedError,
    BodyTooShortError,
    ChecksumMismatchError,
    ContainerNotFoundError,
    NotFoundError,
    PreconditionFailedError,
    WriteOutcomeUnknownError,
)
from stow.storage.budget import ByteBudget
from stow.storage.checksums import new_crc32c
from stow.storage.model import CopyOptions, ObjectAttributes, ObjectMetadata, WriteOptions

ATTRIBUTES = ObjectAttributes("text/csv", "gzip", "de", 'attachment; filename="a"', "no-store", {"team": "é%"})


def crc32c(data: bytes) -> str:
    made = new_crc32c()
    made.update(data)
    return base64.b64encode(made.digest()).decode()


def stored(data: bytes, **fields: Any) -> dict[str, Any]:
    """The resource that answers a write."""
    made = {"generation": "7", "size": str(len(data)), "crc32c": crc32c(data), "updated": "2026-11-23T02:00:00Z"}
    return {**made, **fields}


async def put(driver: GoogleDriver, *chunks: bytes, known: bool = True, **options: Any) -> ObjectMetadata:
    size = sum(map(len, chunks)) if known else None
    return await driver.write("b-1", "k/é", body(*chunks), size_bytes=size, options=WriteOptions(**options))


class Uploads:
    """Google's resumable protocol, as it is documented: 308 with what is kept, then the resource."""

    def __init__(self, *, final: Callable[[bytes], bytes] | None = None, kept: int | None = None) -> None:
        self.data = b""
        self._final = final if final is not None else lambda data: answer(stored(data))
        self._kept = kept
        self.stub: Stub | None = None

    def __call__(self, seen: Seen) -> bytes:
        if seen.method == "POST":
            assert self.stub is not None
            location = f"{self.stub.endpoint}/upload/storage/v1/b/b-1/o?uploadType=resumable&upload_id=a%2Fb"
            return http(200, location=location)
        if seen.method == "PUT":
            self.data += seen.body
            if seen.headers["content-range"].endswith(f"/{len(self.data)}"):
                return self._final(self.data)
            kept = len(self.data) if self._kept is None else self._kept
            return http(308, range=f"bytes=0-{kept - 1}")
        return http(499)


async def test_a_small_body_brings_its_attributes_and_its_checksum_in_front() -> None:
    async with serve(lambda _: answer(stored(b"hello"))) as stub:
        driver = stub_driver(stub.endpoint)
        md5 = hashlib.md5(b"hello").digest()
        written = await put(driver, b"hel", b"lo", attributes=ATTRIBUTES, content_md5=md5)
        await driver.aclose()
    (seen,) = stub.requests
    assert (seen.method, path(seen)) == ("POST", "/upload/storage/v1/b/b-1/o")
    assert query(seen)["uploadType"] == "multipart"
    resource, media, data = parts(seen)
    assert resource == {
        "name": "k/é",
        "contentType": "text/csv",
        "contentEncoding": "gzip",
        "contentLanguage": "de",
        "contentDisposition": 'attachment; filename="a"',
        "cacheControl": "no-store",
        "metadata": {"team": "%C3%A9%25", "stow-nonce": "nonce-1"},
        "crc32c": crc32c(b"hello"),
        "md5Hash": base64.b64encode(md5).decode(),
    }
    assert (media, data) == ({"content-type": "text/csv"}, b"hello")
    assert (written.etag, written.size_bytes, written.attributes) == ("7", 5, ATTRIBUTES)


async def test_a_streamed_body_is_one_request_whose_answer_is_compared() -> None:
    data = b"x" * 200_000
    async with serve(lambda _: answer(stored(data))) as stub:
        driver = stub_driver(stub.endpoint)
        await put(driver, data[:5], data[5:])
        await driver.aclose()
    (seen,) = stub.requests
    resource, _, media = parts(seen)
    assert "crc32c" not in resource
    assert media == data


@pytest.mark.parametrize("fields", [{"crc32c": "AAAAAA=="}, {"size": "9"}])
async def test_a_damaged_object_is_deleted_again_and_no_newer_one(fields: dict[str, str]) -> None:
    def damage(seen: Seen) -> bytes:
        return http(204) if seen.method == "DELETE" else answer(stored(b"x" * 200_000, **fields))

    async with serve(damage) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(ChecksumMismatchError):
            await put(driver, b"x" * 200_000)
        await driver.aclose()
    assert (stub.requests[1].method, query(stub.requests[1])) == ("DELETE", {"generation": "7"})


async def test_a_damaged_object_that_stays_is_said_to_be() -> None:
    def stays(seen: Seen) -> bytes:
        return http(403) if seen.method == "DELETE" else answer(stored(b"", size="200000"))

    async with serve(stays) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(BackendFailedError, match="could not be deleted"):
            await put(driver, b"x" * 200_000)
        await driver.aclose()


@pytest.mark.parametrize(
    ("options", "expected"),
    [({"if_none_match": True}, "0"), ({"if_match": "42"}, "42"), ({"if_match": "*"}, "7")],
)
@pytest.mark.parametrize("size", [5, 200_000, 3 * GRAIN])
async def test_a_condition_goes_with_the_request_that_begins_the_write(
    options: dict[str, Any], expected: str, size: int
) -> None:
    uploads = Uploads()
    data = b"x" * size

    def reply(seen: Seen) -> bytes:
        if seen.method == "HEAD":
            return http(200, **OBJECT)
        return uploads(seen) if query(seen)["uploadType"] == "resumable" else answer(stored(data))

    async with serve(reply) as stub:
        uploads.stub = stub
        driver = stub_driver(stub.endpoint, uploads=SMALL_CHUNKS)
        await put(driver, data, **options)
        await driver.aclose()
    begun = next(seen for seen in stub.requests if seen.method == "POST")
    assert query(begun)["ifGenerationMatch"] == expected


async def test_an_unmet_condition_is_said_once() -> None:
    async with serve(lambda _: refusal(412, "conditionNotMet")) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(PreconditionFailedError):
            await put(driver, b"x", if_none_match=True)
        await driver.aclose()
    assert len(stub.requests) == 1


@pytest.mark.parametrize("rest", [1, 1000, GRAIN])
async def test_a_big_body_goes_up_in_two_chunks_of_which_the_last_has_the_checksum(rest: int) -> None:
    uploads = Uploads()
    data = bytes(range(256)) * (2 * GRAIN // 256) + b"y" * rest
    async with serve(uploads) as stub:
        uploads.stub = stub
        driver = stub_driver(stub.endpoint, uploads=SMALL_CHUNKS)
        written = await put(driver, data[:70_000], data[70_000:], attributes=ATTRIBUTES)
        await driver.aclose()
    begun, first, last = stub.requests
    assert json.loads(begun.body)["name"] == "k/é"
    assert begun.headers["x-upload-content-length"] == str(len(data))
    assert begun.headers["x-upload-content-type"] == "text/csv"
    split = (len(data) - 1) // GRAIN * GRAIN
    assert first.headers["content-range"] == f"bytes 0-{split - 1}/{len(data)}"
    assert last.headers["content-range"] == f"bytes {split}-{len(data) - 1}/{len(data)}"
    assert "x-goog-hash" not in first.headers
    assert last.headers["x-goog-hash"] == f"crc32c={crc32c(data)}"
    assert uploads.data == data
    assert last.target.endswith("?uploadType=resumable&upload_id=a%2Fb")
    assert written.attributes == ATTRIBUTES


@pytest.mark.parametrize("size", [GRAIN + 1, 2 * GRAIN, 2 * GRAIN + 1, 3 * GRAIN - 1])
async def test_a_body_of_unknown_size_goes_up_in_chunks_out_of_the_budget(size: int) -> None:
    uploads, budget = Uploads(), ByteBudget(GRAIN + 1)
    data = b"z" * size
    async with serve(uploads) as stub:
        uploads.stub = stub
        driver = stub_driver(stub.endpoint, uploads=SMALL_CHUNKS, budget=budget)
        await put(driver, data[:1000], data[1000:], known=False)
        await driver.aclose()
    ranges = [seen.headers["content-range"] for seen in stub.requests[1:]]
    assert all(text.endswith("/*") for text in ranges[:-1])
    assert ranges[-1].endswith(f"-{size - 1}/{size}")
    assert stub.requests[-1].headers["x-goog-hash"] == f"crc32c={crc32c(data)}"
    assert uploads.data == data
    assert (budget.used_bytes, budget.peak_bytes) == (0, GRAIN)


@pytest.mark.parametrize("size", [0, 1, GRAIN])
async def test_a_body_of_unknown_size_that_ends_early_is_one_request(size: int) -> None:
    data = b"z" * size
    async with serve(lambda _: answer(stored(data))) as stub:
        driver = stub_driver(stub.endpoint, uploads=SMALL_CHUNKS)
        await put(driver, *([data] if data else []), known=False)
        await driver.aclose()
    (seen,) = stub.requests
    assert parts(seen)[0]["crc32c"] == crc32c(data)
    assert parts(seen)[2] == data


@pytest.mark.parametrize("known", [True, False])
async def test_a_body_that_must_not_be_cancels_its_upload(known: bool) -> None:
    uploads = Uploads()
    async with serve(uploads) as stub:
        uploads.stub = stub
        driver = stub_driver(stub.endpoint, uploads=SMALL_CHUNKS)
        source = failing([b"x" * GRAIN, b"x" * (2 * GRAIN)], BodyTooShortError("too short"))
        with pytest.raises(BodyTooShortError):
            await driver.write("b-1", "k", source, size_bytes=4 * GRAIN if known else None, options=WriteOptions())
        await driver.aclose()
    assert stub.requests[-1].method == "DELETE"
    assert not any("x-goog-hash" in seen.headers for seen in stub.requests)


async def test_a_cancelled_upload_is_cancelled_at_the_backend() -> None:
    uploads = Uploads()
    waiting = asyncio.Event()

    async def slow() -> Any:
        yield b"x" * (2 * GRAIN)
        waiting.set()
        await asyncio.Event().wait()

    async with serve(uploads) as stub:
        uploads.stub = stub
        driver = stub_driver(stub.endpoint, uploads=SMALL_CHUNKS)
        task = asyncio.create_task(driver.write("b-1", "k", slow(), size_bytes=None, options=WriteOptions()))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await driver.aclose()
    assert stub.requests[-1].method == "DELETE"


@pytest.mark.parametrize("kept", [GRAIN - 1, 0, 2 * GRAIN + 1])
async def test_a_chunk_that_was_not_kept_whole_ends_the_upload(kept: int) -> None:
    uploads = Uploads(kept=kept)
    async with serve(uploads) as stub:
        uploads.stub = stub
        driver = stub_driver(stub.endpoint, uploads=SMALL_CHUNKS)
        with pytest.raises(BackendFailedError, match="did not keep"):
            await put(driver, b"x" * (2 * GRAIN + 1))
        await driver.aclose()
    assert [seen.method for seen in stub.requests] == ["POST", "PUT", "DELETE"]


@pytest.mark.parametrize("known", [True, False])
async def test_a_last_chunk_that_was_not_kept_whole_is_no_redirect(known: bool) -> None:
    uploads = Uploads(final=lambda data: http(308, range=f"bytes=0-{len(data) - 2}"))
    async with serve(uploads) as stub:
        uploads.stub = stub
        driver = stub_driver(stub.endpoint, uploads=SMALL_CHUNKS)
        with pytest.raises(BackendFailedError, match="did not keep"):
            await put(driver, b"x" * (2 * GRAIN + 1), known=known)
        await driver.aclose()
    assert stub.requests[-1].method == "DELETE"


async def test_a_big_body_of_one_chunk_has_no_empty_first_one() -> None:
    """Where the limit of a single request is below a chunk's grain."""
    uploads = Uploads()
    async with serve(uploads) as stub:
        uploads.stub = stub
        driver = stub_driver(stub.endpoint, uploads=replace(SMALL_CHUNKS, single_bytes=1))
        assert (await put(driver, b"xy")).size_bytes == 2
        await driver.aclose()
    assert [seen.headers.get("content-range") for seen in stub.requests] == [None, "bytes 0-1/2"]


@pytest.mark.parametrize("location", ["http://127.0.0.1:1/upload?upload_id=x", "//elsewhere/", "", "x://y", "/upload"])
async def test_an_upload_that_begins_at_another_place_is_not_followed(location: str) -> None:
    async with serve(lambda _: http(200, location=location)) as stub:
        driver = stub_driver(stub.endpoint, uploads=SMALL_CHUNKS)
        with pytest.raises(BackendFailedError, match="another place"):
            await put(driver, b"x" * (3 * GRAIN))
        await driver.aclose()
    assert len(stub.requests) == 1


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_failure_before_the_last_chunk_leaves_nothing_unknown(method: str) -> None:
    uploads = Uploads()
    async with serve(lambda seen: refusal(500, "backendError") if seen.method == method else uploads(seen)) as stub:
        uploads.stub = stub
        driver = stub_driver(stub.endpoint, uploads=SMALL_CHUNKS)
        with pytest.raises(BackendFailedError):
            await put(driver, b"x" * (3 * GRAIN))
        await driver.aclose()
    assert "HEAD" not in {seen.method for seen in stub.requests}


async def test_a_checksum_that_google_refuses_is_ours() -> None:
    uploads = Uploads(final=lambda _: http(400, b"<Error><Code>BadDigest</Code></Error>"))
    async with serve(uploads) as stub:
        uploads.stub = stub
        driver = stub_driver(stub.endpoint, uploads=SMALL_CHUNKS)
        with pytest.raises(ChecksumMismatchError):
            await put(driver, b"x" * (3 * GRAIN))
        await driver.aclose()


class Lost:
    """The write's answer never comes; a HEAD shows the object with ``nonce``."""

    def __init__(self, lost: bytes, nonce: str | None) -> None:
        self.lost = lost
        self.nonce = nonce

    def __call__(self, seen: Seen) -> bytes:
        if seen.method != "HEAD":
            return self.lost
        return http(200, b"hello", **OBJECT, x_goog_meta_stow_nonce=self.nonce) if self.nonce else http(404)


LOST = [CLOSE, HANG, http(502), http(200, b"{"), answer({"kind": "nothing"})]


@pytest.mark.parametrize("lost", LOST)
async def test_a_lost_answer_is_settled_by_the_nonce(lost: bytes) -> None:
    async with serve(Lost(lost, "nonce-1")) as stub:
        driver = stub_driver(stub.endpoint)
        assert (await put(driver, b"hello")).etag == "7"
        await driver.aclose()
    assert [seen.method for seen in stub.requests] == ["POST", "HEAD"]


@pytest.mark.parametrize("nonce", ["another", None])
@pytest.mark.parametrize("lost", LOST)
async def test_what_another_one_wrote_leaves_the_outcome_unknown(lost: bytes, nonce: str | None) -> None:
    async with serve(Lost(lost, nonce)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(WriteOutcomeUnknownError):
            await put(driver, b"hello")
        await driver.aclose()
    assert [seen.method for seen in stub.requests] == ["POST", "HEAD"]


@pytest.mark.parametrize("code", ["backendError", "internalError"])
async def test_a_failure_that_google_names_may_still_have_happened(code: str) -> None:
    async with serve(Lost(refusal(500, code), "nonce-1")) as stub:
        driver = stub_driver(stub.endpoint)
        assert (await put(driver, b"hello")).etag == "7"
        await driver.aclose()


async def test_a_write_into_a_missing_bucket_makes_none(google: GoogleDriver, gcs_front: GcsFront) -> None:
    for size in (1, 200_000, None):
        with pytest.raises(NotFoundError):
            await google.write("nowhere-at-all", "k", body(b"x" * (size or 1)), size_bytes=size, options=WriteOptions())
    assert not await google.container_exists("nowhere-at-all")


async def test_parts_and_chunks_arrive_at_the_real_server(google: GoogleDriver, bucket: str) -> None:
    data = bytes(range(256)) * 4096 * 9  # 9 MiB, one chunk and a bit
    options = WriteOptions(attributes=ATTRIBUTES)
    written = await google.write(bucket, "k", body(data[:99], data[99:]), size_bytes=None, options=options)
    assert await content(google, bucket, "k") == data
    assert (await google.head(bucket, "k")).attributes == ATTRIBUTES
    assert (await google.head(bucket, "k")).etag == written.etag


class Rewrites:
    """The source is at generation 7; the rewrite takes ``rounds`` calls."""

    def __init__(self, rounds: int = 1, refused: bytes | None = None) -> None:
        self.rounds = rounds
        self.refused = refused

    def __call__(self, seen: Seen) -> bytes:
        if seen.method == "HEAD":
            return http(200, b"hello", content_type="text/csv", **OBJECT)
        if self.refused is not None:
            return self.refused
        self.rounds -= 1
        if self.rounds:
            return answer({"done": False, "rewriteToken": f"to/ken-{self.rounds}"})
        return answer({"done": True, "resource": stored(b"hello", generation="8")})


async def test_a_copy_is_rewritten_until_it_is_done_and_keeps_to_one_generation() -> None:
    async with serve(Rewrites(rounds=3)) as stub:
        driver = stub_driver(stub.endpoint)
        copied = await driver.copy(("b-1", "a/b c"), ("b-2", "d#é"), CopyOptions(if_match="5"))
        await driver.aclose()
    head, *rounds = stub.requests
    assert head.method == "HEAD"
    assert {path(seen) for seen in rounds} == {"/storage/v1/b/b-1/o/a%2Fb%20c/rewriteTo/b/b-2/o/d%23%C3%A9"}
    assert {query(seen)["sourceGeneration"] for seen in rounds} == {"7"}
    assert {query(seen)["ifGenerationMatch"] for seen in rounds} == {"5"}
    assert [query(seen).get("rewriteToken") for seen in rounds] == [None, "to/ken-2", "to/ken-1"]
    assert all(seen.body == b"" for seen in rounds)  # so Google keeps all attributes of the source
    assert (copied.etag, copied.size_bytes, copied.attributes.content_type) == ("8", 5, "text/csv")


async def test_a_copy_with_attributes_replaces_them_all_and_can_be_settled() -> None:
    async with serve(Rewrites()) as stub:
        driver = stub_driver(stub.endpoint)
        options = CopyOptions(attributes=ObjectAttributes(metadata={"a": "b"}), if_none_match=True)
        await driver.copy(("b-1", "k"), ("b-1", "k2"), options)
        await driver.aclose()
    rewrite = stub.requests[1]
    assert json.loads(rewrite.body) == {
        "contentType": "application/octet-stream",
        "metadata": {"a": "b", "stow-nonce": "nonce-1"},
    }
    assert query(rewrite)["ifGenerationMatch"] == "0"


async def test_the_condition_of_a_copys_destination_is_the_servers_to_refuse() -> None:
    async with serve(Rewrites(refused=refusal(412, "conditionNotMet"))) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(PreconditionFailedError):
            await driver.copy(("b-1", "k"), ("b-1", "k2"), CopyOptions(if_none_match=True))
        await driver.aclose()
    assert len(stub.requests) == 2


async def test_a_copy_whose_source_is_still_there_lacks_its_destination() -> None:
    async with serve(Rewrites(refused=refusal(404, "notFound"))) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(ContainerNotFoundError):
            await driver.copy(("b-1", "k"), ("b-2", "k"), CopyOptions())
        await driver.aclose()


async def test_a_source_that_changes_under_the_copy_is_tried_again() -> None:
    heads = iter(["7", "8", "9"])

    def changing(seen: Seen) -> bytes:
        if seen.method == "HEAD":
            return http(200, b"hello", x_goog_generation=next(heads))
        found = query(seen)["sourceGeneration"] == "8"
        return answer({"done": True, "resource": stored(b"hello")}) if found else refusal(404, "notFound")

    async with serve(changing) as stub:
        driver = stub_driver(stub.endpoint)
        assert (await driver.copy(("b-1", "k"), ("b-2", "k"), CopyOptions())).etag == "7"
        await driver.aclose()
    assert [seen.method for seen in stub.requests] == ["HEAD", "POST", "HEAD", "POST"]


async def test_a_copy_that_is_left_unfinished_without_a_token_is_an_error() -> None:
    async with serve(Rewrites(refused=answer({"done": False}))) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(BackendError, match="unfinished"):
            await driver.copy(("b-1", "k"), ("b-2", "k"), CopyOptions())
        await driver.aclose()
