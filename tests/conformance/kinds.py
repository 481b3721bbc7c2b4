"""How each kind's backend is opened for the suite, and where an emulator falls short of what it stands for."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import pytest
from yarl import URL

from conformance.world import Honour, Kind, kind_of
from servers.minio import MinioServer
from servers.moto import MotoServer
from stow.drivers.local.driver import LocalDriver
from stow.drivers.memory import MemoryDriver
from stow.drivers.s3.config import Dialect, Multipart, S3Config, StaticCredentials
from stow.drivers.s3.driver import S3Driver
from stow.drivers.s3.endpoint import AddressingStyle
from stow.errors import StowError
from stow.storage import local_signing
from stow.storage.clock import utc_now
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.local_signing import HMACLocalSigner, Keyring, SigningKey
from stow.storage.model import MIB
from stow.transport.connections import Outside
from stow.transport.deadlines import Deadlines

KindBuilder = Callable[[], Awaitable[Kind]]
WRONG_SECRET: Final = "canary-wrong-secret-key-0123456789"

SHORTFALLS: Final[dict[tuple[str, str], str]] = {
    ("minio", "a-key-and-its-folder-coexist"): (
        "MinIO 2026-02-12: with f present, a listing without delimiter omits f/g (objects are folders on its disk)"
    ),
    ("moto", "a-newline-is-a-character"): "moto 5.2.5: 404 for any key with a newline (its route does not match one)",
    ("moto", "delete-if-match-any"): 'moto 5.2.5: 412 for If-Match: * on DELETE (it compares "*" with the ETag)',
    ("moto", "signed-url-allows-nothing-else"): "moto 5.2.5: 200 for an altered signature (it verifies none)",
    ("moto", "big-write-if-match"): (
        "moto 5.2.5: 200 for CompleteMultipartUpload with another If-Match (it reads If-None-Match alone there); "
        "MinIO proves the same request"
    ),
    ("moto", "copy-over-one-version"): (
        "moto 5.2.5: 200 for CompleteMultipartUpload with another If-Match, by which a conditional copy ends; MinIO proves it"
    ),
    ("moto", "one-of-many-creates-wins"): (
        "moto 5.2.5: CreateBucket of an own bucket in us-east-1 answers 200 again, as S3 does there"
    ),
}
"""(kind, promise) -> server, version, the answer that was seen, and why it is the server's. Each is a strict xfail: one that begins to
work fails the run."""


def local_signer() -> tuple[HMACLocalSigner, str, Honour]:
    """A signer of the kinds without signing of their own, its secret as text, and the check that the gateway makes on use."""
    secret = secrets.token_hex(32)
    ring = Keyring(SigningKey("k1", secret.encode(), utc_now()))
    signer = HMACLocalSigner(
        "https://objects.example",
        lambda: ring,
        route_of=lambda entry: f"namespaces/team/containers/{entry.name}",
        clock=utc_now,
    )

    async def honour(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes | None]:
        parts = urlsplit(url)
        sent = {name.lower(): value for name, value in headers.items()}
        try:
            local_signing.verify(
                local_signing.parse(parts.path, parts.query),
                keyring=ring,
                method=method,
                container_uid="location-uid",
                content_md5=sent.get("content-md5"),
                content_type=sent.get("content-type"),
                now=utc_now(),
            )
        except StowError:
            return 403, None
        return 200, None

    return signer, secret, honour


async def over_http(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes | None]:
    """A plain client: nothing but the URL and the headers that it was told to send."""
    skipped = ("Content-Type", "User-Agent", "Accept-Encoding")
    async with (
        aiohttp.ClientSession(skip_auto_headers=skipped, timeout=aiohttp.ClientTimeout(total=20)) as session,
        session.request(method, URL(url, encoded=True), headers=headers, data=body) as answer,
    ):
        return answer.status, await answer.read()


def _memory() -> KindBuilder:
    async def build() -> Kind:
        signer, secret, honour = local_signer()
        driver = MemoryDriver(clock=utc_now, signer=signer)
        return kind_of(driver, kind_name="memory", secrets=(secret,), honour=honour)

    return build


def _local(folders: pytest.TempPathFactory) -> KindBuilder:
    base = folders.mktemp("local-root")

    async def build() -> Kind:
        signer, secret, honour = local_signer()
        driver = LocalDriver(root=base / "team", base=base, clock=utc_now, signer=signer)
        return kind_of(driver, kind_name="local", secrets=(secret,), honour=honour)

    return build


MULTIPART: Final = Multipart(threshold_bytes=8 * MIB, first_part_bytes=5 * MIB, streamed_part_bytes=5 * MIB)
"""The smallest parts that S3 takes, so that a test of some megabytes goes up in parts."""
DEADLINES: Final = Deadlines(connect_s=5.0, idle_s=20.0, request_s=20.0, abort_s=5.0)


def _s3(endpoint: str, *, access_key: str, secret_key: str, dialect: Dialect) -> S3Driver:
    config = S3Config(
        credentials=StaticCredentials(access_key, secret_key),
        endpoint=endpoint,
        region="us-east-1",
        addressing_style=AddressingStyle.PATH,
        dialect=dialect,
        egress=EgressPolicy(allowed=LOOPBACK),
        deadlines=DEADLINES,
        multipart=MULTIPART,
    )
    return S3Driver(config, clock=utc_now, outside=Outside(jitter=lambda: 0.0))  # retries come at once


def _closed_port() -> int:
    """A port on which nobody listens: taken, then let go."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _minio(server: MinioServer) -> KindBuilder:
    async def build() -> Kind:
        def driver(*, endpoint: str = server.endpoint, secret_key: str = server.secret_key) -> S3Driver:
            return _s3(endpoint, access_key=server.access_key, secret_key=secret_key, dialect=Dialect.MINIO)

        denied = driver(secret_key=WRONG_SECRET)
        unreachable = driver(endpoint=f"http://127.0.0.1:{_closed_port()}")
        return Kind(
            "minio",
            driver(),
            denied=lambda: denied,
            unreachable=lambda: unreachable,
            secrets=(server.secret_key, WRONG_SECRET),
            honour=over_http,
        )

    return build


def _moto(server: MotoServer) -> KindBuilder:
    """moto checks no signatures, so its denials are a wrapper's; its closed port is real."""

    async def build() -> Kind:
        def driver(endpoint: str = server.endpoint) -> S3Driver:
            return _s3(endpoint, access_key=server.access_key, secret_key=server.secret_key, dialect=Dialect.AWS)

        main, unreachable = driver(), driver(f"http://127.0.0.1:{_closed_port()}")
        wrapped = kind_of(main, kind_name="moto", secrets=(server.secret_key,), honour=over_http)
        return replace(wrapped, unreachable=lambda: unreachable)

    return build


def builders(request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> dict[str, Callable[[], KindBuilder]]:
    """Each entry starts what its kind needs (servers are fixtures, and those cannot be asked for inside a running loop)."""
    return {
        "memory": _memory,
        "local": lambda: _local(folders),
        "minio": lambda: _minio(request.getfixturevalue("minio")),
        "moto": lambda: _moto(request.getfixturevalue("moto_server")),
    }
