"""What the tests of the S3 driver are made with: drivers, bodies, counters."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable

import aiohttp

from servers.minio import MinioServer
from servers.moto import MotoServer
from stow.drivers.s3.config import Credentials, Dialect, Multipart, S3Config, StaticCredentials
from stow.drivers.s3.driver import S3Driver
from stow.errors import StowError
from stow.storage.budget import ByteBudget
from stow.storage.clock import utc_now
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.model import MIB, ByteRange, Method
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines

DEV_EGRESS = EgressPolicy(allowed=LOOPBACK)
SMALL_PARTS = Multipart(
    threshold_bytes=11 * MIB,
    first_part_bytes=5 * MIB,
    streamed_part_bytes=5 * MIB,
    concurrency=2,
    copy_part_bytes=5 * MIB,
)
"""5 MiB is the smallest part that S3 takes."""
QUICK = Deadlines(connect_s=2, idle_s=0.3, request_s=1, abort_s=1)
"""Where something is to run out."""
PATIENT = Deadlines(connect_s=10, idle_s=20, request_s=20, abort_s=10)
"""Where nothing is: the first use of the SDK alone may take a second on a busy machine."""
KEYS = StaticCredentials("AKIDEXAMPLE", "secret-key-canary")


class Counter:
    """Counts the requests that really go out."""

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.queries: list[str] = []
        self.trace = aiohttp.TraceConfig()
        self.trace.on_request_start.append(self._count)

    async def _count(self, _: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
        self.methods.append(params.method)
        self.queries.append(params.url.query_string.rstrip("="))


def stub_driver(
    endpoint: str,
    *,
    deadlines: Deadlines = PATIENT,
    multipart: Multipart | None = None,
    credentials: Credentials = KEYS,
    dialect: Dialect = Dialect.AWS,
    budget: ByteBudget | None = None,
) -> S3Driver:
    """For a stub: no jitter."""
    config = S3Config(
        credentials,
        endpoint=endpoint,
        dialect=dialect,
        egress=DEV_EGRESS,
        deadlines=deadlines,
        multipart=multipart if multipart is not None else Multipart(),
    )
    return S3Driver(
        config, clock=utc_now, budget=budget, outside=Outside(jitter=lambda: 0.0), new_nonce=lambda: "nonce-1"
    )


def server_driver(
    server: MinioServer | MotoServer,
    *,
    dialect: Dialect,
    multipart: Multipart = SMALL_PARTS,
    presign_endpoint: str | None = None,
    counter: Counter | None = None,
    budget: ByteBudget | None = None,
) -> S3Driver:
    """For a real server."""
    config = S3Config(
        StaticCredentials(server.access_key, server.secret_key),
        endpoint=server.endpoint,
        dialect=dialect,
        egress=DEV_EGRESS,
        multipart=multipart,
        presign_endpoint=presign_endpoint,
    )
    traces = [] if counter is None else [counter.trace]
    return S3Driver(config, clock=utc_now, budget=budget, outside=Outside(trace_configs=traces))


async def body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def failing(chunks: Iterable[bytes], failure: Exception) -> AsyncIterator[bytes]:
    """A body that must not come to be: it raises where its end would be."""
    for chunk in chunks:
        yield chunk
    raise failure


async def content(driver: S3Driver, bucket: str, key: str, byte_range: ByteRange | None = None) -> bytes:
    async with await driver.read(bucket, key, byte_range) as stream:
        return b"".join([chunk async for chunk in stream])


async def drop(driver: S3Driver, bucket: str) -> None:
    """Remove a bucket and all in it."""
    with contextlib.suppress(StowError):
        token: str | None = ""
        while token is not None:
            page = await driver.list(bucket, prefix="", delimiter=None, limit=1000, token=token or None)
            for found in page.objects:
                await driver.delete(bucket, found.key, if_match=None)
            token = page.token
        await driver.delete_container(bucket)


ALL_METHODS: tuple[Method, ...] = tuple(Method)
Unique = Callable[[str], str]
