"""Who the driver is: tokens out of keys, files and the metadata server, renewed once, and asked of nobody else."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from conformance.google_kind import service_key
from conformance.world import Clock
from drivers.google.setup import answer, body, front_driver, path, stub_driver
from servers.gcs_front import GcsFront
from servers.google_identity import make_account
from servers.stub import Seen, http, serve
from stow.drivers.google.config import Ambient, GoogleConfig, ServiceAccountKey
from stow.drivers.google.driver import GoogleDriver
from stow.errors import (
    AccessDeniedError,
    BackendFailedError,
    CredentialsInvalidError,
    CredentialsMissingError,
    EndpointForbiddenError,
    UnsupportedCredentialTypeError,
)
from stow.storage.clock import utc_now
from stow.storage.driver import SignRequest
from stow.storage.model import ContainerEntry, Method, Origin, WriteOptions

Unique = Callable[[str], str]


async def test_a_key_becomes_one_token_for_all(google: GoogleDriver, bucket: str, gcs_front: GcsFront) -> None:
    gcs_front.identities.revoke_all()
    fresh = front_driver(gcs_front)
    await asyncio.gather(*(fresh.container_exists(bucket) for _ in range(32)))
    await fresh.aclose()
    assert gcs_front.counts["token"] == 1


@pytest.mark.parametrize("ambient", [False, True])
async def test_a_token_that_lives_two_seconds_is_renewed_once_for_32_callers(
    ambient: bool, gcs_front: GcsFront, google: GoogleDriver, bucket: str
) -> None:
    gcs_front.identities.token_life_s = 2.0
    clock = gcs_front.clock = Clock()
    driver = front_driver(gcs_front, credentials=Ambient({}) if ambient else None, clock=clock)
    count = "metadata:instance/service-accounts/default/token" if ambient else "token"
    for renewals in (1, 2, 3):
        await asyncio.gather(*(driver.list(bucket, prefix="", delimiter=None, limit=1, token=None) for _ in range(32)))
        assert gcs_front.counts[count] == renewals
        clock.ahead += timedelta(seconds=1.7)
    await driver.aclose()


async def test_a_token_that_ends_early_is_replaced_and_the_request_goes_out_again(
    gcs_front: GcsFront, unique_name: Unique
) -> None:
    clock = Clock()
    driver = front_driver(gcs_front, clock=clock)
    name = unique_name("google")
    await driver.create_container(name, None)
    gcs_front.identities.revoke_all()
    clock.ahead = timedelta(
        seconds=6
    )  # a token that was fetched a moment ago is kept: another one may have been refused
    await driver.write(name, "k", body(b"x"), size_bytes=1, options=WriteOptions())
    gcs_front.identities.revoke_all()
    clock.ahead = timedelta(seconds=12)
    assert (await driver.head(name, "k")).size_bytes == 1
    assert gcs_front.counts["token"] == 3
    await driver.aclose()


async def test_a_refused_token_is_replaced_once_and_no_more() -> None:
    def refuse(seen: Seen) -> bytes:
        if path(seen) == "/token":
            return answer({"access_token": "t-1", "expires_in": 3600, "token_type": "Bearer"})
        return http(401, b"<Error><Code>AuthenticationRequired</Code></Error>")

    async with serve(refuse) as stub:
        key = service_key(make_account("stow"))
        driver = stub_driver(stub.endpoint, credentials=key, token_uri=f"{stub.endpoint}/token")
        with pytest.raises(CredentialsInvalidError):
            await driver.head("b-1", "k")
        await driver.aclose()
    assert [path(seen) for seen in stub.requests] == ["/token", "/b-1/k", "/b-1/k"]


async def test_the_token_goes_to_the_endpoint_alone_and_the_assertion_to_the_token_service() -> None:
    def reply(seen: Seen) -> bytes:
        if path(seen) == "/token":
            return answer({"access_token": "t-1", "expires_in": 3600, "token_type": "Bearer"})
        return answer({})

    async with serve(reply) as stub:
        key = service_key(make_account("stow"))
        driver = stub_driver(stub.endpoint, credentials=key, token_uri=f"{stub.endpoint}/token")
        await driver.list("b-1", prefix="", delimiter=None, limit=1, token=None)
        await driver.container_exists("b-1")
        await driver.aclose()
    token, listing, bucket = stub.requests
    assert "authorization" not in token.headers
    assert {listing.headers["authorization"], bucket.headers["authorization"]} == {"Bearer t-1"}


UNKNOWN_KIND = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2V/BCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n"
"""PKCS#8 of an algorithm that nobody knows."""


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


