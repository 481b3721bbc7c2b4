"""Credentials of the environment: which services are asked, when, how often and in which order, and what is never looked at."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from drivers.s3.setup import DEV_EGRESS, KEYS, PATIENT, QUICK, Unique, body, content, drop, server_driver
from servers.aws_metadata import AwsMetadata, aws_metadata
from servers.minio import MinioServer
from servers.stub import Seen, error, http, serve
from stow.drivers.s3.config import (
    METADATA_EGRESS,
    Ambient,
    Anonymous,
    Credentials,
    Dialect,
    S3Config,
    StaticCredentials,
)
from stow.drivers.s3.driver import S3Driver
from stow.errors import (
    BackendError,
    CredentialsError,
    CredentialsInvalidError,
    CredentialsMissingError,
    EndpointForbiddenError,
    StowError,
)
from stow.storage.clock import utc_now
from stow.storage.driver import SignRequest
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.model import MIB, ContainerEntry, Method, Origin, WriteOptions
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines

SOURCES = ("irsa", "pod", "imds")
CALLERS = 32


class Clock:
    """The present in whole seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = utc_now().replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def metadata(tmp_path: Path, clock: Clock) -> AsyncIterator[AwsMetadata]:
    """Hands out KEY1, KEY2, ... with their session tokens; each exchange gives new ones."""
    given = iter(range(1, 1_000))

    def grant() -> tuple[str, str, str]:
        return f"KEY{metadata.exchanges}", f"secret-canary-{next(given)}", f"session-{metadata.exchanges}"

    async with aws_metadata(tmp_path, clock=clock, grant=grant) as metadata:
        yield metadata


def _driver(
    endpoint: str,
    environ: dict[str, str],
    clock: Clock,
    *,
    egress: EgressPolicy = DEV_EGRESS,
    deadlines: Deadlines = PATIENT,
) -> S3Driver:
    config = S3Config(
        Ambient(environ, egress=egress),
        endpoint=endpoint,
        dialect=Dialect.AWS,
        egress=DEV_EGRESS,
        deadlines=deadlines,
    )
    return S3Driver(config, clock=clock, outside=Outside(jitter=lambda: 0.0))


def _key_of(seen: Seen) -> str:
    return seen.headers["authorization"].partition("Credential=")[2].partition("/")[0]


def _request(now: datetime, lifetime: timedelta) -> SignRequest:
    entry = ContainerEntry("b-1", "s3://b-1", Origin.BASE, now, "uid")
    return SignRequest("b-1", "k", Method.GET, now, now + lifetime, entry)


