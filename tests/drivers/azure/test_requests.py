"""What goes over the wire: how many requests each operation takes, what they say, and what becomes of odd answers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from drivers.azure.setup import KEY, SMALL, Counter, body, content, driver_of, stub_driver
from servers.azurite import AzuriteServer
from servers.stub import CLOSE, HANG, Answer, Seen, http, serve
from stow.drivers.azure.config import Credentials, SasToken
from stow.drivers.azure.driver import AzureDriver
from stow.errors import (
    AccessDeniedError,
    BackendError,
    BackendFailedError,
    ChecksumMismatchError,
    ContainerTakenError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
    StowError,
    WriteOutcomeUnknownError,
)
from stow.storage.budget import ByteBudget
from stow.storage.model import (
    MIB,
    ByteRange,
    ContainerSettings,
    CopyOptions,
    Marker,
    ObjectAttributes,
    WriteOptions,
)
from stow.transport.wire import Request

PLAIN = WriteOptions()
MARKER = Marker("installation", "team", "reports", "uid-1", "nonce-1")
DATE = "Mon, 23 Nov 2026 06:00:00 GMT"


async def put(driver: AzureDriver, container: str, key: str, data: bytes, options: WriteOptions = PLAIN) -> str:
    return (await driver.write(container, key, body(data), size_bytes=len(data), options=options)).etag


async def test_each_operation_takes_the_fewest_requests(azure: AzureDriver, container: str, counter: Counter) -> None:
    async def taken() -> list[str]:
        methods = counter.methods
        counter.requests.clear()
        return methods

    await put(azure, container, "k", b"x" * 200_000)
    assert await taken() == ["PUT"]
    await put(azure, container, "small", b"x")
    assert await taken() == ["PUT"]
    await azure.head(container, "k")
    assert await taken() == ["HEAD"]
    await content(azure, container, "k")
    assert await taken() == ["GET"]
    await content(azure, container, "k", ByteRange(5, 10))
    assert await taken() == ["GET"]
    await content(azure, container, "k", ByteRange(suffix=5))
    assert await taken() == ["HEAD", "GET"]
    await azure.list(container, prefix="", delimiter="/", limit=1, token=None)
    assert await taken() == ["GET"]
    await azure.copy((container, "k"), (container, "k2"), CopyOptions())
    assert await taken() == ["HEAD", "PUT", "PUT"]
    await azure.delete(container, "k", if_match=None)
    assert await taken() == ["DELETE"]
    await azure.probe(container)
    assert await taken() == ["GET", "HEAD"]
    await azure.probe(container)
    assert await taken() == ["GET"]
    await azure.create_container(f"{container}-x", MARKER)
    assert await taken() == ["PUT"]
    await azure.delete_container(f"{container}-x")
    assert await taken() == ["GET", "DELETE"]


async def test_a_read_says_all_of_the_object_at_once(azure: AzureDriver, container: str) -> None:
    data = b"0123456789"
    attributes = ObjectAttributes(content_type="text/csv", content_encoding="gzip", metadata={"1-a": "ü", "b": ""})
    await put(azure, container, "k", data, WriteOptions(attributes=attributes))
    seen = await azure.head(container, "k")
    for byte_range in (None, ByteRange(2, 4), ByteRange(suffix=3)):
        async with await azure.read(container, "k", byte_range) as stream:
            assert stream.metadata == seen
    assert seen.md5 == hashlib.md5(data, usedforsecurity=False).digest()
    assert (seen.attributes, seen.size_bytes) == (attributes, 10)


async def test_an_object_with_snapshots_can_be_deleted(azure: AzureDriver, container: str) -> None:
    await put(azure, container, "k", b"data")
    await _snapshot(azure, container, "k")
    await azure.delete(container, "k", if_match=None)
    with pytest.raises(ObjectNotFoundError):
        await azure.head(container, "k")
    assert (await azure.container_contents(container)).empty


async def test_a_container_with_nothing_but_old_versions_counts_them(azure: AzureDriver, container: str) -> None:
    await put(azure, container, "k", b"data")
    await _snapshot(azure, container, "k")
    contents = await azure.container_contents(container)
    assert (contents.objects, contents.versions) == (1, 1)


async def _snapshot(azure: AzureDriver, container: str, key: str) -> None:
    await azure._backend.wire.exchange(Request("PUT", container, key, query=[("comp", "snapshot")]))


async def test_unnamed_blocks_leave_the_object_and_the_container_alone(azure: AzureDriver, container: str) -> None:
    """A writer that dies between its blocks and its list."""

    async def cut() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * MIB
        raise StowError("the source is gone")

    await put(azure, container, "k", b"old")
    for key in ("k", "new"):
        with pytest.raises(StowError, match="source is gone"):
            await azure.write(container, key, cut(), size_bytes=None, options=PLAIN)
    assert await content(azure, container, "k") == b"old"
    assert await azure.sweep(container) == 0
    await azure.delete(container, "k", if_match=None)
    assert (await azure.container_contents(container)).empty
    await azure.delete_container(container)


async def test_two_writers_of_one_key_never_mix(azure: AzureDriver, container: str) -> None:
    async def slow(letter: bytes) -> AsyncIterator[bytes]:
        for _ in range(4):
            yield letter * MIB
            await asyncio.sleep(0)

    results = await asyncio.gather(
        *(azure.write(container, "k", slow(letter), size_bytes=None, options=PLAIN) for letter in (b"a", b"b", b"c")),
        return_exceptions=True,
    )
    stored = await content(azure, container, "k")
    assert stored in {letter * 4 * MIB for letter in (b"a", b"b", b"c")}
    losers = [result for result in results if isinstance(result, BaseException)]
    assert len(losers) < 3
    assert all(isinstance(loser, BackendFailedError) for loser in losers), losers


async def test_what_is_buffered_comes_out_of_the_budget(azurite: AzuriteServer, container: str) -> None:
    budget = ByteBudget(3 * MIB)
    driver = driver_of(azurite, budget=budget)
    data = [bytes([n]) * MIB for n in range(9)]
    written = await driver.write(container, "big", body(*data), size_bytes=None, options=PLAIN)
    assert written.md5 == hashlib.md5(b"".join(data), usedforsecurity=False).digest()
    assert await content(driver, container, "big") == b"".join(data)
    assert (budget.used_bytes, budget.peak_bytes) == (0, 3 * MIB)
    await driver.aclose()


async def test_a_copy_is_read_by_the_service_in_blocks(azure: AzureDriver, container: str, counter: Counter) -> None:
    data = b"".join(bytes([n]) * MIB for n in range(3)) + b"rest"
    attributes = ObjectAttributes(content_type="text/csv", metadata={"a-b": "1"})
    await put(azure, container, "k", data, WriteOptions(attributes=attributes))
    counter.requests.clear()
    copied = await azure.copy((container, "k"), (container, "k2"), CopyOptions())
    assert counter.methods == ["HEAD"] + ["PUT"] * 5
    found = await azure.head(container, "k2")
    assert (found.etag, found.attributes, found.md5) == (
        copied.etag,
        attributes,
        hashlib.md5(data, usedforsecurity=False).digest(),
    )
    assert await content(azure, container, "k2") == data


async def test_a_source_whose_url_is_too_long_passes_through_here(
    azure: AzureDriver, container: str, counter: Counter
) -> None:
    key = "é" * 512  # 3 KiB in a URL, and the service reads 2
    for data in (b"small", b"x" * 100_000, b"x" * (5 * MIB)):
        await azure.write(container, key, body(data), size_bytes=len(data), options=PLAIN)
        counter.requests.clear()
        await azure.copy((container, key), (container, "k2"), CopyOptions())
        assert counter.methods[:2] == ["HEAD", "GET"]
        assert await content(azure, container, "k2") == data


def _copying(refusal: bytes) -> tuple[Answer, list[Seen]]:
    """A server that has one object, and refuses to read its source by itself."""
    seen: list[Seen] = []

    def answer(request: Seen) -> bytes:
        seen.append(request)
        if request.method == "PUT" and "x-ms-copy-source" in request.headers:
            return refusal
        if request.method == "PUT":
            return http(201, etag='"0x2"', last_modified=DATE)
        return http(200, b"data", etag='"0x1"', x_ms_meta_owner="me")

    return answer, seen


@pytest.mark.parametrize(
    "refusal",
    [
        http(501, x_ms_error_code="APINotImplemented"),
        http(403, x_ms_error_code="CannotVerifyCopySource"),
        http(404, x_ms_error_code="CannotVerifyCopySource"),
    ],
)
async def test_a_service_that_cannot_read_the_source_gets_it_from_here(refusal: bytes) -> None:
    answer, seen = _copying(refusal)
    async with serve(answer) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        await driver.copy(("box", "k"), ("box", "k2"), CopyOptions(if_match="0x9"))
        await driver.aclose()
    read, written = seen[-2:]
    assert (read.method, read.headers["if-match"]) == ("GET", '"0x1"')
    assert (written.method, written.body, written.headers["if-match"]) == ("PUT", b"data", '"0x9"')
    assert written.headers["x-ms-meta-owner"] == "me"


@pytest.mark.parametrize("failure", [http(503, x_ms_error_code="ServerBusy"), http(500), CLOSE])
async def test_a_block_that_the_service_reads_is_asked_for_again(failure: bytes) -> None:
    """It is replaced by itself; and a copy has thousands of them."""
    refusals = [failure, failure]

    def answer(request: Seen) -> bytes:
        if request.method == "PUT" and "x-ms-copy-source" in request.headers and refusals:
            return refusals.pop()
        return http(201, etag='"0x2"') if request.method == "PUT" else http(200, etag='"0x1"', content_length="4")

    async with serve(answer) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        await driver.copy(("box", "k"), ("box", "k2"), CopyOptions())
        await driver.aclose()
    assert [request.method for request in stub.requests] == ["HEAD", "PUT", "PUT", "PUT", "PUT"]


async def test_a_source_that_changes_is_copied_anew() -> None:
    answer, seen = _copying(http(412, x_ms_error_code="SourceConditionNotMet"))
    async with serve(answer) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        with pytest.raises(BackendFailedError):
            await driver.copy(("box", "k"), ("box", "k2"), CopyOptions())
        assert [request.method for request in seen] == ["HEAD", "PUT"] * 3
        seen.clear()
        with pytest.raises(PreconditionFailedError):
            await driver.copy(("box", "k"), ("box", "k2"), CopyOptions(source_if_match="0x1"))
        assert [request.method for request in seen] == ["HEAD", "PUT"]
        await driver.aclose()


async def test_a_new_container_asks_for_no_public_access_and_carries_its_marker() -> None:
    async with serve(lambda _: http(201, etag='"0x1"', last_modified=DATE)) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        await driver.create_container("box", MARKER)
        await driver.aclose()
    (request,) = stub.requests
    assert request.target == "/acct/box?restype=container"
    assert "x-ms-blob-public-access" not in request.headers
    assert request.headers["x-ms-meta-stowstoreio_uid"] == "uid-1"
    assert request.headers["authorization"].startswith("SharedKey acct:")


async def test_marker_and_tags_stand_beside_each_other(azure: AzureDriver, container: str) -> None:
    tags = {"team": "a", "Cost-Center": "ü 50%", "team:x/y": "", "stowtag_x": "1"}
    await azure.configure_container(container, ContainerSettings(tags=tags))
    await azure.write_marker(container, MARKER)
    assert (await azure.container_settings(container)).tags == tags
    await azure.configure_container(container, ContainerSettings(tags={"team": "b"}))
    assert await azure.read_marker(container) == MARKER
    await azure.write_marker(container, None)
    assert await azure.read_marker(container) is None
    assert (await azure.container_settings(container)).tags == {"team": "b"}
    with pytest.raises(ContainerTakenError):
        await azure.create_container(container, None)


def _list_page(blobs: str, marker: str = "") -> bytes:
    page = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
    return http(200, f'<?xml version="1.0" encoding="utf-8"?>{page}'.encode())


def _blob(name: str, more: str = "") -> str:
    properties = f"<Content-Length>1</Content-Length><Etag>0x1</Etag><Last-Modified>{DATE}</Last-Modified>{more}"
    return f"<Blob>{name}<Properties>{properties}</Properties></Blob>"


async def test_a_listing_gives_keys_as_they_are_and_no_folders() -> None:
    blobs = (
        _blob('<Name Encoded="true">odd%EF%BF%BE%2520</Name>')
        + _blob("<Name> a&amp;b%20+ </Name>")
        + _blob("<Name>folder</Name>", "<ResourceType>directory</ResourceType>")
        + '<BlobPrefix><Name Encoded="true">p%EF%BF%BF/</Name></BlobPrefix>'
    )
    async with serve(lambda _: _list_page(blobs, "2!next")) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        page = await driver.list("box", prefix="", delimiter="/", limit=7, token="1!a b")
        await driver.aclose()
    assert [found.key for found in page.objects] == [" a&b%20+ ", "odd\ufffe%20"]
    assert (page.prefixes, page.token) == (("p\uffff/",), "2!next")
    assert page.objects[0].last_modified == datetime(2026, 11, 23, 6, tzinfo=UTC)
    assert stub.requests[0].target.endswith("&maxresults=7&delimiter=%2F&marker=1%21a%20b")


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b"<EnumerationResults/>"),
        http(200, b"<Other/>"),
        http(200, b"no xml"),
        _list_page("<Blob><Name></Name><Properties/></Blob>"),
        _list_page(_blob('<Name Encoded="true">%ff</Name>')),
        _list_page("<Blob><Name>k</Name></Blob>"),
    ],
)
async def test_a_listing_that_makes_no_sense_is_an_error(answer: bytes) -> None:
    async with serve(lambda _: answer) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        with pytest.raises(BackendFailedError):
            await driver.list("box", prefix="", delimiter=None, limit=7, token=None)
        await driver.aclose()


async def test_a_suffix_range_is_of_one_version() -> None:
    """The object is replaced between the two requests, and asked for anew."""
    sizes = iter((10, 20))

    def answer(request: Seen) -> bytes:
        if request.method == "HEAD":
            size = next(sizes)
            return http(200, content_length=str(size), etag=f'"0x{size}"')
        if request.headers["if-match"] == '"0x10"':
            return http(412, x_ms_error_code="ConditionNotMet")
        return http(206, b"abcde", etag='"0x20"', content_range="bytes 15-19/20")

    async with serve(answer) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        assert await content(driver, "box", "k", ByteRange(suffix=5)) == b"abcde"
        await driver.aclose()
    assert [request.headers.get("range") for request in stub.requests] == [None, "bytes=5-9", None, "bytes=15-19"]


async def test_a_range_behind_the_end_tells_the_size() -> None:
    refused = http(416, x_ms_error_code="InvalidRange", content_range="bytes */7")
    async with serve(lambda _: refused) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        with pytest.raises(RangeNotSatisfiableError) as raised:
            await driver.read("box", "k", ByteRange(9))
        await driver.aclose()
    assert raised.value.size_bytes == 7


@pytest.mark.parametrize("removal", [http(202), http(412, x_ms_error_code="ConditionNotMet"), http(403), CLOSE])
async def test_a_streamed_body_that_was_damaged_does_not_stay(removal: bytes) -> None:
    """The MD5 that the service stored is not that of what was sent."""
    other = base64.b64encode(hashlib.md5(b"other", usedforsecurity=False).digest()).decode()

    def answer(request: Seen) -> bytes:
        return removal if request.method == "DELETE" else http(201, etag='"0x1"', content_md5=other)

    async with serve(answer) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        with pytest.raises(ChecksumMismatchError):
            await put(driver, "box", "k", b"x" * 100_000)
        await driver.aclose()
    written, deleted = stub.requests
    assert "content-md5" not in written.headers
    assert (deleted.method, deleted.headers["if-match"]) == ("DELETE", '"0x1"')


async def test_a_body_in_memory_travels_with_its_md5() -> None:
    async with serve(lambda _: http(400, x_ms_error_code="Md5Mismatch")) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        with pytest.raises(ChecksumMismatchError):
            await put(driver, "box", "k", b"data")
        await driver.aclose()
    md5 = hashlib.md5(b"data", usedforsecurity=False).digest()
    assert stub.requests[0].headers["content-md5"] == base64.b64encode(md5).decode()


@pytest.mark.parametrize("lost", [CLOSE, HANG, http(500, x_ms_error_code="InternalError"), http(504)])
@pytest.mark.parametrize("size_bytes", [4, None])
async def test_a_lost_answer_is_settled_by_the_nonce(lost: bytes, size_bytes: int | None) -> None:
    written: dict[str, str] = {}

    def answer(request: Seen) -> bytes:
        if request.method == "PUT":
            written.update(request.headers)
            return lost
        return http(200, b"data", etag='"0x7"', x_ms_meta_stow_nonce_=written["x-ms-meta-stow_nonce"])

    def settled(request: Seen) -> bytes:
        return answer(request).replace(b"x-ms-meta-stow-nonce-", b"x-ms-meta-stow_nonce")

    async with serve(settled) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        metadata = await driver.write("box", "k", body(b"data"), size_bytes=size_bytes, options=PLAIN)
        await driver.aclose()
    assert metadata.etag == "0x7"
    assert metadata.attributes.metadata == {}
    assert [request.method for request in stub.requests] == ["PUT", "HEAD"]


async def test_a_lost_answer_that_nothing_settles_is_unknown() -> None:
    def answer(request: Seen) -> bytes:
        return CLOSE if request.method == "PUT" else http(200, b"data", etag='"0x7"')

    async with serve(answer) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        with pytest.raises(WriteOutcomeUnknownError):
            await put(driver, "box", "k", b"data")
        await driver.aclose()


async def test_a_lost_answer_to_the_block_list_is_settled_too() -> None:
    def answer(request: Seen) -> bytes:
        if "comp=blocklist" in request.target:
            return CLOSE
        return http(201) if request.method == "PUT" else http(200, b"x", etag='"0x7"')

    async with serve(answer) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct", blocks=replace(SMALL, single_bytes=MIB))
        with pytest.raises(WriteOutcomeUnknownError):
            await driver.write("box", "k", body(b"x" * MIB, b"y"), size_bytes=MIB + 1, options=PLAIN)
        await driver.aclose()
    assert sum("comp=blocklist" in request.target for request in stub.requests) == 1


async def test_the_condition_and_the_attributes_go_with_the_list() -> None:
    async with serve(lambda _: http(201, etag='"0x1"')) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct", blocks=replace(SMALL, single_bytes=MIB))
        options = WriteOptions(attributes=ObjectAttributes(content_type="text/csv"), if_none_match=True)
        await driver.write("box", "k", body(b"x" * MIB, b"y"), size_bytes=MIB + 1, options=options)
        await driver.aclose()
    *blocks, listed = stub.requests
    assert [len(block.body) for block in blocks] == [MIB, 1]
    assert all(
        "if-none-match" not in block.headers and "x-ms-blob-content-type" not in block.headers for block in blocks
    )
    assert (listed.headers["if-none-match"], listed.headers["x-ms-blob-content-type"]) == ("*", "text/csv")
    md5 = hashlib.md5(b"x" * MIB + b"y", usedforsecurity=False).digest()
    assert listed.headers["x-ms-blob-content-md5"] == base64.b64encode(md5).decode()
    assert listed.body.count(b"<Latest>") == 2


async def test_a_hierarchical_account_is_told_by_the_probe() -> None:
    def answer(request: Seen) -> bytes:
        if request.method == "HEAD":
            return http(200, x_ms_is_hns_enabled="true")
        return http(404, x_ms_error_code="ContainerNotFound")

    async with serve(answer) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        await driver.probe(None)
        assert (driver.capabilities.dialect, driver.capabilities.keys.empty_segments) == ("Hierarchical", False)
        await driver.aclose()


async def test_a_folder_of_a_hierarchical_account_is_no_object() -> None:
    async with serve(lambda _: http(200, etag='"0x1"', x_ms_resource_type="directory")) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        for call in (driver.head("box", "folder"), driver.read("box", "folder", None)):
            with pytest.raises(ObjectNotFoundError):
                await call
        await driver.aclose()


async def test_the_real_server_has_a_flat_account(azure: AzureDriver) -> None:
    assert not azure.capabilities.keys.empty_segments
    await azure.probe(None)
    assert (azure.capabilities.dialect, azure.capabilities.keys.empty_segments) == ("Flat", True)


@pytest.mark.parametrize(
    ("properties", "dialect", "asked"),
    [
        (b"<ResourceType>file</ResourceType>", "Hierarchical", 1),
        (b"<BlobType>BlockBlob</BlobType>", "Flat", 1),
        (None, "Hierarchical", 2),
    ],
)
async def test_a_listing_tells_the_kind_of_account_to_who_may_not_ask(
    properties: bytes | None, dialect: str, asked: int
) -> None:
    blob = b"" if properties is None else b"<Blob><Name>a</Name><Properties>%s</Properties></Blob>" % properties
    page = b"<EnumerationResults><Blobs>%s</Blobs></EnumerationResults>" % blob

    def answer(request: Seen) -> bytes:
        return http(403, x_ms_error_code="AuthorizationFailure") if request.method == "HEAD" else http(200, page)

    async with serve(answer) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        await driver.probe("box")
        await driver.probe("box")
        assert driver.capabilities.dialect == dialect
        await driver.aclose()
    assert [request.method for request in stub.requests].count("HEAD") == asked


async def test_an_account_of_unknown_kind_has_the_narrower_rules() -> None:
    """A folder account stores ``a//b`` as ``a/b``: another name than was given."""
    async with serve(lambda _: http(403, x_ms_error_code="AuthorizationPermissionMismatch")) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        await driver.probe(None)
        assert not driver.capabilities.keys.empty_segments
        with pytest.raises(AccessDeniedError):
            await driver.probe("box")
        await driver.aclose()


