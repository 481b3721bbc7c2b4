"""Signed URLs on MinIO, used by a plain HTTP client that knows nothing else: what they bind, and that nothing but that is let in."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import aiohttp
import pytest
from yarl import URL

from drivers.s3.setup import ALL_METHODS, Unique, body, content, drop, server_driver
from servers.minio import MinioServer
from stow.drivers.s3.config import Dialect
from stow.drivers.s3.driver import S3Driver
from stow.errors import InvalidMetadataError, ObjectNotFoundError
from stow.storage.clock import utc_now
from stow.storage.driver import SignRequest
from stow.storage.model import (
    ContainerEntry,
    CopyOptions,
    Method,
    ObjectAttributes,
    Origin,
    ResponseOverride,
    SignedURL,
    WriteOptions,
)

KEY = "a b+c/é"
OTHER = "other"
MD5 = hashlib.md5(b"right").digest()
STORED = ObjectAttributes(content_type="text/plain", cache_control="no-store", metadata={"note": "stored"})


@dataclass(frozen=True)
class Got:
    status: int
    body: bytes
    headers: Mapping[str, str]


async def use(
    signed: SignedURL,
    *,
    method: str | None = None,
    url: str | None = None,
    headers: Mapping[str, str] | None = None,
    data: bytes | None = None,
) -> Got:
    """The URL as it is, with the headers that its client is told to send, unless something else is said."""
    sent = dict(signed.required_headers if headers is None else headers)
    async with (
        aiohttp.ClientSession(skip_auto_headers=("Content-Type",), auto_decompress=False) as client,
        client.request(
            method or signed.method,
            URL(url or signed.url, encoded=True),
            headers=sent,
            data=data,
            allow_redirects=False,
        ) as answer,
    ):
        return Got(answer.status, await answer.read(), {name.lower(): value for name, value in answer.headers.items()})


def request(bucket: str, method: Method, **more: object) -> SignRequest:
    now = utc_now()
    entry = ContainerEntry(bucket, f"s3://{bucket}", Origin.BASE, now, "uid")
    made = SignRequest(bucket, KEY, method, now, now + timedelta(minutes=5), entry)
    return replace(made, **more)  # type: ignore[arg-type]  # fields of the request


@pytest.fixture
async def objects(s3: S3Driver, bucket: str) -> str:
    """A bucket with the object that is signed for, and another one."""
    for key in (KEY, OTHER):
        await s3.write(bucket, key, body(b"old"), size_bytes=3, options=WriteOptions(attributes=STORED))
    return bucket


EVERYTHING: dict[Method, dict[str, object]] = {
    Method.GET: {
        "headers": {"range": "bytes=1-2"},
        "response_overrides": {ResponseOverride.CONTENT_TYPE: "text/x", ResponseOverride.CACHE_CONTROL: "max-age=5"},
    },
    Method.HEAD: {
        "headers": {"if-none-match": '"0123456789abcdef"'},
        "response_overrides": {ResponseOverride.CONTENT_DISPOSITION: 'attachment; filename="x y.txt"'},
    },
    Method.PUT: {
        "headers": {"x-amz-meta-note": "bound", "cache-control": "max-age=9"},
        "content_md5": MD5,
        "content_type": "text/x; charset=utf-8",
    },
    Method.DELETE: {"headers": {"if-match": '"whatever"'}},
}
"""All that each method can bind, at once."""
DATA = {Method.PUT: b"right"}


@pytest.mark.parametrize("method", ALL_METHODS)
async def test_the_right_use_of_all_that_is_bound_works(s3: S3Driver, objects: str, method: Method) -> None:
    signed = await s3.sign(request(objects, method, **EVERYTHING[method]))
    bound = EVERYTHING[method]["headers"]
    assert isinstance(bound, dict)
    assert {name: signed.required_headers[name] for name in bound} == bound
    got = await use(signed, data=DATA.get(method))
    assert got.status in {200, 204, 206}
    match method:
        case Method.GET:
            assert (got.body, got.headers["content-type"], got.headers["cache-control"]) == (
                b"ld",
                "text/x",
                "max-age=5",
            )
        case Method.HEAD:
            assert got.headers["content-disposition"] == 'attachment; filename="x y.txt"'
        case Method.PUT:
            assert await content(s3, objects, KEY) == b"right"
            stored = (await s3.head(objects, KEY)).attributes
            assert (stored.metadata, stored.cache_control) == ({"note": "bound"}, "max-age=9")
            assert stored.content_type == "text/x; charset=utf-8"
        case Method.DELETE:
            with pytest.raises(ObjectNotFoundError):
                await s3.head(objects, KEY)


@pytest.mark.parametrize("name", ResponseOverride)
async def test_each_override_is_what_the_answer_has(s3: S3Driver, objects: str, name: ResponseOverride) -> None:
    values = {ResponseOverride.CONTENT_ENCODING: "gzip", ResponseOverride.CONTENT_LANGUAGE: "de"}
    value = values.get(name, 'text/x; a="b c"&d=e+f%20;ü'.replace("ü", "u"))
    for method in (Method.GET, Method.HEAD):
        got = await use(await s3.sign(request(objects, method, response_overrides={name: value})))
        assert got.status == 200
        assert got.headers[name] == value
    assert (await s3.head(objects, KEY)).attributes == STORED


def _flipped(url: str) -> str:
    """One character of the signature is another one."""
    at = url.index("X-Amz-Signature=") + len("X-Amz-Signature=") + 7
    return url[:at] + ("0" if url[at] != "0" else "1") + url[at + 1 :]


ALTERED: dict[str, Callable[[SignedURL], str]] = {
    "another key": lambda signed: signed.url.replace("/a%20b%2Bc/%C3%A9?", f"/{OTHER}?"),
    "one byte of the signature": lambda signed: _flipped(signed.url),
    "a longer life": lambda signed: signed.url.replace("X-Amz-Expires=", "X-Amz-Expires=9"),
    "another date": lambda signed: signed.url.replace("X-Amz-Date=2", "X-Amz-Date=3"),
    "one more parameter": lambda signed: signed.url + "&response-content-language=xx",
    "another resource of the object": lambda signed: signed.url + "&tagging=",
    "another version": lambda signed: signed.url + "&versionId=null",
    "a shorter list of signed headers": lambda signed: signed.url.replace(
        "X-Amz-SignedHeaders=", "X-Amz-SignedHeaders=host&x="
    ),
    "no signature": lambda signed: signed.url.partition("&X-Amz-Signature=")[0],
    "no query": lambda signed: signed.url.partition("?")[0],
}


@pytest.mark.parametrize("case", ALTERED)
@pytest.mark.parametrize("method", ALL_METHODS)
async def test_an_altered_url_is_refused(s3: S3Driver, objects: str, method: Method, case: str) -> None:
    signed = await s3.sign(request(objects, method, **EVERYTHING[method]))
    url = ALTERED[case](signed)
    assert url != signed.url
    assert (await use(signed, url=url, data=DATA.get(method))).status in {
        400,
        403,
        500,
    }  # MinIO's 500 is for a body that is none of tags
    await _untouched(s3, objects)


@pytest.mark.parametrize("method", [Method.GET, Method.HEAD])
async def test_an_altered_or_missing_override_is_refused(s3: S3Driver, objects: str, method: Method) -> None:
    overrides = {ResponseOverride.CONTENT_TYPE: "text/x"}
    signed = await s3.sign(request(objects, method, response_overrides=overrides))
    assert "response-content-type=text%2Fx" in signed.url
    for replacement in ("response-content-type=text%2Fhtml", "x=y"):
        url = signed.url.replace("response-content-type=text%2Fx", replacement)
        assert (await use(signed, url=url)).status == 403
    assert (await use(signed)).status == 200


@pytest.mark.parametrize("method", ALL_METHODS)
@pytest.mark.parametrize("used", ALL_METHODS)
async def test_another_method_is_refused(s3: S3Driver, objects: str, method: Method, used: Method) -> None:
    signed = await s3.sign(request(objects, method, **EVERYTHING[method]))
    got = await use(signed, method=used, data=DATA.get(used))
    assert (got.status < 300) == (used is method)
    if used is not method:
        await _untouched(s3, objects)


@pytest.mark.parametrize("method", ALL_METHODS)
async def test_each_bound_header_must_be_sent_as_it_is(s3: S3Driver, objects: str, method: Method) -> None:
    signed = await s3.sign(request(objects, method, **EVERYTHING[method]))
    for name in signed.required_headers:
        others = {other: value for other, value in signed.required_headers.items() if other != name}
        for sent in (others, others | {name: "bytes=0-0" if name == "range" else "altered"}):
            assert (await use(signed, headers=sent, data=DATA.get(method))).status in {400, 403}, name
    await _untouched(s3, objects)


async def test_another_body_than_the_bound_one_is_refused(s3: S3Driver, objects: str) -> None:
    signed = await s3.sign(request(objects, Method.PUT, content_md5=MD5))
    assert signed.required_headers == {"Content-MD5": base64.b64encode(MD5).decode()}
    assert (await use(signed, data=b"wrong")).status == 400
    await _untouched(s3, objects)
    assert (await use(signed, data=b"right")).status == 200


@pytest.mark.parametrize("method", ALL_METHODS)
async def test_a_url_is_over_at_its_end(s3: S3Driver, objects: str, method: Method) -> None:
    """A second URL with the same end says when the server takes it for reached."""
    end = utc_now() + timedelta(seconds=2)
    signed = await s3.sign(request(objects, method, expires_at=end, **EVERYTHING[method]))
    probe = await s3.sign(request(objects, Method.HEAD, expires_at=end))
    assert (await use(probe)).status == 200
    async with asyncio.timeout(10):
        while (await use(probe)).status == 200:
            pass
    assert utc_now() >= probe.expires_at
    assert signed.expires_at <= end
    assert (await use(signed, data=DATA.get(method))).status == 403
    await _untouched(s3, objects)


async def test_a_url_of_another_bucket_does_not_open_this_one(s3: S3Driver, objects: str, unique_name: Unique) -> None:
    other = unique_name("s3")
    await s3.create_container(other, None)
    signed = await s3.sign(request(other, Method.GET))
    assert (await use(signed, url=signed.url.replace(f"/{other}/", f"/{objects}/"))).status == 403
    await drop(s3, other)


UNSIGNED: dict[str, Callable[[str], dict[str, str]]] = {
    "copy": lambda bucket: {"x-amz-copy-source": f"/{bucket}/{OTHER}"},
    "copy without a slash": lambda bucket: {"X-Amz-Copy-Source": f"{bucket}/{OTHER}"},
    "copy, escaped": lambda bucket: {"x-amz-copy-source": f"{bucket}%2F{OTHER}"},
    "a part of a copy": lambda bucket: {
        "x-amz-copy-source": f"/{bucket}/{OTHER}",
        "x-amz-copy-source-range": "bytes=0-1",
    },
    "metadata": lambda _: {"x-amz-meta-more": "x"},
    "unpack an archive": lambda _: {"x-amz-meta-snowball-auto-extract": "true"},
}


@pytest.mark.parametrize("case", UNSIGNED)
@pytest.mark.parametrize("bound", [{}, EVERYTHING[Method.PUT]], ids=["nothing bound", "everything bound"])
async def test_a_put_takes_no_instruction_that_was_not_signed(
    s3: S3Driver, objects: str, case: str, bound: dict[str, object]
) -> None:
    """Its client would read any object of the location by a copy: MinIO obeys an unsigned one, where its absence is not bound."""
    signed = await s3.sign(request(objects, Method.PUT, **bound))
    headers = dict(signed.required_headers) | UNSIGNED[case](objects)
    assert (await use(signed, headers=headers, data=b"right")).status in {400, 403}
    await _untouched(s3, objects)
    cut = signed.url.replace("&x-amz-copy-source=", "")
    assert (await use(signed, url=cut, headers=headers, data=b"right")).status in {400, 403}
    await _untouched(s3, objects)


@pytest.mark.parametrize("dialect", [Dialect.GENERIC, Dialect.ORACLE, Dialect.CEPH, Dialect.R2])
async def test_a_dialect_that_nobody_tried_binds_the_absence_of_a_copy(
    minio: MinioServer, s3: S3Driver, objects: str, dialect: Dialect
) -> None:
    """MinIO behind a proxy that hides its name is taken for Generic."""
    driver = server_driver(minio, dialect=dialect)
    signed = await driver.sign(request(objects, Method.PUT))
    await driver.aclose()
    for case in ("copy", "copy without a slash", "a part of a copy"):
        assert (await use(signed, headers=UNSIGNED[case](objects), data=b"right")).status in {400, 403}
        await _untouched(s3, objects)
    assert (await use(signed, data=b"right")).status == 200


async def test_an_unsigned_acl_makes_nothing_public(s3: S3Driver, objects: str) -> None:
    signed = await s3.sign(request(objects, Method.PUT))
    await use(signed, headers={"x-amz-acl": "public-read"}, data=b"right")
    assert (await use(signed, method="GET", url=signed.url.partition("?")[0])).status == 403


async def test_a_put_cannot_be_turned_to_the_objects_tags(s3: S3Driver, objects: str) -> None:
    signed = await s3.sign(request(objects, Method.PUT))
    tags = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    assert (await use(signed, url=signed.url + "&tagging=", data=tags)).status == 403


async def test_aws_urls_need_no_such_binding(moto: S3Driver, moto_bucket: str) -> None:
    """S3 refuses unsigned x-amz- headers by itself, and would miss a signed one."""
    assert "copy-source" not in (await moto.sign(request(moto_bucket, Method.PUT))).url


@pytest.mark.parametrize("method", [Method.PUT, Method.GET])
async def test_an_instruction_in_the_guise_of_metadata_is_not_signed(
    s3: S3Driver, objects: str, method: Method
) -> None:
    with pytest.raises(InvalidMetadataError):
        await s3.sign(request(objects, method, headers={"x-amz-meta-snowball-auto-extract": "true"}))


async def test_an_instruction_in_the_guise_of_metadata_is_not_written(s3: S3Driver, objects: str) -> None:
    """MinIO would unpack the archive into objects of other keys, which the writer may have no right to."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(OTHER), io.BytesIO(b""))
    data = packed.getvalue()
    attributes = ObjectAttributes(metadata={"snowball-auto-extract": "true"})
    options = WriteOptions(attributes=attributes)
    with pytest.raises(InvalidMetadataError):
        await s3.write(objects, KEY, body(data), size_bytes=len(data), options=options)
    with pytest.raises(InvalidMetadataError):
        await s3.copy((objects, OTHER), (objects, KEY), CopyOptions(attributes=attributes))
    await _untouched(s3, objects)


async def _untouched(s3: S3Driver, bucket: str) -> None:
    for key in (KEY, OTHER):
        assert await content(s3, bucket, key) == b"old"
        assert (await s3.head(bucket, key)).attributes == STORED
