"""The rows of both tables: for each kind and class of call, the server that is connected to, a driver that goes there, and the call.

To add a kind: a function that gives its :class:`Opened` for one class of call, and its lines in ``ROWS``. SDKs and drivers are imported
where a row is opened.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import pytest

from stow.errors import NotFoundError
from stow.storage.clock import utc_now
from stow.storage.driver import Driver, SignRequest
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.model import ContainerEntry, Method, Origin
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines

if TYPE_CHECKING:
    from servers.aws_metadata import AwsMetadata
    from servers.minio import MinioServer
    from stow.drivers.s3.config import S3Config

DEADLINES: Final = Deadlines(connect_s=5, idle_s=5, request_s=5, abort_s=5)


@dataclass(frozen=True, slots=True)
class Door:
    """How the driver goes out. ``url`` is the front before the row's server: ``scheme://host:port``."""

    url: str
    outside: Outside
    ssl_context: ssl.SSLContext | None = None
    egress: EgressPolicy = field(default_factory=lambda: EgressPolicy(allowed=LOOPBACK))


@dataclass(frozen=True, slots=True)
class Opened:
    """``address`` is the real server's; ``act`` makes the call with a driver; ``later`` lets the time pass that makes it ask again."""

    address: tuple[str, int]
    driver: Callable[[Door], Driver]
    act: Callable[[Driver], Awaitable[None]]
    later: Callable[[], None] = lambda: None


Opener = Callable[[], AbstractAsyncContextManager[Opened]]


@dataclass(frozen=True, slots=True)
class Row:
    """``connects``: whether the call sends anything at all."""

    kind: str
    call: str
    open: Callable[[pytest.FixtureRequest, Path], Opener]
    connects: bool = True

    def __str__(self) -> str:
        return f"{self.kind}-{self.call}"


async def head(driver: Driver) -> None:
    with contextlib.suppress(NotFoundError):
        await driver.head("stow-connections", "k")


async def exists(driver: Driver) -> None:
    await driver.container_exists("stow-connections")


async def sign(driver: Driver) -> None:
    now = utc_now()
    entry = ContainerEntry("stow-connections", "x://stow-connections", Origin.BASE, now, "uid")
    await driver.sign(SignRequest("stow-connections", "k", Method.GET, now, now + timedelta(minutes=5), entry))


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


# S3 and Oracle


def _s3(act: Callable[[Driver], Awaitable[None]], *, oracle: bool = False) -> Callable[..., Opener]:
    """With keys of a Secret, the server itself behind the front."""

    def config(server: MinioServer, door: Door) -> S3Config:
        from stow.drivers.s3.config import Dialect, S3Config, StaticCredentials
        from stow.drivers.s3.oracle import oracle_config

        keys = StaticCredentials(server.access_key, server.secret_key)
        if oracle:
            return oracle_config(
                namespace="mytenancy",
                region=server.region,
                endpoint=door.url,
                credentials=keys,
                presign_endpoint=None,
                egress=door.egress,
                ssl_context=door.ssl_context,
            )
        return S3Config(
            keys,
            endpoint=door.url,
            dialect=Dialect.MINIO,
            egress=door.egress,
            deadlines=DEADLINES,
            ssl_context=door.ssl_context,
        )

    def open_(request: pytest.FixtureRequest, _: Path) -> Opener:
        server: MinioServer = request.getfixturevalue("minio")

        def driver(door: Door) -> Driver:
            from stow.drivers.s3.driver import S3Driver

            return S3Driver(config(server, door), clock=utc_now, outside=door.outside)

        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[Opened]:
            yield Opened(address_of(server.endpoint), driver, act)

        return opened

    return open_


class _Clock:
    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


def _s3_ambient(act: Callable[[Driver], Awaitable[None]]) -> Callable[..., Opener]:
    """With keys of a web identity, STS behind the front; S3 is connected to without one."""

    def open_(request: pytest.FixtureRequest, folder: Path) -> Opener:
        server: MinioServer = request.getfixturevalue("minio")
        clock = _Clock()

        def driver(metadata: AwsMetadata, door: Door) -> Driver:
            from stow.drivers.s3.config import Ambient, Dialect, S3Config
            from stow.drivers.s3.driver import S3Driver

            environ = metadata.environ("irsa") | {"AWS_ENDPOINT_URL_STS": door.url}
            config = S3Config(
                Ambient(environ, egress=door.egress),
                endpoint=server.endpoint,
                dialect=Dialect.MINIO,
                egress=EgressPolicy(allowed=LOOPBACK),
                deadlines=DEADLINES,
                ssl_context=door.ssl_context,
            )
            return S3Driver(config, clock=clock, outside=door.outside)

        def later() -> None:
            clock.ahead += timedelta(seconds=30)

        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[Opened]:
            from servers.aws_metadata import aws_metadata

            def grant() -> tuple[str, str, str]:
                return server.access_key, server.secret_key, ""

            async with aws_metadata(folder, clock=clock, grant=grant) as metadata:
                metadata.lifetime = timedelta(seconds=20)
                yield Opened(address_of(metadata.endpoint), lambda door: driver(metadata, door), act, later)

        return opened

    return open_


ROWS: Final = (
    Row("s3", "object", _s3(head)),
    Row("s3", "lifecycle", _s3(exists)),
    Row("s3", "token", _s3_ambient(exists)),
    Row("s3", "sign", _s3_ambient(sign)),
    Row("s3", "sign-with-static-keys", _s3(sign), connects=False),
    Row("oracle", "object", _s3(head, oracle=True)),
    Row("oracle", "lifecycle", _s3(exists, oracle=True)),
    Row("oracle", "sign", _s3(sign, oracle=True), connects=False),
)
