"""Signed URLs: by a key at hand or by IAM, verified by the front; what each may promise."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from conformance.google_kind import service_key
from conformance.kinds import over_http
from conformance.promised.keys import ODD_KEYS
from drivers.google.setup import answer, body, front_driver, path, stub_driver
from servers.gcs_front import GcsFront
from servers.google_identity import make_account
from servers.stub import Seen, serve
from stow.drivers.google.capabilities import KEYS
from stow.drivers.google.config import Ambient
from stow.drivers.google.driver import GoogleDriver
from stow.errors import (
    AccessDeniedError,
    BackendFailedError,
    CredentialsMissingError,
    InvalidArgumentError,
    InvalidKeyError,
)
from stow.storage.clock import utc_now
from stow.storage.driver import SignRequest
from stow.storage.model import ContainerEntry, Method, Origin, SignBinding, SignedURL, WriteOptions

ENTRY = ContainerEntry("b-1", "gs://b-1", Origin.BASE, utc_now(), uid="u")


def asked(
    bucket: str, key: str = "k", *, method: Method = Method.GET, life: timedelta = timedelta(minutes=5), **more: Any
) -> SignRequest:
    now = utc_now()
    return SignRequest(bucket, key, method, signed_at=now, expires_at=now + life, entry=ENTRY, **more)


async def use(signed: SignedURL, data: bytes | None = None, **changed: str) -> int:
    headers: Mapping[str, str] = {**signed.required_headers, **changed}
    return (await over_http(signed.method.value, signed.url, headers, data)).status


@pytest.fixture
async def by_iam(gcs_front: GcsFront) -> AsyncIterator[GoogleDriver]:
    """The metadata server's account, which has no key at hand."""
    driver = front_driver(gcs_front, credentials=Ambient({}))
    yield driver
    await driver.aclose()


def takes(key: str) -> bool:
    try:
        KEYS.check(key)
    except InvalidKeyError:
        return False
    return True


async def test_every_odd_key_is_signed_as_itself(google: GoogleDriver, bucket: str) -> None:
    """The SDK rewrites none of them."""
    for key in filter(takes, ODD_KEYS):
        put = await google.sign(asked(bucket, key, method=Method.PUT))
        assert await use(put, key.encode()) == 200, ascii(key)
        get = await google.sign(asked(bucket, key))
        assert (await over_http("GET", get.url, get.required_headers, None)).body == key.encode(), ascii(key)
        delete = await google.sign(asked(bucket, key, method=Method.DELETE))
        assert await use(delete) in {200, 204}, ascii(key)


async def test_signing_with_a_key_sends_nothing(google: GoogleDriver, bucket: str, gcs_front: GcsFront) -> None:
    await google.sign(asked(bucket))
    assert not gcs_front.counts
    assert not gcs_front.requests


async def test_iam_signs_for_who_has_no_key(by_iam: GoogleDriver, bucket: str, gcs_front: GcsFront) -> None:
    await by_iam.write(bucket, "k", body(b"x"), size_bytes=1, options=WriteOptions())
    gcs_front.counts.clear()
    signed = await by_iam.sign(asked(bucket))
    assert await use(signed) == 200
    assert gcs_front.counts["sign_blob"] == 1
    assert gcs_front.counts["metadata:instance/service-accounts/default/email"] == 1
    assert gcs_front.account.email in parse_qs(urlsplit(signed.url).query)["X-Goog-Credential"][0]


async def test_a_signer_may_be_named(gcs_front: GcsFront, bucket: str) -> None:
    named = gcs_front.denied_account.email  # knows how to sign, and its URLs are worth what it may do
    driver = front_driver(gcs_front, signer_service_account=named)
    signed = await driver.sign(asked(bucket))
    assert await use(signed) == 403
    assert named in parse_qs(urlsplit(signed.url).query)["X-Goog-Credential"][0]
    await driver.aclose()


async def test_an_account_that_signs_for_itself_needs_no_iam(gcs_front: GcsFront, bucket: str) -> None:
    driver = front_driver(gcs_front, signer_service_account=gcs_front.account.email)
    await driver.sign(asked(bucket))
    await driver.aclose()
    assert gcs_front.counts["sign_blob"] == 0


async def test_a_signature_of_iam_lasts_for_twelve_hours_at_most(
    by_iam: GoogleDriver, google: GoogleDriver, bucket: str
) -> None:
    """Google changes the keys behind signBlob."""
    week = asked(bucket, life=timedelta(days=7))
    assert utc_now() + timedelta(hours=11) < (await by_iam.sign(week)).expires_at <= utc_now() + timedelta(hours=12)
    assert (await google.sign(week)).expires_at > utc_now() + timedelta(days=6)
    assert by_iam.capabilities.max_signed_expiry_s == 12 * 3600
    assert google.capabilities.max_signed_expiry_s == 7 * 24 * 3600