@pytest.mark.parametrize("source", SOURCES)
async def test_keys_are_fetched_once_for_many_callers_and_renewed_before_they_end(
    source: str, metadata: AwsMetadata, clock: Clock
) -> None:
    async with serve(lambda _: http(etag='"e"')) as stub:
        driver = _driver(stub.endpoint, metadata.environ(source), clock)

        async def all_call() -> set[str]:
            before = len(stub.requests)
            calls = [driver.head("b-1", "k") for _ in range(CALLERS // 2)]
            await asyncio.gather(*calls, *(driver.container_exists("b-1") for _ in range(CALLERS // 2)))
            return {_key_of(seen) for seen in stub.requests[before:]}

        assert await all_call() == {"KEY1"}
        assert metadata.exchanges == 1
        clock.advance(1.4)
        assert await all_call() == {"KEY1"}
        assert metadata.exchanges == 1
        clock.advance(0.2)  # of two seconds the last quarter has begun
        assert await all_call() == {"KEY2"}
        assert metadata.exchanges == 2
        clock.advance(3600)
        assert await all_call() == {"KEY3"}
        assert metadata.exchanges == 3
        await driver.aclose()
    assert metadata.refused == []
    assert {seen.headers["x-amz-security-token"] for seen in stub.requests} == {"session-1", "session-2", "session-3"}


@pytest.mark.parametrize("source", SOURCES)
async def test_objects_and_containers_work_with_keys_of_the_environment(
    source: str, minio: MinioServer, tmp_path: Path, clock: Clock, unique_name: Unique
) -> None:
    def grant() -> tuple[str, str, str]:
        return minio.access_key, minio.secret_key, ""

    bucket = unique_name("s3")
    async with aws_metadata(tmp_path, clock=clock, grant=grant) as metadata:
        config = S3Config(
            Ambient(metadata.environ(source), egress=DEV_EGRESS),
            endpoint=minio.endpoint,
            dialect=Dialect.MINIO,
            egress=DEV_EGRESS,
        )
        driver = S3Driver(config, clock=clock)
        await driver.create_container(bucket, None)
        for written in (b"one", b"two"):
            await driver.write(bucket, "k", body(written), size_bytes=3, options=WriteOptions())
            assert await content(driver, bucket, "k") == written
            clock.advance(1.6)
        assert metadata.exchanges == 2
        await drop(driver, bucket)
        await driver.aclose()


@pytest.mark.parametrize("source", SOURCES)
async def test_keys_at_hand_are_used_while_a_renewal_fails_and_they_hold(
    source: str, metadata: AwsMetadata, clock: Clock
) -> None:
    metadata.lifetime = timedelta(seconds=60)
    async with serve(lambda _: http(etag='"e"')) as stub:
        driver = _driver(stub.endpoint, metadata.environ(source), clock)
        await driver.head("b-1", "k")
        metadata.answer = lambda _: http(500, b"SECRET-SERVICE-TEXT")
        clock.advance(46)
        asked = sum(metadata.asked.values())
        await driver.head("b-1", "k")
        assert _key_of(stub.requests[-1]) == "KEY1"
        tried = sum(metadata.asked.values())
        assert asked < tried <= asked + 3
        await asyncio.gather(*(driver.head("b-1", "k") for _ in range(CALLERS)))  # none asks again at once
        assert sum(metadata.asked.values()) == tried
        clock.advance(15)
        with pytest.raises(StowError) as caught:
            await driver.head("b-1", "k")
        assert "SECRET" not in str(caught.value)
        metadata.answer = None
        clock.advance(1)
        await driver.head("b-1", "k")
        assert _key_of(stub.requests[-1]).startswith("KEY")
        assert _key_of(stub.requests[-1]) != "KEY1"
        await driver.aclose()


@pytest.mark.parametrize("source", SOURCES)
async def test_temporary_keys_bound_a_signed_url_and_are_renewed_once_for_it(
    source: str, metadata: AwsMetadata, clock: Clock
) -> None:
    metadata.lifetime = timedelta(hours=1)
    driver = _driver("http://127.0.0.1:1", metadata.environ(source), clock)
    signed = await driver.sign(_request(clock(), timedelta(hours=6)))
    assert "KEY1" in signed.url
    assert signed.expires_at == clock() + timedelta(hours=1)
    assert metadata.exchanges == 1
    clock.advance(20 * 60)
    longer = await asyncio.gather(*(driver.sign(_request(clock(), timedelta(minutes=50))) for _ in range(CALLERS)))
    assert metadata.exchanges == 2
    assert all("KEY2" in url.url for url in longer)
    # The SDK dates a signature with the system's clock, so the end may come before the one that was asked for, never after it.
    assert all(url.expires_at <= clock() + timedelta(minutes=50) for url in longer)
    await driver.sign(_request(clock(), timedelta(minutes=10)))
    assert metadata.exchanges == 2
    await driver.aclose()


async def test_the_instances_true_end_counts_and_not_the_sdks_longer_one(metadata: AwsMetadata, clock: Clock) -> None:
    metadata.lifetime = timedelta(minutes=3)
    driver = _driver("http://127.0.0.1:1", metadata.environ("imds"), clock)
    signed = await driver.sign(_request(clock(), timedelta(hours=1)))
    assert signed.expires_at == clock() + timedelta(minutes=3)
    await driver.aclose()


ORDER = {
    "environment before web identity": (("keys", "irsa", "pod", "imds"), None),
    "web identity before the container": (("irsa", "pod", "imds"), {"sts"}),
    "the container before the instance": (("pod", "imds"), {"pod"}),
    "the instance last": (("imds",), {"imds-token", "imds-role", "imds-keys"}),
}


def _merged(metadata: AwsMetadata, sources: tuple[str, ...]) -> dict[str, str]:
    static = {"AWS_ACCESS_KEY_ID": "STATIC", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session"}
    merged: dict[str, str] = {}
    for source in sources:
        merged |= static if source == "keys" else metadata.environ(source)
    return merged


@pytest.mark.parametrize("case", ORDER)
async def test_the_first_configured_source_alone_is_asked(case: str, metadata: AwsMetadata, clock: Clock) -> None:
    sources, asked = ORDER[case]
    async with serve(lambda _: http(etag='"e"')) as stub:
        driver = _driver(stub.endpoint, _merged(metadata, sources), clock)
        await driver.head("b-1", "k")
        await driver.aclose()
        assert _key_of(stub.requests[-1]) == ("STATIC" if asked is None else "KEY1")
    assert set(metadata.asked) == (asked or set())


@pytest.mark.parametrize("sources", [("irsa", "pod", "imds"), ("pod", "imds")])
async def test_a_source_that_fails_does_not_hand_over_to_the_next(
    sources: tuple[str, ...], metadata: AwsMetadata, clock: Clock
) -> None:
    metadata.answer = lambda _: http(403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>")
    driver = _driver("http://127.0.0.1:1", _merged(metadata, sources), clock)
    with pytest.raises(CredentialsInvalidError):
        await driver.head("b-1", "k")
    await driver.aclose()
    assert set(metadata.asked) == {"sts" if sources[0] == "irsa" else "pod"}


async def test_keys_of_the_environment_may_have_an_end(clock: Clock) -> None:
    environ = {"AWS_ACCESS_KEY_ID": "STATIC", "AWS_SECRET_ACCESS_KEY": "s"}
    ends = clock() + timedelta(minutes=11)
    environ["AWS_CREDENTIAL_EXPIRATION"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    driver = _driver("http://127.0.0.1:1", environ, clock)
    assert (await driver.sign(_request(clock(), timedelta(hours=1)))).expires_at == ends
    clock.advance(12 * 60)
    with pytest.raises(CredentialsInvalidError, match="expired"):
        await driver.head("b-1", "k")
    await driver.aclose()


async def test_a_disabled_metadata_service_is_not_asked(metadata: AwsMetadata, clock: Clock) -> None:
    driver = _driver("http://127.0.0.1:1", metadata.environ("imds") | {"AWS_EC2_METADATA_DISABLED": "True"}, clock)
    with pytest.raises(CredentialsMissingError):
        await driver.head("b-1", "k")
    await driver.aclose()
    assert not metadata.asked


@pytest.mark.parametrize("status", [403, 404, 405])
async def test_version_1_of_the_metadata_service_is_not_used(status: int, metadata: AwsMetadata, clock: Clock) -> None:
    metadata.answer = lambda seen: http(status) if seen.method == "PUT" else http(body=b"role")
    driver = _driver("http://127.0.0.1:1", metadata.environ("imds"), clock)
    with pytest.raises(CredentialsMissingError):
        await driver.head("b-1", "k")
    await driver.aclose()
    assert set(metadata.asked) == {"imds-token"}


async def test_a_silent_metadata_service_is_left_before_the_request_ends(metadata: AwsMetadata, clock: Clock) -> None:
    metadata.answer = lambda _: b"hang"
    driver = _driver("http://127.0.0.1:1", metadata.environ("imds"), clock, deadlines=QUICK)
    with pytest.raises(CredentialsMissingError):
        await driver.head("b-1", "k")
    await driver.aclose()


PLANTED = "AKIAPLANTED"


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A home with profiles that hold keys, run a program, use single sign-on or another role; the file that the program would make."""
    touched = tmp_path / "touched"
    folder = tmp_path / ".aws"
    folder.mkdir()
    profile = (
        f"credential_process = touch {touched}\naws_access_key_id = {PLANTED}\naws_secret_access_key = planted\n"
        "role_arn = arn:aws:iam::1:role/planted\nsource_profile = default\nsso_session = s\nsso_account_id = 1\n"
    )
    (folder / "config").write_text(
        f"[default]\n{profile}[profile planted]\n{profile}[sso-session s]\nsso_start_url = x\n"
    )
    (folder / "credentials").write_text(f"[default]\n{profile}[planted]\n{profile}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_PROFILE", "planted")
    monkeypatch.setenv("AWS_DEFAULT_PROFILE", "planted")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    yield touched
    assert not touched.exists()


@pytest.mark.parametrize("source", [*SOURCES, "keys", "none"])
async def test_profiles_files_and_programs_are_not_looked_at(
    source: str, planted: Path, metadata: AwsMetadata, clock: Clock
) -> None:
    environ = {} if source == "none" else _merged(metadata, (source,))
    environ |= {
        "AWS_PROFILE": "planted",
        "HOME": str(planted.parent),
        "AWS_CONFIG_FILE": str(planted.parent / ".aws/config"),
    }
    if source == "none":
        environ["AWS_EC2_METADATA_DISABLED"] = "true"
    async with serve(lambda _: http(etag='"e"')) as stub:
        driver = _driver(stub.endpoint, environ, clock)
        if source == "none":
            with pytest.raises(CredentialsMissingError):
                await driver.head("b-1", "k")
        else:
            await driver.head("b-1", "k")
            await driver.container_exists("b-1")
        await driver.aclose()
        assert all(PLANTED not in seen.headers["authorization"] for seen in stub.requests)


@pytest.mark.parametrize("source", SOURCES)
async def test_a_proxy_in_the_environment_gets_no_connection(
    source: str, metadata: AwsMetadata, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(lambda _: http(502)) as proxy, serve(lambda _: http(etag='"e"')) as stub:
        environ = metadata.environ(source)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.endpoint)
            environ[name] = proxy.endpoint
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        driver = _driver(stub.endpoint, environ, clock)
        await driver.head("b-1", "k")
        await driver.container_exists("b-1")
        await driver.aclose()
        assert proxy.connections == 0
    assert metadata.exchanges == 1


@pytest.mark.parametrize("credentials", [KEYS, Anonymous()], ids=["secret", "anonymous"])
async def test_other_locations_never_ask_the_environment(
    credentials: Credentials, planted: Path, metadata: AwsMetadata, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the process's own environment names every source."""
    for name, value in _merged(metadata, ("keys", *SOURCES)).items():
        monkeypatch.setenv(name, value)
    async with serve(lambda _: http(etag='"e"')) as stub:
        config = S3Config(
            credentials, endpoint=stub.endpoint, dialect=Dialect.AWS, egress=DEV_EGRESS, deadlines=PATIENT
        )
        driver = S3Driver(config, clock=clock)
        await driver.head("b-1", "k")
        await driver.container_exists("b-1")
        if isinstance(credentials, StaticCredentials):
            await driver.sign(_request(clock(), timedelta(minutes=1)))
        else:
            with pytest.raises(CredentialsMissingError):
                await driver.sign(_request(clock(), timedelta(minutes=1)))
        await driver.aclose()
        assert {seen.headers.get("authorization", "")[:38] for seen in stub.requests} <= {
            f"AWS4-HMAC-SHA256 Credential={KEYS.access_key_id}/"[:38],
            "",
        }
    assert metadata.stub is not None
    assert metadata.stub.connections == 0
    assert not planted.exists()


async def test_without_a_mapping_the_processs_own_environment_is_read(
    metadata: AwsMetadata, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROMPROCESS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with serve(lambda _: http(etag='"e"')) as stub:
        config = S3Config(Ambient(), endpoint=stub.endpoint, dialect=Dialect.AWS, egress=DEV_EGRESS, deadlines=PATIENT)
        driver = S3Driver(config, clock=clock)
        await driver.head("b-1", "k")
        await driver.aclose()
        assert _key_of(stub.requests[-1]) == "FROMPROCESS"


async def test_the_token_is_read_anew_for_each_exchange(metadata: AwsMetadata, clock: Clock) -> None:
    async with serve(lambda _: http(etag='"e"')) as stub:
        driver = _driver(stub.endpoint, metadata.environ("irsa"), clock)
        await driver.head("b-1", "k")
        metadata.token = "token-canary-2"
        metadata.token_path.write_text(metadata.token)
        clock.advance(3)
        await driver.head("b-1", "k")
        assert metadata.refused == []
        metadata.token_path.unlink()
        clock.advance(3)
        with pytest.raises(CredentialsInvalidError, match="token file"):
            await driver.head("b-1", "k")
        await driver.aclose()


MALFORMED = {
    "no json": b"SECRET-SERVICE-TEXT",
    "no text": b"\xff\xfe\x00",
    "a list": b'["SECRET-SERVICE-TEXT"]',
    "nothing": b"{}",
    "numbers": b'{"AccessKeyId": 1, "SecretAccessKey": 2, "Token": 3, "Expiration": 4}',
    "an end that is none": b'{"AccessKeyId": "a", "SecretAccessKey": "SECRET", "Token": "t", "Expiration": "soon"}',
    "an end that is over": b'{"AccessKeyId": "a", "SecretAccessKey": "SECRET", "Token": "t", "Expiration": "2001-01-01T00:00:00Z"}',
    "deep": b"[" * 5_000,
}


@pytest.mark.parametrize("case", MALFORMED)
@pytest.mark.parametrize("source", SOURCES)
async def test_an_answer_that_makes_no_sense_is_no_key_and_its_text_stays_inside(
    source: str, case: str, metadata: AwsMetadata, clock: Clock
) -> None:
    metadata.answer = lambda _: http(body=MALFORMED[case])
    driver = _driver("http://127.0.0.1:1", metadata.environ(source), clock)
    with pytest.raises(StowError) as caught:
        await driver.head("b-1", "k")
    await driver.aclose()
    assert isinstance(caught.value, CredentialsError) or source == "irsa"
    assert "SECRET" not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize("source", SOURCES)
async def test_a_redirect_of_the_service_is_not_followed(source: str, metadata: AwsMetadata, clock: Clock) -> None:
    async with serve(lambda _: http(500)) as elsewhere:
        metadata.answer = lambda _: http(307, location=elsewhere.endpoint + "/")
        driver = _driver("http://127.0.0.1:1", metadata.environ(source), clock)
        with pytest.raises(StowError):
            await driver.head("b-1", "k")
        await driver.aclose()
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "uri", ["http://198.51.100.7/keys", "http://pod.example/keys", "ftp://127.0.0.1/x", "nonsense"]
)
async def test_a_container_uri_to_another_host_is_refused(uri: str, clock: Clock) -> None:
    driver = _driver("http://127.0.0.1:1", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri}, clock)
    with pytest.raises(StowError):
        await driver.head("b-1", "k")
    await driver.aclose()


async def test_the_relative_uri_of_a_container_is_at_its_metadata_address(clock: Clock) -> None:
    """The policy that denies it refuses it: nothing else was asked."""
    environ = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/x"}
    driver = _driver("http://127.0.0.1:1", environ, clock, egress=EgressPolicy(allowed=LOOPBACK))
    with pytest.raises(EndpointForbiddenError):
        await driver.head("b-1", "k")
    await driver.aclose()


def test_the_chains_policy_opens_the_metadata_addresses_and_nothing_else() -> None:
    opened = ("169.254.169.254", "fd00:ec2::254", "169.254.170.2", "169.254.170.23", "fd00:ec2::23")
    assert all(METADATA_EGRESS.permits(address) for address in opened)
    denied = (
        "127.0.0.1",
        "::1",
        "169.254.169.253",
        "169.254.170.1",
        "168.63.129.16",
        "100.100.100.200",
        "fd00:ec3::254",
    )
    assert [address for address in denied if METADATA_EGRESS.permits(address)] == ["fd00:ec3::254"]
    assert Ambient().egress is METADATA_EGRESS


async def test_the_backends_endpoint_gains_nothing_by_the_chains_policy() -> None:
    for address in ("169.254.169.254", "169.254.170.23", "[fd00:ec2::254]"):
        with pytest.raises(EndpointForbiddenError):
            S3Driver(S3Config(Ambient({}), endpoint=f"http://{address}"), clock=utc_now)


async def test_keys_that_the_backend_calls_ended_are_replaced_once(metadata: AwsMetadata, clock: Clock) -> None:
    """A backend that goes on saying so does not make each request ask for new ones."""
    metadata.lifetime = timedelta(hours=1)
    ended = {"KEY1"}

    def answer(seen: Seen) -> bytes:
        return error(400, "ExpiredToken") if _key_of(seen) in ended else http(etag='"e"', body=b"data")

    async with serve(answer) as stub:
        driver = _driver(stub.endpoint, metadata.environ("irsa"), clock)
        assert await content(driver, "b-1", "k") == b"data"
        assert metadata.exchanges == 2
        ended |= {"KEY2", "KEY3", "KEY4"}
        for _ in range(5):
            with pytest.raises(CredentialsInvalidError):
                await content(driver, "b-1", "k")
        assert metadata.exchanges == 2
        clock.advance(61)
        with pytest.raises(CredentialsInvalidError):
            await content(driver, "b-1", "k")
        assert metadata.exchanges == 3
        await driver.aclose()


@pytest.mark.parametrize("outage", [http(500), http(503), b"close"])
async def test_an_instance_that_gave_keys_once_is_out_of_order_and_not_without_any(
    outage: bytes, metadata: AwsMetadata, clock: Clock
) -> None:
    metadata.lifetime = timedelta(minutes=5)
    async with serve(lambda _: http(etag='"e"')) as stub:
        driver = _driver(stub.endpoint, metadata.environ("imds"), clock)
        await driver.head("b-1", "k")
        metadata.answer = lambda _: outage
        clock.advance(301)
        with pytest.raises(BackendError) as caught:
            await driver.head("b-1", "k")
        assert caught.value.retryable
        await driver.aclose()


async def test_a_container_call_with_keys_that_ended_goes_out_again_with_others(
    metadata: AwsMetadata, clock: Clock
) -> None:
    metadata.lifetime = timedelta(hours=1)
    tagged = b"<Tagging><TagSet/></Tagging>"

    def answer(seen: Seen) -> bytes:
        return error(400, "ExpiredToken") if _key_of(seen) == "KEY1" else http(body=tagged)

    async with serve(answer) as stub:
        driver = _driver(stub.endpoint, metadata.environ("irsa"), clock)
        assert await driver.read_marker("b-1") is None
        await driver.aclose()
    assert [_key_of(seen) for seen in stub.requests] == ["KEY1", "KEY2"]
    assert metadata.exchanges == 2


async def test_a_head_without_a_code_may_have_met_keys_that_ended(metadata: AwsMetadata, clock: Clock) -> None:
    """Where they had not, a minute passes before others are asked for again."""
    metadata.lifetime = timedelta(hours=1)
    async with serve(lambda seen: http(400) if _key_of(seen) == "KEY1" else http(etag='"e"')) as stub:
        driver = _driver(stub.endpoint, metadata.environ("irsa"), clock)
        assert (await driver.head("b-1", "k")).exists
        assert await driver.container_exists("b-1")
        await driver.aclose()
    assert [_key_of(seen) for seen in stub.requests] == ["KEY1", "KEY2", "KEY2"]
    async with serve(lambda _: http(400)) as stub:
        driver = _driver(stub.endpoint, metadata.environ("irsa"), clock)
        before = metadata.exchanges
        for _ in range(5):
            with pytest.raises(BackendError):
                await driver.head("b-1", "k")
        await driver.aclose()
    assert metadata.exchanges == before + 2


async def test_a_stream_that_met_ended_keys_leaves_others_to_the_next(metadata: AwsMetadata, clock: Clock) -> None:
    """It cannot go out again itself; without asking for others the next one would end the same way."""
    metadata.lifetime = timedelta(hours=1)
    data = b"x" * MIB

    def answer(seen: Seen) -> bytes:
        return error(400, "ExpiredToken") if _key_of(seen) == "KEY1" else http(etag='"e"')

    async def write(driver: S3Driver) -> None:
        await driver.write("b-1", "k", body(data), size_bytes=len(data), options=WriteOptions())

    async with serve(answer) as stub:
        driver = _driver(stub.endpoint, metadata.environ("irsa"), clock)
        with pytest.raises(CredentialsInvalidError):
            await write(driver)
        await write(driver)
        await driver.aclose()
    assert [_key_of(seen) for seen in stub.requests] == ["KEY1", "KEY2"]


async def test_closing_while_keys_are_fetched_leaves_no_thread_and_no_connection(
    metadata: AwsMetadata, clock: Clock
) -> None:
    metadata.answer = lambda _: b"hang"
    driver = _driver("http://127.0.0.1:1", metadata.environ("pod"), clock)
    call = asyncio.create_task(driver.head("b-1", "k"))
    assert metadata.stub is not None
    await metadata.stub.begun.get()
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("stow-s3-keys")]
    assert threads
    call.cancel()
    await driver.aclose()
    assert await metadata.stub.gone.get() == "answer"
    with pytest.raises(asyncio.CancelledError):
        await call
    for thread in threads:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()


async def test_secrets_of_the_environment_show_in_no_repr(metadata: AwsMetadata) -> None:
    environ = _merged(metadata, ("keys", *SOURCES)) | {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "token-canary"}
    shown = repr(S3Config(Ambient(environ), endpoint="http://s3.example"))
    assert "canary" not in shown
    assert "AWS_" not in shown


async def test_a_driver_for_a_real_server_still_takes_static_keys(minio: MinioServer) -> None:
    driver = server_driver(minio, dialect=Dialect.MINIO)
    await driver.probe(None)
    await driver.aclose()
