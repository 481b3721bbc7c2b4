"""Where connections may go: by address, at every connect, for objects and for the SDK alike."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from drivers.s3.setup import KEYS, PATIENT, body
from servers.stub import http, serve
from stow.drivers.s3.config import Dialect, S3Config
from stow.drivers.s3.driver import S3Driver
from stow.errors import BackendUnreachableError, EndpointForbiddenError
from stow.storage.clock import utc_now
from stow.storage.egress import LOOPBACK, EgressPolicy, EgressResolver
from stow.storage.model import WriteOptions
from stow.transport.connections import Outside

DENIED = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "fd20:ce::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:a9fe:a9fe::1",
    "::127.0.0.1",
    "no address",
]
ALLOWED = ["10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "fd00::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", DENIED)
def test_a_denied_address_is_denied_in_every_form(address: str) -> None:
    assert not EgressPolicy().permits(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_other_addresses_are_allowed(address: str) -> None:
    assert EgressPolicy().permits(address)


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "169.254.43518", "127.0.0.1"]
)
def test_an_endpoint_that_is_a_denied_address_makes_no_driver(host: str) -> None:
    with pytest.raises(EndpointForbiddenError):
        S3Driver(S3Config(KEYS, endpoint=f"http://{host}:9000"), clock=utc_now)


def test_more_addresses_can_be_denied_and_loopback_opened() -> None:
    policy = EgressPolicy().denying(["10.96.0.1", "fd00:1::/64"])
    assert not policy.permits("10.96.0.1")
    assert not policy.permits("fd00:1::5")
    assert not policy.permits("::ffff:10.96.0.1")
    assert policy.permits("10.96.0.2")
    assert EgressPolicy(allowed=LOOPBACK).permits("127.0.0.1")
    assert not EgressPolicy(allowed=LOOPBACK).permits("169.254.169.254")


async def test_one_denied_address_among_several_refuses_the_name() -> None:
    async def both(_: str, __: int) -> Sequence[str]:
        return ["192.0.2.1", "169.254.169.254"]

    with pytest.raises(EndpointForbiddenError) as caught:
        await EgressResolver(EgressPolicy(), resolve=both).resolve("evil.example", 80)
    assert "evil" not in str(caught.value)
    assert "169" not in str(caught.value)


class Rebinding:
    """Resolves to loopback, which this policy allows, and afterwards to the metadata service."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return [self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]]


def _driver(endpoint: str, resolve: Rebinding) -> S3Driver:
    config = S3Config(
        KEYS,
        endpoint=endpoint.replace("127.0.0.1", "rebinding.example"),
        dialect=Dialect.AWS,
        egress=EgressPolicy(allowed=LOOPBACK),
        deadlines=PATIENT,
    )
    return S3Driver(config, clock=utc_now, outside=Outside(resolve=resolve))


@pytest.mark.parametrize("operation", ["object", "container", "write"])
async def test_a_name_that_turns_to_a_denied_address_opens_no_socket(operation: str) -> None:
    async with serve(lambda _: http(200, etag='"e"', connection="close")) as stub:  # so that each call connects
        resolve = Rebinding("127.0.0.1", "169.254.169.254")
        driver = _driver(stub.endpoint, resolve)
        assert await driver.container_exists("b-1")
        before = stub.connections
        with pytest.raises(EndpointForbiddenError):
            await _call(driver, operation)
        assert stub.connections == before
        assert resolve.asked == 2
        await driver.aclose()


async def _call(driver: S3Driver, operation: str) -> None:
    if operation == "object":
        await driver.head("b-1", "k")
    elif operation == "container":
        await driver.container_exists("b-1")
    else:
        await driver.write("b-1", "k", body(b"x"), size_bytes=1, options=WriteOptions())


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    async def nothing(_: str, __: int) -> Sequence[str]:
        raise OSError("SECRET resolver text")

    config = S3Config(KEYS, endpoint="http://missing.example", deadlines=PATIENT)
    driver = S3Driver(config, clock=utc_now, outside=Outside(resolve=nothing, jitter=lambda: 0.0))
    for call in (lambda: driver.head("b-1", "k"), lambda: driver.container_exists("b-1")):
        with pytest.raises(BackendUnreachableError) as caught:
            await call()
        assert "SECRET" not in str(caught.value)
        assert "missing.example" not in str(caught.value)
    await driver.aclose()
