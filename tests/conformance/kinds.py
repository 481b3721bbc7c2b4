"""How each kind's backend is opened for the suite, and where an emulator falls short of what it stands for."""

from __future__ import annotations

import base64
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

import aiohttp
import pytest
from yarl import URL

from conformance import google_kind, oracle_kind
from conformance.http_gateway import ServingGateway, route_of_planted
from conformance.world import Kind, Used, kind_of
from servers.azurite import AzuriteServer
from servers.fake_gcs import FakeGcsServer
from servers.minio import MinioServer
from servers.moto import MotoServer
from servers.swift import SwiftServer, allow_temp_urls
from stow.drivers.azure.config import AzureConfig, Blocks, SharedKey
from stow.drivers.azure.driver import AzureDriver
from stow.drivers.local.driver import LocalDriver
from stow.drivers.memory import MemoryBackend, MemoryDriver
from stow.drivers.s3.config import Dialect, Multipart, S3Config, StaticCredentials
from stow.drivers.s3.driver import S3Driver
from stow.drivers.s3.endpoint import AddressingStyle
from stow.drivers.swift.config import SwiftConfig, V1User
from stow.drivers.swift.driver import SwiftDriver
from stow.storage.clock import utc_now
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.local_signing import HMACLocalSigner, Keyring, SigningKey
from stow.storage.model import MIB, Method
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
    **{
        ("moto", promise_id): f"moto 5.2.5: {answer} (it verifies no signature)"
        for promise_id, answer in {
            "signed-url-serves-no-other-method": "200 for another method than the signed one",
            "signed-url-serves-no-other-key": "200 for another key than the signed one",
            "altered-signed-url-is-refused": "200 for an altered signature",
            "signed-url-expires": "200 after the expiry",
            "new-container-is-private": "200 without a signature",
            "sign-binds-content-md5": "200 for a PUT without the signed Content-MD5",
            "sign-binds-content-type": "200 for a PUT without the signed Content-Type",
            "sign-binds-headers": "200 for a PUT with another signed header",
            "sign-binds-the-headers-of-a-get": "200 for a GET without the signed Range",
            "sign-overrides-the-answer": "200 for an altered override",
        }.items()
    },
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
    **google_kind.SHORTFALLS,
    **oracle_kind.SHORTFALLS,
}
"""(kind, promise) -> server, version, the answer that was seen, and why it is the server's. Each is a strict xfail: one that begins to
work fails the run."""


def local_signer(base_url: str = "https://objects.example") -> tuple[HMACLocalSigner, str, Keyring]:
    """A signer of the kinds without signing of their own, its secret as text, and what the one who serves its URLs needs."""
    secret = secrets.token_hex(32)
    ring = Keyring(SigningKey(f"k-{secrets.token_hex(4)}", secret.encode(), utc_now()))
    signer = HMACLocalSigner(base_url, lambda: ring, route_of=route_of_planted, clock=utc_now)
    return signer, secret, ring


async def over_http(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Used:
    """A plain client: nothing but the URL and the headers that it was told to send."""
    skipped = ("Content-Type", "User-Agent", "Accept-Encoding")
    async with (
        aiohttp.ClientSession(
            skip_auto_headers=skipped, timeout=aiohttp.ClientTimeout(total=20), auto_decompress=False
        ) as session,
        session.request(method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False) as answer,
    ):
        got = {name.lower(): value for name, value in answer.headers.items()}
        return Used(answer.status, await answer.read(), got)


def memory_kind(gateway: ServingGateway) -> Kind:
    """Its signed URLs are served by the object API."""
    signer, secret, ring = local_signer(gateway.url)
    gateway.rings.append(ring)
    backend = MemoryBackend()

    def driver() -> MemoryDriver:
        return MemoryDriver(clock=utc_now, signer=signer, backend=backend)

    made = kind_of(driver(), kind_name="memory", secrets=(secret,), honour=over_http)
    return replace(made, again=driver, plant=gateway.plant)


def _memory(gateway: ServingGateway) -> KindBuilder:
    async def build() -> Kind:
        return memory_kind(gateway)

    return build


def _local(folders: pytest.TempPathFactory, gateway: ServingGateway) -> KindBuilder:
    base = folders.mktemp("local-root")

    async def build() -> Kind:
        signer, secret, ring = local_signer(gateway.url)
        gateway.rings.append(ring)

        def driver() -> LocalDriver:
            return LocalDriver(root=base / "team", base=base, clock=utc_now, signer=signer)

        made = kind_of(driver(), kind_name="local", secrets=(secret,), honour=over_http)
        return replace(made, again=driver, plant=gateway.plant)

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
            again=driver,
        )

    return build


