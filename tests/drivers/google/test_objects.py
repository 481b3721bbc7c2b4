"""Head, read, list and delete: which requests go out, and what is made of the answers."""

from __future__ import annotations

import base64

import pytest

from drivers.google.setup import OBJECT, answer, body, content, front_driver, path, query, refusal, stub_driver
from servers.gcs_front import GcsFront
from servers.stub import Seen, error, http, serve
from stow.drivers.google.driver import GoogleDriver
from stow.errors import (
    BackendFailedError,
    ContainerNotFoundError,
    NotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    RangeNotSatisfiableError,
)
from stow.storage.model import ByteRange, ObjectAttributes, WriteOptions


async def test_each_single_object_operation_is_one_request(
    google: GoogleDriver, bucket: str, gcs_front: GcsFront
) -> None:
    await google.write(bucket, "k", body(b"x" * 100_000), size_bytes=100_000, options=WriteOptions())
    await google.head(bucket, "k")
    await content(google, bucket, "k")
    await content(google, bucket, "k", ByteRange(5, 10))
    await google.list(bucket, prefix="", delimiter=None, limit=10, token=None)
    await google.delete(bucket, "k", if_match=None)
    assert [seen.method for seen in gcs_front.requests] == ["POST", "HEAD", "GET", "GET", "GET", "DELETE"]
    assert gcs_front.counts["token"] == 0  # the one that made the bucket still holds


async def test_what_is_read_asks_for_the_stored_bytes_and_carries_all_metadata() -> None:
    checksum = base64.b64encode(bytes(4)).decode()
    stored = {
        **OBJECT,
        "content_type": "text/csv",
        "content_encoding": "gzip",
        "x_goog_stored_content_encoding": "gzip",
        "x_goog_stored_content_length": "5",
        "x_goog_hash": f"crc32c={checksum},md5=XUFAKrxLKna5cZ2REBfFkg==",
        "x_goog_meta_team": "a%C3%A9",
        "x_goog_meta_stow_nonce": "nonce-1",
    }
    async with serve(lambda _: http(200, b"hello", **stored)) as stub:
        driver = stub_driver(stub.endpoint)
        async with await driver.read("b-1", "a/ü", None) as stream:
            metadata = stream.metadata
        assert await driver.head("b-1", "a/ü") == metadata
        await driver.aclose()
    assert [(seen.method, seen.target) for seen in stub.requests] == [
        ("GET", "/b-1/a/%C3%BC"),
        ("HEAD", "/b-1/a/%C3%BC"),
    ]
    assert {seen.headers["accept-encoding"] for seen in stub.requests} == {"gzip"}
    assert (metadata.etag, metadata.size_bytes, metadata.crc32c) == ("7", 5, bytes(4))
    assert metadata.md5 is not None
    assert metadata.attributes == ObjectAttributes("text/csv", "gzip", metadata={"team": "aé"})


@pytest.mark.parametrize("made_up", ["private, max-age=0", "public, max-age=3600"])
async def test_a_cache_control_of_the_service_itself_is_none_of_the_object(made_up: str) -> None:
    async with serve(lambda _: http(200, b"x", cache_control=made_up, **OBJECT)) as stub:
        driver = stub_driver(stub.endpoint)
        assert (await driver.head("b-1", "k")).attributes.cache_control is None
        await driver.aclose()


@pytest.mark.parametrize(
    "lying",
    [
        {"x_goog_generation": "7", "x_goog_stored_content_length": "3"},  # inflated on the way
        {"x_goog_stored_content_length": "5"},
        {"x_goog_generation": "0"},
        {"x_goog_generation": "seven"},
    ],
)
async def test_an_answer_that_makes_no_sense_is_an_error(lying: dict[str, str]) -> None:
    async with serve(lambda _: http(200, b"hello", **lying)) as stub:
        driver = stub_driver(stub.endpoint)
        for call in (driver.head("b-1", "k"), driver.read("b-1", "k", None)):
            with pytest.raises(BackendFailedError):
                await call
        await driver.aclose()


async def test_a_range_that_holds_no_byte_says_the_size() -> None:
    whole = {"content_range": "bytes */5", "content_type": "application/xml"}
    async with serve(lambda _: http(416, b"<Error><Code>InvalidRange</Code></Error>", **whole)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(RangeNotSatisfiableError) as caught:
            await driver.read("b-1", "k", ByteRange(9))
        assert caught.value.size_bytes == 5
        await driver.aclose()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error(404, "NoSuchKey"), ObjectNotFoundError),
        (error(404, "NoSuchBucket"), ContainerNotFoundError),
        (refusal(404, "notFound"), NotFoundError),
    ],
)
async def test_a_404_says_what_is_missing_where_google_says_it(reply: bytes, expected: type[Exception]) -> None:
    async with serve(lambda _: reply) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(expected) as caught:
            await driver.read("b-1", "k", None)
        assert type(caught.value) is expected
        assert "SECRET" not in str(caught.value)
        await driver.aclose()


