"""What an object request costs this process: as our own signed HTTP, and by the kind's SDK.

    python tests/benchmarks/wire_or_sdk.py [--rounds N]

Real: a server of each kind, each in a process of its own, so that processor time counted here is the client's alone. Both sides do the
same work in one run, in turn, eight requests at a time: 4 KiB objects by PUT, GET and HEAD, and one object of 32 MiB by GET. SDKs that
block run in a pool of eight threads, with clients that are made once. Printed: processor time of this process in milliseconds a request
(the least of the rounds), and what the SDK costs as a multiple of ours.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from servers.azurite import start_azurite
from servers.fake_gcs import start_fake_gcs
from servers.swift import start_swift
from stow.dev.assets import default_assets
from stow.dev.minio import start_minio
from stow.dev.processes import ProcessGroup
from stow.dev.runfolder import RunFolder
from stow.storage.clock import utc_now
from stow.storage.driver import Driver
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.model import MIB, WriteOptions

OPEN = EgressPolicy(allowed=LOOPBACK)
BUCKET = "bench"
SMALL = b"x" * 4096
LARGE_BYTES = 32 * MIB
AT_ONCE = 8

Call = Callable[[str], Awaitable[object]]


@dataclass(frozen=True)
class Side:
    """The four requests, by one way of sending them."""

    put: Call
    get: Call
    head: Call
    close: Callable[[], Awaitable[object]] | None = None


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def ours(driver: Driver) -> Side:
    async def get(key: str) -> None:
        async with await driver.read(BUCKET, key, None) as stream:
            async for _ in stream:
                pass

    return Side(
        put=lambda key: driver.write(BUCKET, key, _once(SMALL), size_bytes=len(SMALL), options=WriteOptions()),
        get=get,
        head=lambda key: driver.head(BUCKET, key),
    )


def pooled(pool: ThreadPoolExecutor, function: Callable[[str], object]) -> Call:
    return lambda key: asyncio.get_running_loop().run_in_executor(pool, function, key)


def minio_sides(group: ProcessGroup, program: Path, pool: ThreadPoolExecutor) -> tuple[Driver, Side]:
    import boto3
    from botocore.config import Config

    from stow.drivers.s3.config import Dialect, S3Config, StaticCredentials
    from stow.drivers.s3.driver import S3Driver

    server = start_minio(group, program)
    keys = StaticCredentials(server.access_key, server.secret_key)
    config = S3Config(keys, endpoint=server.endpoint, region="us-east-1", dialect=Dialect.MINIO, egress=OPEN)
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name="us-east-1",
        config=Config(max_pool_connections=AT_ONCE, s3={"addressing_style": "path"}),
    )
    return S3Driver(config, clock=utc_now), Side(
        put=pooled(pool, lambda key: client.put_object(Bucket=BUCKET, Key=key, Body=SMALL)),
        get=pooled(pool, lambda key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read()),
        head=pooled(pool, lambda key: client.head_object(Bucket=BUCKET, Key=key)),
    )


def google_sides(group: ProcessGroup, program: Path, pool: ThreadPoolExecutor) -> tuple[Driver, Side]:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    from stow.drivers.google.config import Anonymous, GoogleConfig
    from stow.drivers.google.driver import GoogleDriver

    server = start_fake_gcs(group, program)
    config = GoogleConfig(Anonymous(), project=server.project, endpoint=server.endpoint, egress=OPEN)
    client = Client(
        project=server.project, credentials=AnonymousCredentials(), client_options={"api_endpoint": server.endpoint}
    )
    bucket = client.bucket(BUCKET)
    return GoogleDriver(config, clock=utc_now), Side(
        put=pooled(pool, lambda key: bucket.blob(key).upload_from_string(SMALL)),
        get=pooled(pool, lambda key: bucket.blob(key).download_as_bytes()),
        head=pooled(pool, bucket.get_blob),
    )


def azure_sides(group: ProcessGroup, program: Path, _: ThreadPoolExecutor) -> tuple[Driver, Side]:
    from azure.storage.blob.aio import BlobServiceClient

    from stow.drivers.azure.config import AzureConfig, SharedKey
    from stow.drivers.azure.driver import AzureDriver

    server = start_azurite(group, program)
    config = AzureConfig(server.account, SharedKey(server.key), endpoint=server.endpoint, egress=OPEN)
    service = BlobServiceClient(server.endpoint, credential=server.key)
    container = service.get_container_client(BUCKET)

    async def get(key: str) -> None:
        await (await container.download_blob(key)).readall()

    return AzureDriver(config, clock=utc_now), Side(
        put=lambda key: container.upload_blob(key, SMALL, overwrite=True),
        get=get,
        head=lambda key: container.get_blob_client(key).get_blob_properties(),
        close=service.close,
    )


def swift_sides(group: ProcessGroup, program: Path, pool: ThreadPoolExecutor) -> tuple[Driver, Side]:
    from swiftclient.client import Connection

    from stow.drivers.swift.config import SwiftConfig, V1User
    from stow.drivers.swift.driver import SwiftDriver

    server = start_swift(group, program)
    config = SwiftConfig(server.auth_url, V1User(server.user, server.key), egress=OPEN)
    local = threading.local()

    def connection() -> Connection:
        """A Connection is one HTTP connection, so each thread has its own."""
        if not hasattr(local, "connection"):
            local.connection = Connection(server.auth_url, server.user, server.key)
        return local.connection

    return SwiftDriver(config, clock=utc_now), Side(
        put=pooled(pool, lambda key: connection().put_object(BUCKET, key, SMALL)),
        get=pooled(pool, lambda key: connection().get_object(BUCKET, key)),
        head=pooled(pool, lambda key: connection().head_object(BUCKET, key)),
    )


KINDS: dict[str, tuple[str, Callable[..., tuple[Driver, Side]]]] = {
    "s3": ("minio", minio_sides),
    "google": ("fake-gcs-server", google_sides),
    "azure": ("azurite", azure_sides),
    "swift": ("swift", swift_sides),
}


async def cost_ms(call: Call, keys: list[str]) -> float:
    """Processor time of this process for each call."""
    began = time.process_time()
    for start in range(0, len(keys), AT_ONCE):
        await asyncio.gather(*(call(key) for key in keys[start : start + AT_ONCE]))
    return (time.process_time() - began) * 1000 / len(keys)


async def compare(driver: Driver, sdk: Side, rounds: int, requests: int) -> dict[str, tuple[float, float]]:
    """Milliseconds by ours and by the SDK, for each request."""
    await driver.probe(None)
    await driver.create_container(BUCKET, None)
    own = ours(driver)
    large = _pieces()
    await driver.write(BUCKET, "large", large, size_bytes=LARGE_BYTES, options=WriteOptions())
    keys = [f"k{n}" for n in range(requests)]
    plans: dict[str, tuple[Call, Call, list[str]]] = {
        "PUT 4 KiB": (own.put, sdk.put, keys),
        "GET 4 KiB": (own.get, sdk.get, keys),
        "HEAD": (own.head, sdk.head, keys),
        "GET 32 MiB": (own.get, sdk.get, ["large"]),
    }
    found: dict[str, tuple[float, float]] = {}
    for name, (one, other, on) in plans.items():
        await cost_ms(one, on), await cost_ms(other, on)  # warms up
        pairs = [(await cost_ms(one, on), await cost_ms(other, on)) for _ in range(rounds)]
        found[name] = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
        click.echo(f"  {name:<12}{found[name][0]:>9.2f}{found[name][1]:>9.2f}{found[name][1] / found[name][0]:>9.1f} x")
    return found


async def _pieces() -> AsyncIterator[bytes]:
    for _ in range(LARGE_BYTES // MIB):
        yield b"x" * MIB


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--requests", default=200, show_default=True)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(KINDS)))
def main(rounds: int, requests: int, kinds: tuple[str, ...]) -> None:
    """Compare our own HTTP with the SDKs."""
    assets = default_assets()
    with RunFolder() as run, ProcessGroup(run) as group, ThreadPoolExecutor(AT_ONCE) as pool:
        for kind in kinds or KINDS:
            program, sides = KINDS[kind]

            async def one(found: Any = sides, program: str = program) -> None:
                driver, sdk = found(group, assets.find(program), pool)
                try:
                    await compare(driver, sdk, rounds, requests)
                finally:
                    await driver.aclose()
                    if sdk.close is not None:
                        await sdk.close()

            click.echo(f"{kind}: processor ms a request   ours      SDK     SDK / ours")
            asyncio.run(one())


if __name__ == "__main__":
    main()