async def test_a_signer_that_iam_does_not_give_is_denied(gcs_front: GcsFront, bucket: str) -> None:
    driver = front_driver(gcs_front, signer_service_account="nobody-knows@p.iam.gserviceaccount.com")
    with pytest.raises(AccessDeniedError):
        await driver.sign(asked(bucket))
    await driver.aclose()


async def test_a_token_that_iam_refuses_is_replaced_once() -> None:
    def reply(seen: Seen) -> bytes:
        if path(seen) == "/token":
            return answer({"access_token": "t-1", "expires_in": 3600, "token_type": "Bearer"})
        return answer({"error": {"status": "UNAUTHENTICATED", "message": "SECRET-BACKEND-TEXT"}}, 401)

    async with serve(reply) as stub:
        driver = stub_driver(
            stub.endpoint,
            credentials=service_key(make_account("stow")),
            token_uri=f"{stub.endpoint}/token",
            iam_endpoint=stub.endpoint,
            signer_service_account="signer@p.iam.gserviceaccount.com",
        )
        with pytest.raises(Exception, match="does not accept the credentials"):
            await driver.sign(asked("b-1"))
        await driver.aclose()
    signer = "/v1/projects/-/serviceAccounts/signer@p.iam.gserviceaccount.com:signBlob"
    assert [path(seen) for seen in stub.requests] == ["/token", signer, signer]


@pytest.mark.parametrize("found", [{}, {"signedBlob": "?"}, {"signedBlob": 7}])
async def test_an_answer_of_iam_without_a_signature_is_an_error(found: dict[str, Any]) -> None:
    def reply(seen: Seen) -> bytes:
        if path(seen) == "/token":
            return answer({"access_token": "t-1", "expires_in": 3600, "token_type": "Bearer"})
        return answer(found)

    async with serve(reply) as stub:
        driver = stub_driver(
            stub.endpoint,
            credentials=service_key(make_account("stow")),
            token_uri=f"{stub.endpoint}/token",
            iam_endpoint=stub.endpoint,
            signer_service_account="signer@p.iam.gserviceaccount.com",
        )
        with pytest.raises(BackendFailedError):
            await driver.sign(asked("b-1"))
        await driver.aclose()


async def test_signed_urls_name_the_endpoint_that_clients_know(gcs_front: GcsFront, bucket: str) -> None:
    driver = front_driver(gcs_front, presign_endpoint="https://files.example:8443")
    signed = await driver.sign(asked(bucket, "a b"))
    assert signed.url.startswith(f"https://files.example:8443/{bucket}/a%20b?")
    await driver.aclose()


async def test_an_anonymous_location_signs_nothing() -> None:
    driver = stub_driver("http://127.0.0.1:1")
    assert (driver.capabilities.sign_methods, driver.capabilities.sign_binds) == (frozenset(), frozenset())
    with pytest.raises(CredentialsMissingError):
        await driver.sign(asked("b-1"))
    await driver.aclose()


async def test_a_lifetime_below_a_second_is_refused(google: GoogleDriver, bucket: str) -> None:
    with pytest.raises(InvalidArgumentError):
        await google.sign(asked(bucket, life=timedelta(seconds=0)))


async def test_headers_are_bound_as_they_are_named(google: GoogleDriver, bucket: str) -> None:
    data = b"hello"
    request = asked(
        bucket,
        method=Method.PUT,
        content_md5=hashlib.md5(data).digest(),
        content_type="text/csv",
        headers={"x-goog-meta-team": "a  b", "x-goog-if-generation-match": "0"},
    )
    signed = await google.sign(request)
    assert set(signed.required_headers) == {
        "Content-MD5",
        "Content-Type",
        "x-goog-meta-team",
        "x-goog-if-generation-match",
    }
    for name in signed.required_headers:
        assert await use(signed, data, **{name: "another"}) in {400, 403}, name
    assert await use(signed, data) == 200
    assert (await google.head(bucket, "k")).attributes.content_type == "text/csv"


def test_what_a_signature_cannot_bind_is_not_declared(google: GoogleDriver) -> None:
    """Google lets a stored attribute win over the override that a URL asks for."""
    bound = {SignBinding.CONTENT_MD5, SignBinding.CONTENT_TYPE, SignBinding.HEADERS}
    assert google.capabilities.sign_binds == bound
