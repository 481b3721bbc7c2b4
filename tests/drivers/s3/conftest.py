"""Tests of what is particular to the S3 driver; what all drivers promise is in tests/conformance.

Real: MinIO, which verifies signatures; moto's server, which stands for AWS's key rules. Fake: the stub of stub.py, a raw socket that
answers by script, for lost, silent and lying backends; the resolver of names, injected. Asserted with the stub: the requests that
arrived, and when the client left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from drivers.s3.setup import Counter, Unique, drop, server_driver
from servers.minio import MinioServer
from servers.moto import MotoServer
from stow.drivers.s3.config import Dialect
from stow.drivers.s3.driver import S3Driver


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
async def s3(minio: MinioServer, counter: Counter) -> AsyncIterator[S3Driver]:
    """On MinIO, with parts of 5 MiB; ``counter`` counts its requests."""
    driver = server_driver(minio, dialect=Dialect.MINIO, counter=counter)
    yield driver
    await driver.aclose()


@pytest.fixture
async def moto(moto_server: MotoServer) -> AsyncIterator[S3Driver]:
    """On moto's server, which stands for AWS."""
    driver = server_driver(moto_server, dialect=Dialect.AWS)
    yield driver
    await driver.aclose()


@pytest.fixture
async def bucket(s3: S3Driver, counter: Counter, unique_name: Unique) -> AsyncIterator[str]:
    """A fresh bucket on MinIO; the counter starts at nothing."""
    name = unique_name("s3")
    await s3.create_container(name, None)
    counter.methods.clear()
    yield name
    await drop(s3, name)


@pytest.fixture
async def moto_bucket(moto: S3Driver, unique_name: Unique) -> AsyncIterator[str]:
    name = unique_name("s3")
    await moto.create_container(name, None)
    yield name
    await drop(moto, name)
