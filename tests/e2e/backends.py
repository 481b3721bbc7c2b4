"""A second look at the backends, past operator and gateway: what is really there, and what others put there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

from stow.drivers.local.driver import LocalDriver
from stow.drivers.s3.config import S3Config, StaticCredentials
from stow.drivers.s3.driver import S3Driver
from stow.drivers.s3.endpoint import AddressingStyle
from stow.storage.budget import ByteBudget
from stow.storage.clock import utc_now
from stow.storage.driver import Driver
from stow.storage.egress import EgressPolicy
from stow.storage.model import MIB, WriteOptions


@asynccontextmanager
async def minio_driver(endpoint: str, access_key: str, secret_key: str) -> AsyncIterator[Driver]:
    config = S3Config(
        credentials=StaticCredentials(access_key, secret_key),
        endpoint=endpoint,
        region="us-east-1",
        addressing_style=AddressingStyle.PATH,
        egress=EgressPolicy(allowed=(ip_network("127.0.0.0/8"),)),
    )
    driver = S3Driver(config, clock=utc_now, budget=ByteBudget(64 * MIB))
    await driver.probe(None)
    try:
        yield driver
    finally:
        await driver.aclose()


@asynccontextmanager
async def local_driver(local_root: Path, namespace: str, path: str) -> AsyncIterator[Driver]:
    driver = LocalDriver(root=local_root / namespace / path, base=local_root, clock=utc_now)
    await driver.probe(None)
    try:
        yield driver
    finally:
        await driver.aclose()


async def keys_in(driver: Driver, container: str) -> dict[str, int]:
    """The objects of a container that holds less than a page: key to size."""
    page = await driver.list(container, prefix="", delimiter=None, limit=1000, token=None)
    return {each.key: each.size_bytes for each in page.objects}


async def put(driver: Driver, container: str, key: str, data: bytes = b"x") -> None:
    async def body() -> AsyncIterator[bytes]:
        yield data

    await driver.write(container, key, body(), size_bytes=len(data), options=WriteOptions())
