"""S3 and Oracle: MinIO, and a stand-in of STS."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from connections.rows import DEADLINES, Act, Clock, Door, Opened, Opener, Row, address_of, exists, head, sign
from stow.storage.clock import utc_now
from stow.storage.driver import Driver
from stow.storage.egress import LOOPBACK, EgressPolicy

if TYPE_CHECKING:
    from servers.aws_metadata import AwsMetadata
    from servers.minio import MinioServer
    from stow.drivers.s3.config import S3Config


def _s3(act: Act, *, oracle: bool = False) -> Callable[..., Opener]:
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
            yield Opened(address_of(server.endpoint), driver, act, Clock())

        return opened

    return open_


def _s3_ambient(act: Act) -> Callable[..., Opener]:
    """With keys of a web identity, STS behind the front; S3 is connected to without one."""

    def open_(request: pytest.FixtureRequest, folder: Path) -> Opener:
        server: MinioServer = request.getfixturevalue("minio")
        clock = Clock()

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

        @contextlib.asynccontextmanager
        async def opened() -> AsyncIterator[Opened]:
            from servers.aws_metadata import aws_metadata

            def grant() -> tuple[str, str, str]:
                return server.access_key, server.secret_key, ""

            async with aws_metadata(folder, clock=clock, grant=grant) as metadata:
                metadata.lifetime = timedelta(seconds=20)
                yield Opened(
                    address_of(metadata.endpoint),
                    lambda door: driver(metadata, door),
                    act,
                    clock,
                    timedelta(seconds=30),
                )

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