@pytest.mark.parametrize("answer", [b"CANARY\r\n\r\n", b"HTTP/1.1 200 OK\r\nCANARY\x00: 1\r\n\r\n"])
@pytest.mark.parametrize("credentials", [SasToken("sv=1&sig=CANARY"), KEY])
async def test_an_answer_that_is_no_http_leaves_no_secret_in_the_error(answer: bytes, credentials: Credentials) -> None:
    """The URL holds a signature, the headers another one, and both stand in the HTTP client's own error."""
    async with serve(lambda _: answer) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct", credentials=credentials)
        with pytest.raises(BackendFailedError) as raised:
            await driver.list("box", prefix="", delimiter=None, limit=1, token=None)
        await driver.aclose()
    error: BaseException | None = raised.value
    told = "".join(traceback.format_exception(raised.value))
    while error is not None:
        told += repr(error) + repr(getattr(error, "__dict__", ""))
        error = error.__cause__ or error.__context__
    assert "CANARY" not in told
    assert "SharedKey" not in told


REDIRECTED: dict[str, Callable[[AzureDriver], object]] = {
    "head": lambda d: d.head("box", "k"),
    "exists": lambda d: d.container_exists("box"),
    "create": lambda d: d.create_container("box", None),
    "write": lambda d: put(d, "box", "k", b"x"),
    "list": lambda d: d.list("box", prefix="", delimiter=None, limit=1, token=None),
}


@pytest.mark.parametrize("name", REDIRECTED)
async def test_no_redirect_is_followed(name: str) -> None:
    async with serve(lambda _: http(200, etag='"0x1"')) as elsewhere:
        location = f"{elsewhere.endpoint}/acct/box"
        async with serve(lambda _: http(307, location=location)) as stub:
            driver = stub_driver(f"{stub.endpoint}/acct")
            with pytest.raises(BackendError) as raised:
                await REDIRECTED[name](driver)  # type: ignore[misc]  # each is a coroutine of another type
            await driver.aclose()
            assert len(stub.requests) == 1
        assert elsewhere.connections == 0
        assert location not in repr(raised.value)
