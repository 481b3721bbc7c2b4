"""What the tests of the Azure driver are made with: drivers, bodies, counters."""

from __future__ import annotations

import base64
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
from yarl import URL

from servers.azurite import AzuriteServer
from servers.entra import Entra
from servers.stub import Answer, serve
from stow.drivers.azure.config import AzureConfig, Blocks, Credentials, SharedKey
from stow.drivers.azure.driver import AzureDriver
from stow.errors import StowError
from stow.storage.budget import ByteBudget
from stow.storage.clock import utc_now
from stow.storage.driver import SignRequest
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.model import MIB, ByteRange, ContainerEntry, Method, Origin
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines

DEV_EGRESS = EgressPolicy(allowed=LOOPBACK)
QUICK = Deadlines(connect_s=2, idle_s=0.3, request_s=1, abort_s=1)
SMALL = Blocks(
    single_bytes=4 * MIB, first_block_bytes=MIB, streamed_block_bytes=MIB, copy_block_bytes=MIB, concurrency=2
)
KEY = SharedKey(base64.b64encode(b"key-canary" * 6).decode())


class Counter:
    """Notes the requests that really go out: method, path and query."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str]] = []
        self.trace = aiohttp.TraceConfig()
        self.trace.on_request_start.append(self._count)

    async def _count(self, _: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
        self.requests.append((params.method, params.url.raw_path, params.url.raw_query_string))

    @property
    def methods(self) -> list[str]:
        return [method for method, _, _ in self.requests]


def driver_of(
    server: AzuriteServer,
    *,
    credentials: Credentials | None = None,
    counter: Counter | None = None,
    entra: Entra | None = None,
    trust: ssl.SSLContext | None = None,
    budget: ByteBudget | None = None,
    **settings: Any,
) -> AzureDriver:
    """For a real server; with ``entra`` its tokens come from there."""
    given: dict[str, Any] = {"endpoint": server.endpoint, "egress": DEV_EGRESS, "blocks": SMALL, **settings}
    if entra is not None:
        given["authority"] = entra.authority
    config = AzureConfig(server.account, credentials or SharedKey(server.key), ssl_context=trust, **given)
    traces = [] if counter is None else [counter.trace]
    outside = Outside(trace_configs=traces, jitter=lambda: 0.0)
    return AzureDriver(config, clock=utc_now, budget=budget, outside=outside)


def stub_driver(
    endpoint: str, *, credentials: Credentials = KEY, blocks: Blocks = SMALL, deadlines: Deadlines = QUICK
) -> AzureDriver:
    """For a stub: short deadlines, no jitter, one nonce."""
    config = AzureConfig("acct", credentials, endpoint=endpoint, egress=DEV_EGRESS, deadlines=deadlines, blocks=blocks)
    return AzureDriver(config, clock=utc_now, outside=Outside(jitter=lambda: 0.0), new_nonce=lambda: "nonce-1")


def trust_of(server: AzuriteServer, entra: Entra) -> ssl.SSLContext:
    """Both authorities of a test."""
    context = ssl.create_default_context(cafile=str(server.ca_path))
    context.load_verify_locations(cafile=str(entra.ca_path))
    return context


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def content(driver: AzureDriver, container: str, key: str, byte_range: ByteRange | None = None) -> bytes:
    async with await driver.read(container, key, byte_range) as stream:
        return b"".join([chunk async for chunk in stream])


async def drop(driver: AzureDriver, container: str) -> None:
    """Remove a container and all in it."""
    with contextlib.suppress(StowError):
        for found in (await driver.list(container, prefix="", delimiter=None, limit=1000, token=None)).objects:
            await driver.delete(container, found.key, if_match=None)
        await driver.delete_container(container)


def to_sign(container: str, key: str, method: Method = Method.GET, *, lives_s: float = 300, **more: Any) -> SignRequest:
    now = utc_now()
    entry = ContainerEntry(container, f"abfs://{container}", Origin.BASE, now, "uid")
    return SignRequest(container, key, method, now, now + timedelta(seconds=lives_s), entry, **more)


async def use(
    method: str,
    url: str,
    *,
    trust: ssl.SSLContext | None = None,
    headers: dict[str, str] | None = None,
    data: bytes | None = None,
) -> tuple[int, bytes, dict[str, str]]:
    """A plain client: status, body and headers."""
    async with (
        aiohttp.ClientSession(skip_auto_headers=("Content-Type",), auto_decompress=False) as session,
        session.request(method, URL(url, encoded=True), headers=headers, data=data, ssl=trust or True) as answer,
    ):
        return answer.status, await answer.read(), {name.lower(): value for name, value in answer.headers.items()}


@contextlib.asynccontextmanager
async def serve_tls(entra: Entra, answer: Answer) -> AsyncIterator[str]:
    """A stub with a certificate of the token endpoint's authority; gives its endpoint."""
    async with serve(answer, tls=entra.tls) as stub:
        yield stub.endpoint
