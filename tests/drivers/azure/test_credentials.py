"""Credentials: each kind on a real server, tokens fetched once and in time, and nothing asked that was not asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas, generate_container_sas

from drivers.azure.setup import (
    DEV_EGRESS,
    Counter,
    body,
    content,
    driver_of,
    drop,
    serve_tls,
    stub_driver,
    to_sign,
    trust_of,
    use,
)
from servers.azurite import AzuriteServer
from servers.entra import ASSERTION, CLIENT, SECRET, TENANT, Entra
from servers.stub import Seen, http, serve
from stow.drivers.azure.config import (
    Ambient,
    Anonymous,
    AzureConfig,
    Credentials,
    SasToken,
    ServicePrincipal,
    SharedKey,
)
from stow.drivers.azure.driver import AzureDriver
from stow.drivers.azure.tokens import of_environment
from stow.errors import (
    BackendError,
    CredentialsError,
    CredentialsInvalidError,
    CredentialsMissingError,
    EndpointForbiddenError,
    InvalidSpecError,
    ObjectNotFoundError,
)
from stow.storage.clock import utc_now
from stow.storage.egress import EgressPolicy
from stow.storage.model import CopyOptions, Marker, Method, WriteOptions
from stow.transport.connections import Connections
from stow.transport.deadlines import Deadlines

PRINCIPAL = ServicePrincipal(TENANT, CLIENT, SECRET)
VARIABLES = (
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
)


@pytest.fixture
async def principal(azurite_tls: AzuriteServer, entra: Entra, counter: Counter) -> AsyncIterator[AzureDriver]:
    """A service principal on the Azurite that takes tokens."""
    driver = driver_of(
        azurite_tls, credentials=PRINCIPAL, entra=entra, trust=trust_of(azurite_tls, entra), counter=counter
    )
    yield driver
    await driver.aclose()


async def test_a_service_principal_does_everything_with_one_token(
    principal: AzureDriver, entra: Entra, unique_name: Callable[[str], str]
) -> None:
    box = unique_name("az")
    marker = Marker("i", "ns", "n", "uid")
    await principal.create_container(box, marker)
    assert await principal.read_marker(box) == marker
    await principal.write(box, "k", body(b"data"), size_bytes=4, options=WriteOptions())
    assert await content(principal, box, "k") == b"data"
    await principal.copy((box, "k"), (box, "k2"), CopyOptions())
    assert await content(principal, box, "k2") == b"data"
    assert dict(entra.asked) == {"secret": 1}
    await drop(principal, box)


async def test_a_delegation_key_signs_for_many_urls(
    principal: AzureDriver,
    azurite_tls: AzuriteServer,
    entra: Entra,
    counter: Counter,
    unique_name: Callable[[str], str],
) -> None:
    box = unique_name("az")
    await principal.create_container(box, None)
    counter.requests.clear()
    signed = await asyncio.gather(
        *(principal.sign(to_sign(box, "a b/ü", method)) for method in (Method.PUT, Method.GET, Method.DELETE) * 8)
    )
    assert counter.methods == ["POST"]
    put, get, delete = signed[:3]
    trust = trust_of(azurite_tls, entra)
    assert (await use("PUT", put.url, trust=trust, headers=dict(put.required_headers), data=b"signed"))[0] == 201
    assert (await use("GET", get.url, trust=trust))[:2] == (200, b"signed")
    assert (await use("GET", delete.url, trust=trust))[0] == 403
    assert (await use("DELETE", delete.url, trust=trust))[0] == 202
    await drop(principal, box)


async def test_a_url_ends_no_later_than_its_delegation_key(
    principal: AzureDriver, unique_name: Callable[[str], str]
) -> None:
    now = utc_now()
    signed = await principal.sign(to_sign(unique_name("az"), "k", lives_s=30 * 24 * 3600))
    assert now + timedelta(days=6, hours=23) < signed.expires_at <= now + timedelta(days=7)


async def shared_by_32(driver: AzureDriver, entra: Entra, source: str) -> None:
    """Call until the first token was renewed. However many ask, a token is fetched when there is none or the last one nears its end:
    one of two seconds, which the SDK cuts to whole ones, not before three quarters of the one that is left."""
    began = time.monotonic()
    async with asyncio.timeout(20):
        while entra.asked[source] < 2:
            exists = await asyncio.gather(*(driver.container_exists("missing-one") for _ in range(32)))
            assert exists == [False] * 32
    assert entra.asked[source] <= 2 + (time.monotonic() - began) / 0.75
    assert len(set(entra.given)) == entra.asked[source]


async def test_32_callers_share_each_renewal(entra: Entra, principal: AzureDriver) -> None:
    entra.lifetime = timedelta(seconds=2)
    await shared_by_32(principal, entra, "secret")


async def test_a_token_that_ended_early_is_replaced_once(entra: Entra) -> None:
    """The first 401 costs another token; a second one is the answer."""
    seen: list[str] = []

    def answer(request: Seen) -> bytes:
        seen.append(request.headers["authorization"])
        return http(401, x_ms_error_code="InvalidAuthenticationInfo")

    async with serve_tls(entra, answer) as endpoint:
        driver = AzureDriver(
            AzureConfig(
                "acct",
                PRINCIPAL,
                endpoint=f"{endpoint}/acct",
                authority=entra.authority,
                egress=DEV_EGRESS,
                ssl_context=entra.trust,
            ),
            clock=utc_now,
        )
        with pytest.raises(CredentialsInvalidError):
            await driver.head("box", "k")
        await driver.aclose()
    assert len(seen) == 2
    assert len(set(seen)) == 2
    assert entra.asked["secret"] == 2


async def test_one_token_replaces_another_for_all_who_used_it_and_a_write_goes_out_again(entra: Entra) -> None:
    def answer(request: Seen) -> bytes:
        if request.headers["authorization"] == f"Bearer {entra.given[0]}":
            return http(401, x_ms_error_code="InvalidAuthenticationInfo")
        return http(201, etag='"1"') if request.method == "PUT" else http(404, x_ms_error_code="BlobNotFound")

    async with serve_tls(entra, answer) as endpoint:
        config = AzureConfig("acct", PRINCIPAL, endpoint=f"{endpoint}/acct", authority=entra.authority)
        config = replace(config, egress=DEV_EGRESS, ssl_context=entra.trust)
        for calls in (16, 0):
            entra.given.clear()
            driver = AzureDriver(config, clock=utc_now)
            gone = await asyncio.gather(*(driver.head("box", "k") for _ in range(calls)), return_exceptions=True)
            assert [type(error) for error in gone] == [ObjectNotFoundError] * calls
            written = await driver.write("box", "k", body(b"data"), size_bytes=4, options=WriteOptions())
            assert written.etag == "1"
            assert len(entra.given) == 2
            await driver.aclose()


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_authority_that_fails_is_no_wrong_secret(principal: AzureDriver, entra: Entra, status: int) -> None:
    entra.answer = lambda _: http(status, b"SECRET-BACKEND-TEXT")
    with pytest.raises(BackendError) as raised:
        await principal.head("box", "k")
    assert raised.value.retryable
    assert "SECRET" not in repr(raised.value)


async def test_a_wrong_secret_says_nothing_of_the_answer(
    azurite_tls: AzuriteServer, entra: Entra, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = ServicePrincipal(TENANT, CLIENT, "wrong-secret-canary")
    driver = driver_of(azurite_tls, credentials=wrong, entra=entra, trust=trust_of(azurite_tls, entra))
    with pytest.raises(CredentialsInvalidError) as raised:
        await driver.head("box", "k")
    await driver.aclose()
    told = f"{raised.value!r} {raised.value.__cause__!r} {caplog.text} {wrong!r}"
    assert "SECRET-BACKEND-TEXT" not in told
    assert "canary" not in told


async def test_a_redirect_of_the_authority_is_not_followed(principal: AzureDriver, entra: Entra) -> None:
    entra.answer = lambda _: http(307, location=f"{entra.metadata}/{TENANT}/oauth2/v2.0/token")
    with pytest.raises(BackendError):
        await principal.head("box", "k")
    assert entra.asked.total() == 1


async def test_a_denied_authority_opens_no_socket(azurite_tls: AzuriteServer, entra: Entra) -> None:
    with pytest.raises(EndpointForbiddenError):
        driver_of(azurite_tls, credentials=PRINCIPAL, entra=entra, egress=EgressPolicy(), endpoint=None)
    named = driver_of(
        azurite_tls,
        credentials=PRINCIPAL,
        authority=f"https://localhost:{entra.authority.rpartition(':')[2]}",
        egress=EgressPolicy(),
        endpoint=None,
    )
    with pytest.raises(EndpointForbiddenError):
        await named.head("box", "k")
    await named.aclose()
    assert entra.asked.total() == 0


@pytest.mark.parametrize(
    ("credentials", "error"),
    [
        (SharedKey("no base64!"), CredentialsInvalidError),
        (SharedKey(""), CredentialsInvalidError),
        (SasToken("sv=1&sp=r"), CredentialsInvalidError),
        (SasToken("sv=1&sig=a#b"), CredentialsInvalidError),
        (SasToken("sv=1&sig=a\r\nx: y"), CredentialsInvalidError),
        (ServicePrincipal("../evil", CLIENT, SECRET), CredentialsInvalidError),
    ],
)
def test_malformed_credentials_are_refused(credentials: Credentials, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        AzureDriver(AzureConfig("acct", credentials), clock=utc_now)
    assert SECRET not in repr(raised.value)


@pytest.mark.parametrize("credentials", [PRINCIPAL, Ambient()])
def test_tokens_never_go_out_without_tls(credentials: Credentials) -> None:
    with pytest.raises(InvalidSpecError):
        AzureDriver(AzureConfig("acct", credentials, endpoint="http://blobs.example/acct"), clock=utc_now)
    with pytest.raises(InvalidSpecError):
        AzureDriver(AzureConfig("acct", credentials, authority="http://authority.example"), clock=utc_now)


async def test_a_shared_access_signature_works_and_signs_nothing(
    azure: AzureDriver, azurite: AzuriteServer, container: str
) -> None:
    token = generate_container_sas(
        azurite.account, container, azurite.key, permission="rwdl", expiry=utc_now() + timedelta(minutes=5)
    )
    for given in (token, f"?{token}\n"):
        driver = driver_of(azurite, credentials=SasToken(given))
        await driver.write(container, "a b", body(b"data"), size_bytes=4, options=WriteOptions())
        assert await content(driver, container, "a b") == b"data"
        await driver.copy((container, "a b"), (container, "copy"), CopyOptions())
        assert await content(driver, container, "copy") == b"data"
        page = await driver.list(container, prefix="a", delimiter=None, limit=10, token=None)
        assert [found.key for found in page.objects] == ["a b"]
        assert driver.capabilities.sign_methods == frozenset()
        with pytest.raises(CredentialsMissingError):
            await driver.sign(to_sign(container, "a b"))
        await driver.delete(container, "a b", if_match=None)
        await driver.aclose()


async def test_an_accounts_signature_reaches_containers(
    azure: AzureDriver, azurite: AzuriteServer, unique_name: Callable[[str], str]
) -> None:
    token = generate_account_sas(
        azurite.account,
        azurite.key,
        resource_types=ResourceTypes(container=True, object=True),
        permission=AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True),
        expiry=utc_now() + timedelta(minutes=5),
    )
    driver = driver_of(azurite, credentials=SasToken(token))
    box = unique_name("az")
    await driver.create_container(box, None)
    assert await azure.container_exists(box)
    await driver.delete_container(box)
    assert not await driver.container_exists(box)
    await driver.aclose()


async def test_anonymous_reads_nothing_of_a_new_container(
    azure: AzureDriver, azurite: AzuriteServer, container: str
) -> None:
    await azure.write(container, "k", body(b"data"), size_bytes=4, options=WriteOptions())
    driver = driver_of(azurite, credentials=Anonymous())
    for call in (driver.head(container, "k"), driver.read(container, "k", None)):
        with pytest.raises(CredentialsError):
            await call
    with pytest.raises(CredentialsMissingError):
        await driver.sign(to_sign(container, "k"))
    await driver.aclose()


def environment_of(entra: Entra, tmp_path: Path, source: str) -> dict[str, str]:
    token = tmp_path / "federated"
    token.write_text(ASSERTION)
    principal = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": CLIENT}
    return {
        "secret": {**principal, "AZURE_CLIENT_SECRET": SECRET, "AZURE_FEDERATED_TOKEN_FILE": str(token)},
        "assertion": {**principal, "AZURE_FEDERATED_TOKEN_FILE": str(token)},
        "metadata": {"AZURE_POD_IDENTITY_AUTHORITY_HOST": entra.metadata},
    }[source]


@pytest.mark.parametrize("source", ["secret", "assertion", "metadata"])
async def test_the_processs_identity_is_the_first_that_is_set_up(
    azurite_tls: AzuriteServer, entra: Entra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment_of(entra, tmp_path, source).items():
        monkeypatch.setenv(variable, value)
    driver = driver_of(
        azurite_tls,
        credentials=Ambient(metadata_egress=DEV_EGRESS),
        entra=entra,
        trust=trust_of(azurite_tls, entra),
    )
    assert not await driver.container_exists("missing-one")
    await driver.aclose()
    assert dict(entra.asked) == {source: 1}


@pytest.mark.parametrize("source", ["secret", "assertion", "metadata"])
async def test_32_callers_share_each_renewal_of_the_processs_identity(
    azurite_tls: AzuriteServer, entra: Entra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment_of(entra, tmp_path, source).items():
        monkeypatch.setenv(variable, value)
    entra.lifetime = timedelta(seconds=2)
    ambient = Ambient(metadata_egress=DEV_EGRESS)
    driver = driver_of(azurite_tls, credentials=ambient, entra=entra, trust=trust_of(azurite_tls, entra))
    await shared_by_32(driver, entra, source)
    await driver.aclose()
    assert set(entra.asked) == {source}


async def test_a_managed_identity_is_asked_for_at_the_metadata_address_alone(
    azurite_tls: AzuriteServer, entra: Entra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment that names another address gains nothing, even one that the location's own policy allows."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.metadata)
    driver = driver_of(azurite_tls, credentials=Ambient(), entra=entra, trust=trust_of(azurite_tls, entra))
    with pytest.raises(EndpointForbiddenError):
        await driver.head("box", "k")
    await driver.aclose()
    assert entra.asked.total() == 0


async def test_a_metadata_service_that_fails_is_no_missing_identity(
    azurite_tls: AzuriteServer, entra: Entra, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", entra.metadata)
    ambient, trust = Ambient(metadata_egress=DEV_EGRESS), trust_of(azurite_tls, entra)
    for answer, error in ((http(503), BackendError), (http(400, b"{}"), CredentialsMissingError)):
        entra.answer = lambda _, answer=answer: answer
        driver = driver_of(azurite_tls, credentials=ambient, entra=entra, trust=trust)
        with pytest.raises(error):
            await driver.head("box", "k")
        await driver.aclose()


async def test_an_unreadable_projected_token_is_missing(entra: Entra, tmp_path: Path) -> None:
    connections = Connections(deadlines=Deadlines(), egress=DEV_EGRESS)
    environment = {**environment_of(entra, tmp_path, "assertion"), "AZURE_FEDERATED_TOKEN_FILE": "/nonexistent/token"}
    fetch = of_environment(
        authority=entra.authority,
        connections=connections,
        metadata_connections=connections,
        environment=environment,
    )
    with pytest.raises(CredentialsMissingError):
        await fetch()
    assert entra.asked.total() == 0


async def test_a_key_looks_at_no_environment(
    azure: AzureDriver, container: str, entra: Entra, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = environment_of(entra, tmp_path, "secret") | {
        "AZURE_AUTHORITY_HOST": entra.authority,
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": entra.metadata,
        "HTTPS_PROXY": entra.metadata,
        "HTTP_PROXY": entra.metadata,
        "AZURE_STORAGE_CONNECTION_STRING": f"BlobEndpoint={entra.metadata}",
    }
    for variable, value in planted.items():
        monkeypatch.setenv(variable, value)
    assert await azure.container_exists(container)
    await azure.sign(to_sign(container, "k"))
    assert entra.asked.total() == 0


async def test_a_shared_key_signs_without_a_request() -> None:
    async with serve(lambda _: http(500)) as stub:
        driver = stub_driver(f"{stub.endpoint}/acct")
        await driver.sign(to_sign("box", "k"))
        await driver.aclose()
        assert stub.connections == 0
