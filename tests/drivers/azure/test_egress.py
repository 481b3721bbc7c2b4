"""Where connections may go: by address, at every connect, for objects, containers, tokens and delegation keys alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import pytest

from drivers.azure.setup import DEV_EGRESS, KEY, QUICK, body, to_sign
from servers.entra import CLIENT, REBINDING, SECRET, TENANT, Entra
from servers.stub import Seen, http, serve
from stow.drivers.azure.config import AzureConfig, Credentials, ServicePrincipal
from stow.drivers.azure.driver import AzureDriver
from stow.errors import EndpointForbiddenError
from stow.storage.clock import utc_now
from stow.storage.model import Method, WriteOptions
from stow.transport.connections import Outside

PAGE = b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>"
PRINCIPAL = ServicePrincipal(TENANT, CLIENT, SECRET)


class Rebinding:
    """Resolves to loopback ``allowed`` times, which the policy allows, and afterwards to the metadata service."""

    def __init__(self, allowed: int) -> None:
        self.left = allowed

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.left -= 1
        return ["127.0.0.1" if self.left >= 0 else "169.254.169.254"]


class Clock:
    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


def answer(seen: Seen) -> bytes:
    """Closes each connection, so that the next request connects again."""
    body = PAGE if "comp=list" in seen.target else b""
    return http(201 if seen.method == "PUT" else 200, body, etag='"0x1"', connection="close")


def named(endpoint: str) -> str:
    return endpoint.replace("127.0.0.1", REBINDING)


def driver_on(
    endpoint: str,
    resolve: Rebinding,
    *,
    credentials: Credentials = KEY,
    entra: Entra | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> AzureDriver:
    config = AzureConfig(
        "acct",
        credentials,
        endpoint=f"{named(endpoint)}/acct",
        authority=named(entra.authority) if entra is not None else "https://authority.example",
        egress=DEV_EGRESS,
        deadlines=QUICK,
        ssl_context=entra.trust if entra is not None else None,
    )
    return AzureDriver(config, clock=clock, outside=Outside(resolve=resolve))


CALLS: dict[str, Callable[[AzureDriver], Awaitable[object]]] = {
    "head": lambda d: d.head("box", "k"),
    "read": lambda d: d.read("box", "k", None),
    "write": lambda d: d.write("box", "k", body(b"x"), size_bytes=1, options=WriteOptions()),
    "list": lambda d: d.list("box", prefix="", delimiter=None, limit=1, token=None),
    "exists": lambda d: d.container_exists("box"),
    "create": lambda d: d.create_container("box", None),
    "marker": lambda d: d.read_marker("box"),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_name_that_turns_to_a_denied_address_opens_no_socket(call: str) -> None:
    async with serve(answer) as stub:
        driver = driver_on(stub.endpoint, Rebinding(1))
        await driver.list("box", prefix="", delimiter=None, limit=1, token=None)
        with pytest.raises(EndpointForbiddenError) as raised:
            await CALLS[call](driver)
        await driver.aclose()
        assert stub.connections == 1
    assert REBINDING not in repr(raised.value)


async def test_a_delegation_key_is_not_fetched_from_a_denied_address(entra: Entra) -> None:
    async with serve(answer, tls=entra.tls) as stub:
        driver = driver_on(stub.endpoint, Rebinding(2), credentials=PRINCIPAL, entra=entra)
        await driver.list("box", prefix="", delimiter=None, limit=1, token=None)
        with pytest.raises(EndpointForbiddenError):
            await driver.sign(to_sign("box", "k", Method.GET))
        await driver.aclose()
        assert stub.connections == 1


async def test_a_token_is_not_renewed_at_a_denied_address(entra: Entra) -> None:
    clock = Clock()
    entra.answer = lambda _: http(
        200, b'{"token_type": "Bearer", "access_token": "t", "expires_in": 3600}', content_type="application/json",
        connection="close",
    )  # fmt: skip
    async with serve(answer, tls=entra.tls) as stub:
        driver = driver_on(stub.endpoint, Rebinding(2), credentials=PRINCIPAL, entra=entra, clock=clock)
        await driver.list("box", prefix="", delimiter=None, limit=1, token=None)
        clock.ahead = timedelta(hours=2)
        with pytest.raises(EndpointForbiddenError):
            await driver.list("box", prefix="", delimiter=None, limit=1, token=None)
        await driver.aclose()
        assert stub.connections == 1
    assert entra.asked.total() == 1


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "[::1]", "169.254.169.254"])
def test_an_endpoint_that_is_a_denied_address_makes_no_driver(host: str) -> None:
    with pytest.raises(EndpointForbiddenError):
        AzureDriver(AzureConfig("acct", KEY, endpoint=f"http://{host}:9000/acct"), clock=utc_now)
    with pytest.raises(EndpointForbiddenError):
        AzureDriver(AzureConfig("acct", PRINCIPAL, authority=f"https://{host}"), clock=utc_now)
