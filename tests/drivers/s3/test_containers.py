"""Containers, signed URLs, endpoints and the probe."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest
from botocore.session import Session
from yarl import URL

from drivers.s3.setup import ALL_METHODS, DEV_EGRESS, KEYS, Unique, body, content, server_driver, stub_driver
from servers.minio import MinioServer
from servers.moto import MotoServer
from servers.stub import Seen, error, http, serve
from stow.drivers.s3.config import Anonymous, Dialect, S3Config, StaticCredentials
from stow.drivers.s3.driver import S3Driver
from stow.drivers.s3.endpoint import AddressingStyle, Endpoint
from stow.errors import (
    AccessDeniedError,
    BackendFailedError,
    BackendUnreachableError,
    ContainerNotEmptyError,
    ContainerNotFoundError,
    ContainerTakenError,
    CredentialsInvalidError,
    CredentialsMissingError,
    InvalidArgumentError,
    InvalidSpecError,
    ObjectNotFoundError,
    StowError,
    UnsupportedError,
    WrongRegionError,
)
from stow.storage.clock import utc_now
from stow.storage.driver import SignRequest
from stow.storage.model import ContainerContents, ContainerEntry, Marker, Method, ObjectAttributes, Origin, WriteOptions
from stow.transport.connections import Outside

MARKER = Marker("install", "team-a", "reports", "0b1e", "n1")


@pytest.mark.parametrize("server", ["s3", "moto"])
async def test_a_container_lives_and_dies(server: str, s3: S3Driver, moto: S3Driver, unique_name: Unique) -> None:
    driver = s3 if server == "s3" else moto
    name = unique_name("life")
    assert not await driver.container_exists(name)
    await driver.create_container(name, MARKER)
    assert await driver.container_exists(name)
    with pytest.raises(ContainerTakenError):
        await driver.create_container(name, MARKER)
    assert (await driver.container_contents(name)).empty
    await driver.write(name, "k", body(b"x"), size_bytes=1, options=WriteOptions())
    assert await driver.container_contents(name) == ContainerContents(objects=1)
    with pytest.raises(ContainerNotEmptyError):
        await driver.delete_container(name)
    await driver.delete(name, "k", if_match=None)
    await driver.delete_container(name)
    await driver.delete_container(name)
    assert not await driver.container_exists(name)


async def test_everything_about_a_missing_container_says_so(s3: S3Driver, unique_name: Unique) -> None:
    name = unique_name("missing")
    calls: list[Callable[[], object]] = [
        lambda: s3.read_marker(name),
        lambda: s3.write_marker(name, MARKER),
        lambda: s3.container_contents(name),
        lambda: s3.list(name, prefix="", delimiter=None, limit=1, token=None),
        lambda: s3.read(name, "k", None),
        lambda: s3.head(name, "k"),  # MinIO says in a header what is missing
        lambda: s3.write(name, "k", body(b"x"), size_bytes=1, options=WriteOptions()),
        lambda: s3.write(name, "k", body(b"x" * 100_000), size_bytes=100_000, options=WriteOptions()),
        lambda: s3.delete(name, "k", if_match=None),
        lambda: s3.sweep(name),
    ]
    for call in calls:
        with pytest.raises(ContainerNotFoundError):
            await call()  # type: ignore[misc]  # each gives an awaitable


async def test_a_missing_object_is_told_from_a_missing_container(s3: S3Driver, bucket: str) -> None:
    for call in (lambda: s3.head(bucket, "k"), lambda: s3.read(bucket, "k", None)):
        with pytest.raises(ObjectNotFoundError):
            await call()
    await s3.delete(bucket, "k", if_match=None)


@pytest.mark.parametrize("server", ["s3", "moto"])
async def test_a_marker_leaves_other_tags_alone(
    server: str, s3: S3Driver, moto: S3Driver, minio: MinioServer, moto_server: MotoServer, unique_name: Unique
) -> None:
    driver = s3 if server == "s3" else moto
    real = minio if server == "s3" else moto_server
    name = unique_name("mark")
    await driver.create_container(name, None)
    client = Session().create_client(
        "s3",
        endpoint_url=real.endpoint,
        aws_access_key_id=real.access_key,
        aws_secret_access_key=real.secret_key,
        region_name="us-east-1",
    )
    client.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "cost", "Value": "7"}]})  # type: ignore[attr-defined]  # untyped here
    assert await driver.read_marker(name) is None
    await driver.write_marker(name, MARKER)
    assert await driver.read_marker(name) == MARKER
    other = replace(MARKER, uid="else", nonce="")
    await driver.write_marker(name, other)
    assert await driver.read_marker(name) == other
    await driver.write_marker(name, None)
    assert await driver.read_marker(name) is None
    assert client.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "cost", "Value": "7"}]  # type: ignore[attr-defined]  # untyped here
    client.close()
    await driver.delete_container(name)


async def test_versions_and_delete_markers_keep_a_container_from_being_empty(
    moto: S3Driver, moto_server: MotoServer, moto_bucket: str
) -> None:
    client = Session().create_client(
        "s3",
        endpoint_url=moto_server.endpoint,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        region_name="us-east-1",
    )
    client.put_bucket_versioning(Bucket=moto_bucket, VersioningConfiguration={"Status": "Enabled"})  # type: ignore[attr-defined]  # untyped here
    client.close()
    for _ in range(2):
        await moto.write(moto_bucket, "k", body(b"x"), size_bytes=1, options=WriteOptions())
    assert await moto.container_contents(moto_bucket) == ContainerContents(objects=1, versions=1)
    await moto.delete(moto_bucket, "k", if_match=None)
    assert await moto.container_contents(moto_bucket) == ContainerContents(objects=0, versions=3)


@pytest.mark.parametrize(
    ("region", "constraint"), [(None, None), ("us-east-1", None), ("eu-west-1", b"eu-west-1"), ("zone-7", b"zone-7")]
)
async def test_only_other_regions_than_us_east_1_are_named_in_a_create(
    region: str | None, constraint: bytes | None
) -> None:
    async with serve(lambda seen: http(404) if seen.method == "HEAD" else http()) as stub:
        driver = S3Driver(S3Config(KEYS, endpoint=stub.endpoint, region=region, egress=DEV_EGRESS), clock=utc_now)
        await driver.create_container("b-1", None)
        await driver.aclose()
    create = stub.requests[1]
    assert (constraint is None) == (create.body == b"")
    assert (constraint or b"") in create.body
    assert "x-amz-acl" not in create.headers


async def test_a_create_on_aws_names_the_region_of_the_host() -> None:
    """The name of AWS resolves to the stub here, which nothing but an injected resolver can do."""

    async def to_the_stub(_: str, __: int) -> list[str]:
        return ["127.0.0.1"]

    async with serve(lambda seen: http(404) if seen.method == "HEAD" else http()) as stub:
        endpoint = stub.endpoint.replace("127.0.0.1", "s3.eu-west-1.amazonaws.com")
        driver = S3Driver(
            S3Config(KEYS, endpoint=endpoint, egress=DEV_EGRESS), clock=utc_now, outside=Outside(resolve=to_the_stub)
        )
        await driver.create_container("b-1", None)
        await driver.aclose()
    look, create = stub.requests
    assert "s3.eu-west-1.amazonaws.com:" in look.headers["host"]
    assert b"<LocationConstraint>eu-west-1</LocationConstraint>" in create.body


async def test_a_name_that_may_not_be_looked_at_is_taken() -> None:
    async with serve(lambda seen: http(403) if seen.method == "HEAD" else error(409, "BucketAlreadyExists")) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(ContainerTakenError):
            await driver.create_container("b-1", None)
        await driver.aclose()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (http(403), AccessDeniedError),
        (http(500), BackendFailedError),
        (http(301, x_amz_bucket_region="eu-west-1"), WrongRegionError),
        (http(400, x_amz_bucket_region="eu-west-1"), WrongRegionError),
    ],
)
async def test_only_a_404_is_absence(answer: bytes, expected: type[StowError]) -> None:
    async with serve(lambda _: answer) as stub:
        driver = stub_driver(stub.endpoint)
        with pytest.raises(expected):
            await driver.container_exists("b-1")
        await driver.aclose()


async def test_a_backend_without_versions_is_listed_plainly() -> None:
    def answer(seen: Seen) -> bytes:
        if "versions" in seen.target:
            return error(501, "NotImplemented")
        if "uploads" in seen.target:
            return http(body=b"<ListMultipartUploadsResult/>")
        return http(body=b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>")

    async with serve(answer) as stub:
        driver = stub_driver(stub.endpoint)
        assert await driver.container_contents("b-1") == ContainerContents(objects=1)
        await driver.aclose()


async def test_a_dialect_without_markers_refuses_them_before_any_request() -> None:
    async with serve(lambda _: http()) as stub:
        driver = stub_driver(stub.endpoint, dialect=Dialect.GENERIC)
        with pytest.raises(UnsupportedError):
            await driver.read_marker("b-1")
        with pytest.raises(UnsupportedError):
            await driver.write_marker("b-1", MARKER)
        with pytest.raises(UnsupportedError):
            await driver.delete("b-1", "k", if_match="e")
        with pytest.raises(UnsupportedError):
            await driver.write("b-1", "k", body(b"x"), size_bytes=1, options=WriteOptions(if_none_match=True))
        await driver.aclose()
    assert stub.requests == []


async def test_the_probe_finds_minio_and_needs_no_container(minio: MinioServer, bucket: str) -> None:
    for container in (None, bucket, bucket + "-absent"):
        driver = server_driver(minio, dialect=Dialect.AUTO)
        assert driver.capabilities.dialect == "Generic"
        await driver.probe(container)
        assert driver.capabilities.dialect == "MinIO"
        assert not driver.capabilities.delete_if_match
        await driver.aclose()


@pytest.mark.parametrize("keys", [("wrong", "wrong"), None])
async def test_the_probe_tells_wrong_credentials(minio: MinioServer, keys: tuple[str, str] | None) -> None:
    credentials = StaticCredentials(*(keys or (minio.access_key, "wrong-secret")))
    driver = S3Driver(S3Config(credentials, endpoint=minio.endpoint, egress=DEV_EGRESS), clock=utc_now)
    with pytest.raises(CredentialsInvalidError):
        await driver.probe(None)
    await driver.aclose()


async def test_the_probe_without_a_container_is_content_with_a_denial_and_with_one_is_not() -> None:
    async with serve(lambda _: error(403, "AccessDenied")) as stub:
        driver = stub_driver(stub.endpoint)
        await driver.probe(None)
        with pytest.raises(AccessDeniedError):
            await driver.probe("b-1")
        await driver.aclose()
    driver = stub_driver(stub.endpoint)
    with pytest.raises(BackendUnreachableError):
        await driver.probe(None)
    await driver.aclose()


async def test_anonymous_requests_carry_no_signature_and_sign_nothing() -> None:
    async with serve(lambda _: http(etag='"e"')) as stub:
        driver = stub_driver(stub.endpoint, credentials=Anonymous())
        await driver.head("b-1", "k")
        await driver.container_exists("b-1")
        assert (driver.capabilities.sign_methods, driver.capabilities.sign_binds) == (frozenset(), frozenset())
        with pytest.raises(CredentialsMissingError):
            await driver.sign(_sign("b-1", Method.GET))
        await driver.aclose()
    assert all("authorization" not in seen.headers for seen in stub.requests)


def _sign(bucket: str, method: Method, **more: object) -> SignRequest:
    now = utc_now()
    entry = ContainerEntry(bucket, f"s3://{bucket}", Origin.BASE, now, "uid")
    request = SignRequest(bucket, "a b+c", method, now, now + timedelta(minutes=5), entry)
    return replace(request, **more)  # type: ignore[arg-type]  # fields of the request


@pytest.mark.parametrize("method", ALL_METHODS)
@pytest.mark.parametrize("used", ALL_METHODS)
async def test_a_url_is_good_for_its_own_method_only(s3: S3Driver, bucket: str, method: Method, used: Method) -> None:
    await s3.write(bucket, "a b+c", body(b"old"), size_bytes=3, options=WriteOptions())
    signed = await s3.sign(_sign(bucket, method))
    assert timedelta(minutes=4) < signed.expires_at - utc_now() <= timedelta(minutes=5)
    assert signed.url not in repr(signed)
    async with (
        aiohttp.ClientSession() as client,
        client.request(used, URL(signed.url, encoded=True), data=b"new" if used is Method.PUT else None) as response,
    ):
        assert (response.status < 300) == (method is used)


async def test_a_put_url_binds_its_md5_and_type(s3: S3Driver, bucket: str) -> None:
    md5 = hashlib.md5(b"right").digest()
    signed = await s3.sign(_sign(bucket, Method.PUT, content_md5=md5, content_type="text/x"))
    assert signed.required_headers == {"Content-MD5": base64.b64encode(md5).decode(), "Content-Type": "text/x"}
    url = URL(signed.url, encoded=True)
    async with aiohttp.ClientSession() as client:
        for data, headers, expected in (
            (b"right", {}, False),
            (b"wrong", signed.required_headers, False),
            (b"right", {**signed.required_headers, "Content-Type": "text/html"}, False),
            (b"right", signed.required_headers, True),
        ):
            async with client.put(url, data=data, headers=headers) as response:
                assert (response.status == 200) is expected
    assert await content(s3, bucket, "a b+c") == b"right"


async def test_urls_have_the_base_that_clients_reach(minio: MinioServer) -> None:
    driver = server_driver(minio, dialect=Dialect.MINIO, presign_endpoint="https://objects.example:8443")
    assert (await driver.sign(_sign("b-1", Method.GET))).url.startswith("https://objects.example:8443/b-1/a%20b%2Bc?")
    await driver.aclose()


async def test_a_url_that_would_be_over_already_is_refused(s3: S3Driver) -> None:
    with pytest.raises(InvalidArgumentError):
        await s3.sign(_sign("b-1", Method.GET, expires_at=utc_now()))


async def test_attributes_come_back_as_they_were(s3: S3Driver, bucket: str) -> None:
    attributes = ObjectAttributes(
        content_type="text/x; charset=utf-8",
        content_encoding="gzip",
        content_language="de",
        content_disposition='attachment; filename="a  b.txt"',
        cache_control="no-store",
        metadata={"plain": "a b", "unicode": "é 日本", "percent": "%41", "spaces": "  x  y  ", "empty": ""},
    )
    for key, data in (("small", b"x"), ("big", b"x" * 100_000)):
        await s3.write(bucket, key, body(data), size_bytes=len(data), options=WriteOptions(attributes=attributes))
        assert (await s3.head(bucket, key)).attributes == attributes


@pytest.mark.parametrize(
    ("endpoint", "region", "identity", "host"),
    [
        (None, None, "s3://aws/aws", "s3.us-east-1.amazonaws.com"),
        (None, "eu-west-1", "s3://aws/aws", "s3.eu-west-1.amazonaws.com"),
        (None, "cn-north-1", "s3://aws/aws-cn", "s3.cn-north-1.amazonaws.com.cn"),
        (None, "us-gov-west-1", "s3://aws/aws-us-gov", "s3.us-gov-west-1.amazonaws.com"),
        ("https://s3.eu-west-1.amazonaws.com", None, "s3://aws/aws", "s3.eu-west-1.amazonaws.com"),
        ("https://s3.amazonaws.com", None, "s3://aws/aws", "s3.amazonaws.com"),
        ("https://s3-eu-west-1.amazonaws.com", None, "s3://aws/aws", "s3-eu-west-1.amazonaws.com"),
        ("https://s3-accelerate.amazonaws.com", None, "s3://aws/aws", "s3-accelerate.amazonaws.com"),
        ("https://s3.dualstack.eu-west-1.amazonaws.com", None, "s3://aws/aws", "s3.dualstack.eu-west-1.amazonaws.com"),
        (
            "https://s3-fips.us-gov-west-1.amazonaws.com",
            None,
            "s3://aws/aws-us-gov",
            "s3-fips.us-gov-west-1.amazonaws.com",
        ),
        (
            "https://bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com",
            None,
            "s3://aws/aws",
            "bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com",
        ),
        ("https://s3.cn-north-1.amazonaws.com.cn", None, "s3://aws/aws-cn", "s3.cn-north-1.amazonaws.com.cn"),
        ("https://s3.us-east-1.amazonaws.com", "cn-north-1", "s3://aws/aws", "s3.us-east-1.amazonaws.com"),
        ("https://ec2.amazonaws.com", None, "s3://ec2.amazonaws.com", "ec2.amazonaws.com"),
        (
            "https://s3.amazonaws.com.evil.example",
            None,
            "s3://s3.amazonaws.com.evil.example",
            "s3.amazonaws.com.evil.example",
        ),
        ("http://MinIO.Example:9000/", None, "s3://minio.example:9000", "minio.example"),
        ("https://minio.example.:443", None, "s3://minio.example", "minio.example"),
        ("http://minio.example:80", None, "s3://minio.example", "minio.example"),
        ("https://münchen.example", None, "s3://xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("http://[2001:DB8::1]:9000", None, "s3://[2001:db8::1]:9000", "[2001:db8::1]"),
    ],
)
def test_the_identity_is_the_place_and_not_its_spelling(
    endpoint: str | None, region: str | None, identity: str, host: str
) -> None:
    found = Endpoint.of(endpoint, region=region, addressing=AddressingStyle.AUTO)
    assert (found.identity, found.host) == (identity, host)


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://s3.amazonaws.com", "us-east-1"),
        ("https://s3-external-1.amazonaws.com", "us-east-1"),
        ("https://s3-eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://s3.dualstack.ap-southeast-2.amazonaws.com", "ap-southeast-2"),
        ("https://minio.example", "us-east-1"),
    ],
)
def test_the_region_is_the_one_that_the_host_names(endpoint: str, region: str) -> None:
    assert Endpoint.of(endpoint, region=None, addressing=AddressingStyle.AUTO).region == region


@pytest.mark.parametrize(
    "endpoint",
    [
        "minio",
        "ftp://x",
        "http://",
        "http://u:p@x",
        "http://x/path",
        "http://x?q=1",
        "http://x#f",
        "http://x:99999",
        "http://x y",
        "",
    ],
)
def test_a_malformed_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        Endpoint.of(endpoint, region=None, addressing=AddressingStyle.AUTO)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize("region", ["EU", "a b", "eu/west", "x" * 65, "eu.west"])
def test_a_malformed_region_is_refused(region: str) -> None:
    with pytest.raises(InvalidSpecError):
        Endpoint.of(None, region=region, addressing=AddressingStyle.AUTO)


@pytest.mark.parametrize(
    ("endpoint", "style", "bucket", "expected"),
    [
        (None, AddressingStyle.AUTO, "b-1", ("b-1.s3.us-east-1.amazonaws.com", "/k")),
        (None, AddressingStyle.AUTO, "b.1", ("s3.us-east-1.amazonaws.com", "/b.1/k")),
        (None, AddressingStyle.PATH, "b-1", ("s3.us-east-1.amazonaws.com", "/b-1/k")),
        ("http://m.example:9000", AddressingStyle.AUTO, "b-1", ("m.example:9000", "/b-1/k")),
        ("http://m.example:9000", AddressingStyle.VIRTUAL, "b-1", ("b-1.m.example:9000", "/k")),
    ],
)
def test_addressing_follows_the_style(
    endpoint: str | None, style: AddressingStyle, bucket: str, expected: tuple[str, str]
) -> None:
    assert Endpoint.of(endpoint, region=None, addressing=style).locate(bucket, "k") == expected


def test_no_secret_shows_in_a_repr(minio: MinioServer) -> None:
    assert "secret-key-canary" not in repr(S3Config(KEYS))
    assert "token-canary" not in repr(replace(KEYS, session_token="token-canary"))
    assert minio.secret_key not in repr(server_driver(minio, dialect=Dialect.MINIO))