def _moto(server: MotoServer) -> KindBuilder:
    """moto checks no signatures, so its denials are a wrapper's; its closed port is real."""

    async def build() -> Kind:
        def driver(endpoint: str = server.endpoint) -> S3Driver:
            return _s3(endpoint, access_key=server.access_key, secret_key=server.secret_key, dialect=Dialect.AWS)

        main, unreachable = driver(), driver(f"http://127.0.0.1:{_closed_port()}")
        wrapped = kind_of(main, kind_name="moto", secrets=(server.secret_key,), honour=over_http)
        return replace(wrapped, unreachable=lambda: unreachable, again=driver)

    return build


def _swift(server: SwiftServer) -> KindBuilder:
    """The denied user is known and has no right. The key of signed URLs is set on the account, as its owner would."""
    temp_url_key = secrets.token_hex(24)

    async def build() -> Kind:
        def driver(*, auth_url: str = server.auth_url, user: str = server.user, key: str = server.key) -> SwiftDriver:
            config = SwiftConfig(
                auth_url,
                V1User(user, key),
                temp_url_key=temp_url_key,
                egress=EgressPolicy(allowed=LOOPBACK),
                deadlines=DEADLINES,
            )
            return SwiftDriver(config, clock=utc_now, outside=Outside(jitter=lambda: 0.0))

        await allow_temp_urls(server, temp_url_key)
        main = driver()
        await main.probe(None)  # reads the server's limits
        denied = driver(user=server.denied_user, key=server.denied_key)
        unreachable = driver(auth_url=f"http://127.0.0.1:{_closed_port()}/auth/v1.0")
        return Kind(
            "swift",
            main,
            denied=lambda: denied,
            unreachable=lambda: unreachable,
            secrets=(server.key, server.denied_key, temp_url_key),
            honour=over_http,
            again=driver,
            implied={Method.GET: frozenset({Method.HEAD}), Method.PUT: frozenset({Method.HEAD})},
        )

    return build


BLOCKS: Final = Blocks(
    single_bytes=8 * MIB, first_block_bytes=5 * MIB, streamed_block_bytes=5 * MIB, copy_block_bytes=5 * MIB
)
"""So that a test of some megabytes goes up in blocks."""


def _azure(server: AzuriteServer) -> KindBuilder:
    wrong_key = base64.b64encode(WRONG_SECRET.encode()).decode()

    async def build() -> Kind:
        def driver(*, endpoint: str = server.endpoint, account_key: str = server.key) -> AzureDriver:
            config = AzureConfig(
                server.account,
                SharedKey(account_key),
                endpoint=endpoint,
                egress=EgressPolicy(allowed=LOOPBACK),
                deadlines=DEADLINES,
                blocks=BLOCKS,
            )
            return AzureDriver(config, clock=utc_now, outside=Outside(jitter=lambda: 0.0))

        main = driver()
        await main.probe(None)  # finds what kind of account it is
        denied = driver(account_key=wrong_key)
        unreachable = driver(endpoint=f"http://127.0.0.1:{_closed_port()}/{server.account}")
        return Kind(
            "azure",
            main,
            denied=lambda: denied,
            unreachable=lambda: unreachable,
            secrets=(server.key, wrong_key),
            honour=over_http,
            again=driver,
            implied={Method.GET: frozenset({Method.HEAD})},  # a signature for reading serves both
        )

    return build


def _google(server: FakeGcsServer) -> KindBuilder:
    return lambda: google_kind.google_kind(server, deadlines=DEADLINES, closed_port=_closed_port(), honour=over_http)


def _oracle(server: MinioServer) -> KindBuilder:
    return oracle_kind.oracle_kind(
        server,
        wrong_secret=WRONG_SECRET,
        closed_port=_closed_port(),
        deadlines=DEADLINES,
        multipart=MULTIPART,
        honour=over_http,
    )


def builders(
    request: pytest.FixtureRequest, folders: pytest.TempPathFactory, gateway: ServingGateway
) -> dict[str, Callable[[], KindBuilder]]:
    """Each entry starts what its kind needs (servers are fixtures, and those cannot be asked for inside a running loop)."""
    return {
        "memory": lambda: _memory(gateway),
        "local": lambda: _local(folders, gateway),
        "minio": lambda: _minio(request.getfixturevalue("minio")),
        "moto": lambda: _moto(request.getfixturevalue("moto_server")),
        "google": lambda: _google(request.getfixturevalue("fake_gcs")),
        "azure": lambda: _azure(request.getfixturevalue("azurite")),
        "oracle": lambda: _oracle(request.getfixturevalue("minio")),
        "swift": lambda: _swift(request.getfixturevalue("swift_server")),
    }
