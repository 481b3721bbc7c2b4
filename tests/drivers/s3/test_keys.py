"""Signatures and keys: every odd key verifies, is stored under its own name, comes back from a listing and can be signed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import aiohttp
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from drivers.s3.setup import body, content
from stow.drivers.s3.driver import S3Driver
from stow.drivers.s3.sigv4 import UNSIGNED_PAYLOAD, Keys, Signer, encode_query
from stow.errors import InvalidKeyError
from stow.storage.driver import SignRequest
from stow.storage.model import ContainerEntry, Method, Origin, WriteOptions
from stow.transport.urls import encode_key

EXAMPLE = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
ODD = [
    "a b",
    "a+b",
    "a%2eb",
    "%2e%2e/%2F",
    "a&b=c?d#e",
    "a\\b",
    "tilde~'()*!$,;:@",
    "é/é",
    "日本語/😀",
    "\x01\x1f\x7f",
    " lead and trail ",
    "a/b/",
    "<xml>&amp;\"'",
    "k" * 255,
]
AWS_ONLY = ["/lead", "//", "a//b", "a/./b", "a/../b", "..", ".", "./x", "x" * 900]


def test_the_published_example_has_the_published_signature() -> None:
    """ "Example: GET Object" of the Amazon S3 API reference on signature calculations."""
    headers = Signer("us-east-1").sign(
        "GET",
        host="examplebucket.s3.amazonaws.com",
        path="/test.txt",
        query="",
        headers={"range": "bytes=0-9"},
        payload="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        keys=EXAMPLE,
        now=datetime(2013, 5, 24, tzinfo=UTC),
    )
    assert headers["authorization"].endswith("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


@given(
    path=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    query=st.dictionaries(st.text("ab-é =&", min_size=1, max_size=8), st.text("xyz %+/~", max_size=8), max_size=3),
    value=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20),
)
def test_any_request_has_the_signature_that_the_sdk_gives_it(path: str, query: dict[str, str], value: str) -> None:
    encoded = "/b-1/" + encode_key(path)
    query_text = encode_query(list(query.items()))
    now = datetime.now(UTC)
    ours = Signer("eu-west-1").sign(
        "PUT",
        host="h:9000",
        path=encoded,
        query=query_text,
        headers={"x-amz-meta-a": value},
        payload=UNSIGNED_PAYLOAD,
        keys=EXAMPLE,
        now=now,
    )
    request = AWSRequest(
        "PUT", f"http://h:9000{encoded}", headers={"host": "h:9000", "x-amz-meta-a": value}, params=query
    )
    request.headers["X-Amz-Content-SHA256"] = UNSIGNED_PAYLOAD
    request.context["timestamp"] = ours["x-amz-date"]
    auth = S3SigV4Auth(Credentials(EXAMPLE.access_key_id, EXAMPLE.secret_access_key), "s3", "eu-west-1")
    request.headers["X-Amz-Date"] = ours["x-amz-date"]
    text = auth.string_to_sign(request, _canonical(auth, request, encoded, query_text))
    assert ours["authorization"].rpartition("=")[2] == auth.signature(text, request)


def _canonical(auth: S3SigV4Auth, request: AWSRequest, path: str, query: str) -> str:
    headers = auth.headers_to_sign(request)
    return "\n".join(
        ["PUT", path, query, auth.canonical_headers(headers) + "\n", auth.signed_headers(headers), UNSIGNED_PAYLOAD]
    )


async def _round_trip(driver: S3Driver, bucket: str, key: str) -> None:
    driver.capabilities.keys.check(key)
    data = key.encode()
    written = await driver.write(bucket, key, body(data), size_bytes=len(data), options=WriteOptions())
    assert (await driver.head(bucket, key)).etag == written.etag
    assert await content(driver, bucket, key) == data
    page = await driver.list(bucket, prefix=key, delimiter=None, limit=10, token=None)
    assert [found.key for found in page.objects] == [key]


@pytest.mark.parametrize("key", ODD)
async def test_minio_keeps_an_odd_key(s3: S3Driver, bucket: str, key: str) -> None:
    await _round_trip(s3, bucket, key)


@pytest.mark.parametrize("key", ODD + AWS_ONLY)
async def test_awss_rules_keep_every_key(moto: S3Driver, moto_bucket: str, key: str) -> None:
    await _round_trip(moto, moto_bucket, key)


@pytest.mark.parametrize("key", [key for key in AWS_ONLY if len(key) < 900] + ["s" * 256])
def test_keys_that_minio_folds_are_refused_by_its_rules(s3: S3Driver, key: str) -> None:
    with pytest.raises(InvalidKeyError):
        s3.capabilities.keys.check(key)


@pytest.mark.parametrize("key", ODD)
async def test_a_url_for_an_odd_key_works(s3: S3Driver, bucket: str, key: str) -> None:
    await s3.write(bucket, key, body(b"odd"), size_bytes=3, options=WriteOptions())
    now = datetime.now(UTC)
    entry = ContainerEntry(bucket, f"s3://{bucket}", Origin.BASE, now, "uid")
    signed = await s3.sign(SignRequest(bucket, key, Method.GET, now, now + timedelta(minutes=5), entry))
    async with aiohttp.ClientSession() as client, client.get(URL(signed.url, encoded=True)) as response:
        assert (response.status, await response.read()) == (200, b"odd")
    assert quote(key, safe="/~") in signed.url


async def test_a_listing_gives_keys_decoded_once_in_byte_order(s3: S3Driver, bucket: str) -> None:
    keys = ["p/a b", "p/a+b", "p/a%20b", "p/a%252Bb", "p/~", "p/Z", "p/z/1", "p/z/2", "p/é", "p/￿x", "p/😀"]
    for key in keys:
        await s3.write(bucket, key, body(b"x"), size_bytes=1, options=WriteOptions())
    page = await s3.list(bucket, prefix="p/", delimiter="/", limit=1000, token=None)
    assert [found.key for found in page.objects] == sorted((k for k in keys if "z/" not in k), key=str.encode)
    assert page.prefixes == ("p/z/",)


async def test_pages_follow_each_other_without_loss(s3: S3Driver, bucket: str) -> None:
    keys = [f"n/{number:02} +%" for number in range(7)]
    for key in keys:
        await s3.write(bucket, key, body(b"x"), size_bytes=1, options=WriteOptions())
    found: list[str] = []
    token: str | None = None
    for _ in range(4):
        page = await s3.list(bucket, prefix="n/", delimiter=None, limit=2, token=token)
        found += [item.key for item in page.objects]
        token = page.token
    assert (found, token) == (keys, None)
