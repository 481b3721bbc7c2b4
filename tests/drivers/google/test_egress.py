"""Where connections may go: by address, at every connect, for objects, the SDKs, tokens and signatures alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import pytest

from conformance.google_kind import service_key
from drivers.google.setup import DEV_EGRESS, answer, body, path, stub_driver
from servers.google_identity import make_account
from servers.stub import Seen, Stub, serve
from stow.drivers.google.config import Anonymous, GoogleConfig
from stow.drivers.google.driver import GoogleDriver
from stow.drivers.google.endpoint import DEFAULT_ENDPOINT, Endpoint
from stow.errors import BackendUnreachableError, EndpointForbiddenError, InvalidSpecError
from stow.storage.clock import utc_now
from stow.storage.driver import SignRequest
from stow.storage.model import ContainerEntry, Method, Origin, WriteOptions
from stow.transport.connections import Outside

ENTRY = ContainerEntry("b-1", "gs://b-1", Origin.BASE, utc_now(), uid="u")
Call = Callable[[GoogleDriver], Awaitable[object]]


def signing() -> SignRequest:
    now = utc_now()
    return SignRequest("b-1", "k", Method.GET, signed_at=now, expires_at=now + timedelta(minutes=1), entry=ENTRY)


class Rebinding:
    """Each of these names resolves to loopback, which is allowed; after ``turn`` they are the metadata service."""

    def __init__(self) -> None:
        self.turned: set[str] = set()
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return ["169.254.169.254"] if host in self.turned else ["127.0.0.1"]


class Hasty:
    """A clock that has gone on by seconds whenever it is asked."""

    def __init__(self) -> None:
        self.now = utc_now() - timedelta(hours=1)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=6)
        return self.now


def driver_of(stub: Stub, resolve: Rebinding) -> GoogleDriver:
    def at(name: str) -> str:
        return stub.endpoint.replace("127.0.0.1", name)

    return stub_driver(
        at("storage.example"),
        credentials=service_key(make_account("stow")),
        token_uri=f"{at('token.example')}/token",
        iam_endpoint=at("iam.example"),
        signer_service_account="signer@p.iam.gserviceaccount.com",
        egress=DEV_EGRESS,
        clock=Hasty(),
        outside=Outside(resolve=resolve, jitter=lambda: 0.0),
    )


def reply(seen: Seen) -> bytes:
    """Each connection is used once, so that each request connects; tokens have ended when the next request needs one."""
    if path(seen) == "/token":
        return answer({"access_token": "t", "expires_in": 0, "token_type": "Bearer"}, connection="close")
    return answer({"signedBlob": "c2lnbmVk"}, connection="close", x_goog_generation="7")


@pytest.mark.parametrize(
    ("turned", "call"),
    [
        ("storage.example", lambda driver: driver.head("b-1", "k")),
        ("storage.example", lambda driver: driver.container_exists("b-1")),
        ("storage.example", lambda driver: driver.list("b-1", prefix="", delimiter=None, limit=1, token=None)),
        ("storage.example", lambda driver: driver.write("b-1", "k", body(b"x"), size_bytes=1, options=WriteOptions())),
        ("token.example", lambda driver: driver.head("b-1", "k")),
        ("token.example", lambda driver: driver.container_exists("b-1")),
        ("token.example", lambda driver: driver.sign(signing())),
        ("iam.example", lambda driver: driver.sign(signing())),
    ],
)
async def test_a_name_that_turns_to_a_denied_address_opens_no_socket(turned: str, call: Call) -> None:
    async with serve(reply) as stub:
        resolve = Rebinding()
        driver = driver_of(stub, resolve)
        assert await driver.container_exists("b-1")
        await driver.sign(signing())
        assert set(resolve.asked) == {"storage.example", "token.example", "iam.example"}
        before = stub.connections
        tokens = 0 if turned == "token.example" else 1
        resolve.turned.add(turned)
        with pytest.raises(EndpointForbiddenError):
            await call(driver)
        assert stub.connections <= before + tokens
        await driver.aclose()


@pytest.mark.parametrize("host", ["127.1", "2130706433", "[::1]", "169.254.169.254", "0x7f000001"])
def test_an_endpoint_that_is_a_denied_address_makes_no_driver(host: str) -> None:
    with pytest.raises(EndpointForbiddenError):
        GoogleDriver(GoogleConfig(Anonymous(), endpoint=f"http://{host}:4443"), clock=utc_now)


async def test_a_token_service_at_a_denied_address_is_not_asked() -> None:
    async with serve(reply) as stub:
        config = GoogleConfig(
            service_key(make_account("stow")), endpoint="http://storage.example", token_uri=f"{stub.endpoint}/token"
        )
        driver = GoogleDriver(config, clock=utc_now)
        for call in (driver.head("b-1", "k"), driver.container_exists("b-1")):
            with pytest.raises(EndpointForbiddenError):
                await call
        await driver.aclose()
    assert stub.connections == 0


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    async def nothing(_: str, __: int) -> Sequence[str]:
        raise OSError("SECRET resolver text")

    driver = stub_driver("http://missing.example", outside=Outside(resolve=nothing, jitter=lambda: 0.0))
    for call in (driver.head("b-1", "k"), driver.container_exists("b-1")):
        with pytest.raises(BackendUnreachableError) as caught:
            await call
        assert "SECRET" not in str(caught.value)
        assert "missing.example" not in str(caught.value)
    await driver.aclose()


@pytest.mark.parametrize(
    ("endpoint", "identity"),
    [
        (None, "gs://storage.googleapis.com"),
        (DEFAULT_ENDPOINT, "gs://storage.googleapis.com"),
        ("https://storage.googleapis.com:443/", "gs://storage.googleapis.com"),
        ("https://STORAGE.googleapis.com.", "gs://storage.googleapis.com"),
        ("https://www.googleapis.com", "gs://storage.googleapis.com"),
        ("https://private.googleapis.com:8443", "gs://storage.googleapis.com"),
        ("https://storage.me-central2.rep.googleapis.com", "gs://storage.googleapis.com"),
        ("https://storage-team.p.googleapis.com", "gs://storage.googleapis.com"),
        ("https://storage.notgoogleapis.com", "gs://storage.notgoogleapis.com"),
        ("https://Storage.example.:443", "gs://storage.example"),
        ("http://[2001:DB8::1]:4443", "gs://[2001:db8::1]:4443"),
        ("https://Storage.example:8443", "gs://storage.example:8443"),
        ("http://storage.example", "gs://storage.example"),
    ],
)
def test_the_identity_is_the_endpoints_host(endpoint: str | None, identity: str) -> None:
    assert Endpoint.of(endpoint).identity == identity


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "storage.example",
        "ftp://x",
        "https://",
        "https://a@b",
        "https://x/path",
        "https://x?q=1",
        "https://x#f",
        "https://x:0x",
        "http://[",
    ],
)
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidSpecError):
        Endpoint.of(endpoint)
