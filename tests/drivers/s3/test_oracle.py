"""The kind `oracle`: where it points, what it is called, and what it refuses. That objects work is in tests/conformance."""

from __future__ import annotations

import pytest

from drivers.s3.setup import DEV_EGRESS, KEYS, body
from servers.stub import http, serve
from stow.api.backend import DIALECTS
from stow.drivers.s3.capabilities import TRAITS
from stow.drivers.s3.config import Dialect, S3Config
from stow.drivers.s3.driver import S3Driver
from stow.drivers.s3.oracle import oracle_config
from stow.errors import InvalidKeyError, InvalidSpecError, UnsupportedError
from stow.storage.clock import utc_now
from stow.storage.egress import EgressPolicy
from stow.storage.model import WriteOptions


def _config(*, namespace: str = "mytenancy", region: str = "eu-frankfurt-1", endpoint: str | None = None) -> S3Config:
    return oracle_config(
        namespace=namespace,
        region=region,
        endpoint=endpoint,
        credentials=KEYS,
        presign_endpoint=None,
        egress=DEV_EGRESS,
        ssl_context=None,
    )


def test_the_endpoint_is_the_namespaces_own() -> None:
    assert _config().endpoint == "https://mytenancy.compat.objectstorage.eu-frankfurt-1.oraclecloud.com"


IDENTITIES = {
    None: "os://mytenancy.eu-frankfurt-1",
    "https://mytenancy.compat.objectstorage.eu-frankfurt-1.oraclecloud.com": "os://mytenancy.eu-frankfurt-1",
    "https://mytenancy.compat.objectstorage.eu-frankfurt-1.oci.customer-oci.com": "os://mytenancy.eu-frankfurt-1",
    # Another namespace's or region's host is another backend, whatever the fields say.
    "https://other.compat.objectstorage.eu-frankfurt-1.oraclecloud.com": (
        "os://other.compat.objectstorage.eu-frankfurt-1.oraclecloud.com"
    ),
    "https://minio.example:9000": "os://minio.example:9000",
}


@pytest.mark.parametrize("endpoint", IDENTITIES)
def test_the_identity_says_which_namespace_it_really_is(endpoint: str | None) -> None:
    driver = S3Driver(_config(endpoint=endpoint), clock=utc_now)
    assert driver.identity == IDENTITIES[endpoint]
    assert driver.scheme == "os"
    assert driver.capabilities.dialect == "Oracle"


@pytest.mark.parametrize("field", ["namespace", "region"])
@pytest.mark.parametrize("value", ["", "a.b", "evil.example/", "a@b", "Ä", "A", "a b", "-a", "x" * 64, "a\n"])
def test_what_is_no_part_of_a_host_name_is_refused(field: str, value: str) -> None:
    with pytest.raises(InvalidSpecError, match=field):
        _config(**{field: value})


def test_a_malformed_endpoint_is_refused() -> None:
    with pytest.raises(InvalidSpecError):
        _config(endpoint="https://u:p@host")


def test_the_dialect_is_not_offered_to_s3_locations() -> None:
    assert Dialect.ORACLE not in DIALECTS
    assert set(DIALECTS) == set(Dialect) - {Dialect.ORACLE}


@pytest.mark.parametrize("key", ["a\nb", "a\rb", "a\x01b", "../a", "a//b", "/a"])
def test_keys_that_are_refused_or_undocumented_are_refused(key: str) -> None:
    with pytest.raises(InvalidKeyError):
        TRAITS[Dialect.ORACLE].capabilities.keys.check(key)


def test_a_long_segment_is_a_name_like_any_other() -> None:
    TRAITS[Dialect.ORACLE].capabilities.keys.check("k" * 1024)


async def test_no_request_has_what_the_api_does_not_know() -> None:
    """No framed body, no checksum header of S3, no region in a create, a path and no host of the bucket."""
    async with serve(lambda seen: http(404 if seen.method == "HEAD" else 200, etag='"e"')) as stub:
        driver = S3Driver(_config(endpoint=stub.endpoint), clock=utc_now)
        await driver.create_container("bucket-1", None)
        for size in (10, 100_000):
            await driver.write("bucket-1", "k", body(b"x" * size), size_bytes=size, options=WriteOptions())
        with pytest.raises(UnsupportedError):
            await driver.write("bucket-1", "k", body(b"x"), size_bytes=1, options=WriteOptions(if_none_match=True))
        await driver.aclose()
    head, create, small, streamed = stub.requests
    assert (head.method, create.method, create.target, create.body) == ("HEAD", "PUT", "/bucket-1", b"")
    for seen in (small, streamed):
        assert seen.target == "/bucket-1/k"
        assert "content-encoding" not in seen.headers
        assert not [name for name in seen.headers if name.startswith(("x-amz-checksum", "x-amz-trailer", "x-amz-sdk"))]
        assert "/eu-frankfurt-1/s3/aws4_request" in seen.headers["authorization"]
    assert "content-md5" in small.headers


def test_the_public_endpoint_is_found_as_oracles_by_its_host() -> None:
    """Somebody who writes it as an S3 location gets the same limits."""
    config = S3Config(
        KEYS,
        endpoint="https://mytenancy.compat.objectstorage.eu-frankfurt-1.oraclecloud.com",
        region="eu-frankfurt-1",
        egress=EgressPolicy(),
    )
    assert S3Driver(config, clock=utc_now).capabilities.dialect == "Oracle"
