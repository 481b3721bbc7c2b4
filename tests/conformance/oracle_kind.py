"""The kind `oracle` over MinIO: the driver with Oracle's row of capabilities, key rules, references and configuration.

Proven on an emulator only: nothing here speaks to Oracle's service, which refuses what MinIO takes (framed bodies) and has no server to
run here. What MinIO cannot hold although Oracle documents it is a shortfall.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from conformance.world import Honour, Kind
from servers.minio import MinioServer
from stow.drivers.s3.config import Multipart, StaticCredentials
from stow.drivers.s3.driver import S3Driver
from stow.drivers.s3.oracle import oracle_config
from stow.storage.clock import utc_now
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines

_LONG: Final = "MinIO 2026-02-12: 400 for a segment of over 255 bytes (a file name on its disk); Oracle documents 1,024 for the whole name"
SHORTFALLS: Final[dict[tuple[str, str], str]] = {
    ("oracle", "a-key-and-its-folder-coexist"): (
        "MinIO 2026-02-12: with f present, a listing without delimiter omits f/g (objects are folders on its disk)"
    ),
    ("oracle", "list-prefix-that-is-a-key"): (
        "MinIO 2026-02-12: a page of one under a prefix that is a key says that nothing follows; the driver goes round it for MinIO alone"
    ),
    ("oracle", "keys-stay-distinct"): _LONG,
    ("oracle", "listed-key-is-the-written-key"): _LONG,
    ("oracle", "key-round-trips-through-every-verb"): _LONG,
}


def oracle_kind(
    server: MinioServer,
    *,
    wrong_secret: str,
    closed_port: int,
    deadlines: Deadlines,
    multipart: Multipart,
    honour: Honour,
) -> Callable[[], Awaitable[Kind]]:
    async def build() -> Kind:
        def driver(*, endpoint: str = server.endpoint, secret_key: str = server.secret_key) -> S3Driver:
            config = oracle_config(
                namespace="mytenancy",
                region=server.region,  # MinIO's: it verifies the region of a signature
                endpoint=endpoint,
                credentials=StaticCredentials(server.access_key, secret_key),
                presign_endpoint=None,
                egress=EgressPolicy(allowed=LOOPBACK),
                ssl_context=None,
            )
            config = replace(config, deadlines=deadlines, multipart=multipart)
            return S3Driver(config, clock=utc_now, outside=Outside(jitter=lambda: 0.0))

        denied = driver(secret_key=wrong_secret)
        unreachable = driver(endpoint=f"http://127.0.0.1:{closed_port}")
        return Kind(
            "oracle",
            driver(),
            denied=lambda: denied,
            unreachable=lambda: unreachable,
            secrets=(server.secret_key, wrong_secret),
            honour=honour,
            again=driver,
        )

    return build