@pytest.mark.parametrize(
    "key",
    [
        ServiceAccountKey("a@p.iam.gserviceaccount.com", "no PEM, but a CANARY-KEY"),
        ServiceAccountKey("a@p.iam.gserviceaccount.com", pem(ec.generate_private_key(ec.SECP256R1()))),
        ServiceAccountKey("a@p.iam.gserviceaccount.com", pem(ed25519.Ed25519PrivateKey.generate())),
        ServiceAccountKey("a@p.iam.gserviceaccount.com", UNKNOWN_KIND),
        ServiceAccountKey(
            "a@p.iam.gserviceaccount.com",
            "-----BEGIN PRIVATE KEY-----\nQ0FOQVJZLUtFWQ==CANARY-KEY\n-----END PRIVATE KEY-----\n",
        ),
    ],
)
async def test_a_key_that_is_none_is_said_to_be_without_its_text(key: ServiceAccountKey, gcs_front: GcsFront) -> None:
    driver = front_driver(gcs_front, credentials=key)
    for call in (driver.head("b-1", "k"), driver.container_exists("b-1")):
        with pytest.raises(CredentialsInvalidError) as caught:
            await call
        assert "CANARY" not in repr(caught.value) + repr(caught.value.__cause__) + str(caught.value)
    await driver.aclose()
    assert gcs_front.counts["token"] == 0


async def test_a_known_account_without_rights_is_denied(gcs_front: GcsFront) -> None:
    driver = front_driver(gcs_front, credentials=service_key(gcs_front.denied_account))
    with pytest.raises(AccessDeniedError):
        await driver.container_exists("b-1")
    await driver.aclose()


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_token_service_that_fails_is_asked_three_times(status: int) -> None:
    """Not by google-auth, which would sleep for seconds in its thread, and not anew by each attempt of what needs the token."""
    async with serve(lambda _: http(status, b'{"error": "SECRET-BACKEND-TEXT"}')) as stub:
        key = service_key(make_account("stow"))
        driver = stub_driver(stub.endpoint, credentials=key, token_uri=f"{stub.endpoint}/token")
        with pytest.raises(Exception, match=r"slow down|failed") as caught:
            await driver.head("b-1", "k")
        assert "SECRET" not in repr(caught.value)
        await driver.aclose()
    assert len(stub.requests) == 3
    assert {path(seen) for seen in stub.requests} == {"/token"}


@pytest.mark.parametrize("found", [b"[]", b"{}", b"no JSON", b'{"access_token": "t"}'])
async def test_a_token_answer_that_makes_no_sense_is_an_error(found: bytes) -> None:
    async with serve(lambda _: http(200, found)) as stub:
        key = service_key(make_account("stow"))
        driver = stub_driver(stub.endpoint, credentials=key, token_uri=f"{stub.endpoint}/token")
        with pytest.raises((CredentialsInvalidError, BackendFailedError)):
            await driver.head("b-1", "k")
        await driver.aclose()


def planted(folder: Path, monkeypatch: pytest.MonkeyPatch, trap: str) -> None:
    """All that a default chain would look at, leading to a trap."""
    file = folder / "adc.json"
    file.write_text(json.dumps(external(trap, folder)))
    user = folder / "gcloud"
    user.mkdir()
    (user / "application_default_credentials.json").write_text(json.dumps({"type": "authorized_user"}))
    host = trap.removeprefix("http://")
    for name, value in {
        "GOOGLE_APPLICATION_CREDENTIALS": str(file),
        "CLOUDSDK_CONFIG": str(user),
        "GCE_METADATA_HOST": host,
        "GCE_METADATA_ROOT": host,
        "STORAGE_EMULATOR_HOST": trap,
        "API_ENDPOINT_OVERRIDE": trap,
        "GOOGLE_CLOUD_PROJECT": "planted",
        "HTTP_PROXY": trap,
        "HTTPS_PROXY": trap,
        "ALL_PROXY": trap,
        "http_proxy": trap,
        "REQUESTS_CA_BUNDLE": str(file),
    }.items():
        monkeypatch.setenv(name, value)


def external(trap: str, folder: Path, **source: Any) -> dict[str, Any]:
    """A document of Workload Identity Federation."""
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{trap}/v1/token",
        "credential_source": source or {"file": str(folder / "subject")},
    }