async def test_a_listing_asks_for_one_page_of_the_fields_that_are_used() -> None:
    page = {
        "items": [{"name": "b", "size": "2", "generation": "9", "updated": "2026-11-23T02:00:00.5Z"}],
        "prefixes": ["é/", "a/"],
        "nextPageToken": "tök/en",
    }
    async with serve(lambda _: answer(page)) as stub:
        driver = stub_driver(stub.endpoint)
        first = await driver.list("b-1", prefix="p q", delimiter="/", limit=7, token=None)
        await driver.list("b-1", prefix="p q", delimiter="/", limit=7, token=first.token)
        await driver.aclose()
    asked, again = map(query, stub.requests)
    assert path(stub.requests[0]) == "/storage/v1/b/b-1/o"
    assert (asked["prefix"], asked["delimiter"], asked["maxResults"]) == ("p q", "/", "7")
    assert "pageToken" not in asked
    assert again == {**asked, "pageToken": "tök/en"}
    assert [(found.key, found.size_bytes, found.etag) for found in first.objects] == [("b", 2, "9")]
    assert first.prefixes == ("a/", "é/")


@pytest.mark.parametrize(
    "page", [b"[]", b"{", b'{"items": [{"name": "a"}]}', b'{"items": [{"name": "a", "size": "x", "generation": "1"}]}']
)
async def test_a_listing_that_makes_no_sense_is_an_error(page: bytes) -> None:
    async with serve(lambda _: http(200, page)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(BackendFailedError):
            await driver.list("b-1", prefix="", delimiter=None, limit=7, token=None)
        await driver.aclose()


async def test_a_conditional_delete_names_the_generation_and_goes_out_once() -> None:
    async with serve(lambda _: error(412, "PreconditionFailed")) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(PreconditionFailedError):
            await driver.delete("b-1", "k", if_match="42")
        await driver.aclose()
    (seen,) = stub.requests
    assert (seen.method, seen.headers["x-goog-if-generation-match"]) == ("DELETE", "42")


async def test_a_delete_of_whatever_is_there_pins_what_it_saw() -> None:
    async with serve(lambda seen: http(200, **OBJECT) if seen.method == "HEAD" else http(204)) as stub:
        driver = stub_driver(stub.endpoint)
        await driver.delete("b-1", "k", if_match="*")
        await driver.aclose()
    head, delete = stub.requests
    assert (head.method, delete.method) == ("HEAD", "DELETE")
    assert delete.headers["x-goog-if-generation-match"] == "7"


@pytest.mark.parametrize("etag", ["0", "", "-1", "7x", "00", "d41d8cd98f00b204e9800998ecf8427e", "9" * 20])
async def test_an_etag_that_is_no_generation_matches_nothing_and_is_never_sent(etag: str) -> None:
    """A 0 would mean "create only"."""
    async with serve(lambda _: http(204)) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(PreconditionFailedError):
            await driver.delete("b-1", "k", if_match=etag)
        with pytest.raises(PreconditionFailedError):
            await driver.write("b-1", "k", body(b"x"), size_bytes=1, options=WriteOptions(if_match=etag))
        await driver.aclose()
    assert stub.requests == []


@pytest.mark.parametrize("key", ["..", "a/../b", "a//b", "/a", "a/", "%2e", "a?b#c", "a b+c", "é\u2028", "x" * 1024])
async def test_a_key_is_encoded_once_in_both_apis(key: str, gcs_front: GcsFront, bucket: str) -> None:
    """The XML API reads what the JSON API wrote, and the other way round."""
    driver = front_driver(gcs_front)
    await driver.write(bucket, key, body(b"x"), size_bytes=1, options=WriteOptions())
    assert await content(driver, bucket, key) == b"x"
    assert [o.key for o in (await driver.list(bucket, prefix="", delimiter=None, limit=9, token=None)).objects] == [key]
    await driver.delete(bucket, key, if_match=None)
    await driver.aclose()


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("a/b~c d", "/b-1/a/b~c%20d"),
        ("a/../b", "/b-1/a%2F..%2Fb"),
        ("a//b", "/b-1/a%2F%2Fb"),
        ("/a", "/b-1/%2Fa"),
        ("a/", "/b-1/a/"),
        ("a/...", "/b-1/a/..."),
    ],
)
async def test_a_path_that_could_be_tidied_up_on_the_way_has_no_slashes(key: str, target: str) -> None:
    async with serve(lambda _: http(200, **OBJECT)) as stub:
        driver = stub_driver(stub.endpoint)
        await driver.head("b-1", key)
        await driver.aclose()
    assert stub.requests[0].target == target


async def test_no_more_than_a_redirect_is_made_of_one() -> None:
    """It may hold the token's way out: it is never followed."""

    def moved(_: Seen) -> bytes:
        return http(307, location="http://127.0.0.1:1/elsewhere")

    async with serve(moved) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(Exception, match="never followed"):
            await driver.head("b-1", "k")
        with pytest.raises(Exception, match="never followed"):
            await driver.container_exists("b-1")
        await driver.aclose()
    assert len(stub.requests) == 2