@pytest.mark.parametrize("anonymous", [False, True])
async def test_nothing_of_the_environment_is_looked_at_unless_it_was_asked_for(
    anonymous: bool, gcs_front: GcsFront, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unique_name: Unique
) -> None:
    async with serve(lambda _: http(200)) as trap:
        planted(tmp_path, monkeypatch, trap.endpoint)
        if anonymous:
            driver = stub_driver(gcs_front.endpoint)
            with pytest.raises(AccessDeniedError):
                await driver.container_exists("b-1")
        else:
            driver = front_driver(gcs_front)
            await driver.create_container(unique_name("google"), None)
            assert await driver.container_exists("b-1") is False
        await driver.aclose()
        assert trap.connections == 0
    assert not any(name.startswith("metadata:") for name in gcs_front.counts)


async def test_the_metadata_server_gives_tokens_project_and_signer(
    gcs_front: GcsFront, unique_name: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = front_driver(gcs_front, credentials=Ambient({}))
    name = unique_name("google")
    await driver.create_container(name, None)
    assert await driver.container_exists(name)
    await driver.aclose()
    assert gcs_front.counts["metadata:instance/service-accounts/default/token"] == 1
    assert gcs_front.counts["metadata:project/project-id"] == 1


async def test_the_environment_may_move_the_metadata_server(gcs_front: GcsFront) -> None:
    ambient = Ambient({"GCE_METADATA_HOST": gcs_front.authority})
    driver = front_driver(gcs_front, credentials=ambient, metadata_endpoint="http://192.0.2.1")
    assert await driver.container_exists("b-1") is False
    await driver.aclose()


async def test_no_service_account_on_the_machine_is_missing_credentials(gcs_front: GcsFront) -> None:
    gcs_front.google.metadata_account = None
    driver = front_driver(gcs_front, credentials=Ambient({}))
    with pytest.raises(CredentialsMissingError):
        await driver.container_exists("b-1")
    await driver.aclose()


async def test_what_is_no_metadata_server_gives_no_token() -> None:
    """Its answers carry a header that no proxy's error page has."""
    async with serve(lambda _: answer({"access_token": "t", "expires_in": 9})) as stub:
        driver = stub_driver(stub.endpoint, credentials=Ambient({}), metadata_endpoint=stub.endpoint)
        with pytest.raises(CredentialsInvalidError):
            await driver.head("b-1", "k")
        await driver.aclose()


async def test_the_metadata_address_is_open_to_ambient_credentials_and_to_nothing_else() -> None:
    """Its connections have a policy of their own: the endpoint of objects stays denied."""
    metadata = {"metadata_flavor": "Google"}
    async with serve(lambda _: answer({"access_token": "t", "expires_in": 900}, **metadata)) as stub:
        config = GoogleConfig(Ambient({}), endpoint="http://localhost:1", metadata_endpoint=stub.endpoint)
        driver = GoogleDriver(config, clock=utc_now)  # the default policy denies loopback
        with pytest.raises(EndpointForbiddenError):
            await driver.head("b-1", "k")
        await driver.aclose()
    assert len(stub.requests) == 1
    with pytest.raises(EndpointForbiddenError):
        GoogleDriver(GoogleConfig(Ambient({}), endpoint="http://169.254.169.254"), clock=utc_now)


async def test_an_ambient_file_of_a_service_account_is_used(gcs_front: GcsFront, tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(gcs_front.account.credentials_json(token_url=gcs_front.token_url))
    driver = front_driver(gcs_front, credentials=Ambient({"GOOGLE_APPLICATION_CREDENTIALS": str(file)}))
    assert await driver.container_exists("b-1") is False
    await driver.aclose()
    assert gcs_front.counts["token"] == 1


async def test_an_ambient_file_that_changes_is_read_again(gcs_front: GcsFront, tmp_path: Path) -> None:
    """A mounted Secret is replaced while the process runs; the old key is revoked soon after."""
    clock, file = Clock(), tmp_path / "key.json"
    file.write_text(gcs_front.denied_account.credentials_json(token_url=gcs_front.token_url))
    driver = front_driver(gcs_front, credentials=Ambient({"GOOGLE_APPLICATION_CREDENTIALS": str(file)}), clock=clock)

    async def signed() -> str:
        entry, end = ContainerEntry("b-1", "gs://b-1", Origin.BASE, clock(), "u"), clock() + timedelta(minutes=1)
        return unquote((await driver.sign(SignRequest("b-1", "k", Method.GET, clock(), end, entry))).url)

    with pytest.raises(AccessDeniedError):
        await driver.container_exists("b-1")
    assert gcs_front.denied_account.email in await signed()
    file.write_text(gcs_front.account.credentials_json(token_url=gcs_front.token_url))
    clock.ahead = timedelta(hours=1)
    assert await driver.container_exists("b-1") is False
    assert gcs_front.account.email in await signed()
    await driver.aclose()


async def test_a_federated_identity_exchanges_its_token_over_our_connections(
    gcs_front: GcsFront, tmp_path: Path
) -> None:
    (tmp_path / "subject").write_text("subject-token-canary")
    token = gcs_front.identities.issue(gcs_front.account.email)

    def sts(seen: Seen) -> bytes:
        issued = "urn:ietf:params:oauth:token-type:access_token"
        return answer({"access_token": token, "issued_token_type": issued, "token_type": "Bearer", "expires_in": 900})

    async with serve(sts) as stub:
        file = tmp_path / "adc.json"
        file.write_text(json.dumps(external(stub.endpoint, tmp_path)))
        ambient = Ambient({"GOOGLE_APPLICATION_CREDENTIALS": str(file)})
        driver = front_driver(gcs_front, credentials=ambient)
        assert await driver.container_exists("b-1") is False
        await driver.aclose()
    (seen,) = stub.requests
    assert b"subject-token-canary" in seen.body


@pytest.mark.parametrize(
    "document",
    [
        {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"},
        {"type": "impersonated_service_account"},
        {"type": "external_account_authorized_user"},
        {"type": "gdch_service_account"},
        {},
        external("http://127.0.0.1:1", Path("/nowhere"), executable={"command": "/bin/touch /nowhere"}),
        external("http://127.0.0.1:1", Path("/nowhere"), certificate={"use_default_certificate_config": True}),
    ],
)
async def test_an_ambient_file_of_another_type_is_refused(
    document: Mapping[str, Any], tmp_path: Path, gcs_front: GcsFront
) -> None:
    file = tmp_path / "adc.json"
    file.write_text(json.dumps(document))
    driver = front_driver(gcs_front, credentials=Ambient({"GOOGLE_APPLICATION_CREDENTIALS": str(file)}))
    with pytest.raises(UnsupportedCredentialTypeError):
        await driver.container_exists("b-1")
    await driver.aclose()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("[]", CredentialsInvalidError), ("{", CredentialsInvalidError), (None, CredentialsMissingError)],
)
async def test_an_ambient_file_that_is_none_is_said_to_be(
    text: str | None, expected: type[Exception], tmp_path: Path, gcs_front: GcsFront
) -> None:
    file = tmp_path / "adc.json"
    if text is not None:
        file.write_text(text)
    driver = front_driver(gcs_front, credentials=Ambient({"GOOGLE_APPLICATION_CREDENTIALS": str(file)}))
    with pytest.raises(expected):
        await driver.container_exists("b-1")
    await driver.aclose()


async def test_no_log_line_holds_a_token_or_a_key(gcs_front: GcsFront, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = service_key(gcs_front.account)
    driver = front_driver(gcs_front)
    await driver.container_exists("b-1")
    await driver.aclose()
    assert "ya29." not in caplog.text
    assert key.private_key.splitlines()[5] not in caplog.text + repr(key) + repr(driver)


async def test_an_anonymous_location_reads_what_is_public_and_nothing_else(
    google: GoogleDriver, bucket: str, gcs_front: GcsFront
) -> None:
    await google.write(bucket, "k", body(b"x"), size_bytes=1, options=WriteOptions())
    driver = stub_driver(gcs_front.endpoint)
    with pytest.raises(AccessDeniedError, match="everybody"):
        await driver.head(bucket, "k")
    gcs_front.public_buckets.add(bucket)
    assert (await driver.head(bucket, "k")).size_bytes == 1
    assert (await driver.list(bucket, prefix="", delimiter=None, limit=9, token=None)).objects
    with pytest.raises(AccessDeniedError, match="everybody"):
        await driver.write(bucket, "k", body(b"y"), size_bytes=1, options=WriteOptions())
    await driver.aclose()
    assert "authorization" not in {name.lower() for name in gcs_front.requests[-1].headers}


async def test_nothing_is_left_behind(gcs_front: GcsFront, bucket: str) -> None:
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    driver = front_driver(gcs_front, credentials=Ambient({}))
    await driver.write(bucket, "k", body(b"x"), size_bytes=1, options=WriteOptions())
    await driver.container_exists(bucket)
    await driver.aclose()
    left = asyncio.all_tasks() - tasks
    if left:  # the front's own, which end with their connections
        _, pending = await asyncio.wait(left, timeout=5)
        assert not pending
    for thread in set(threading.enumerate()) - threads:
        if thread.name.startswith("stow-google"):
            await asyncio.to_thread(thread.join, 5)
            assert not thread.is_alive(), thread.name
