"""Tests of what is particular to the Azure driver; what all drivers promise is in tests/conformance.

Real: Azurite, which verifies Shared Key and SAS; a second one on TLS, which takes bearer tokens and gives delegation keys. Fake: the token
endpoint and the metadata service (servers/entra.py); the stub of servers/stub.py, a raw socket that answers by script, for what Azurite
cannot be asked to do. Asserted with them: the requests that arrived.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from drivers.azure.setup import Counter, driver_of, drop
from servers.azurite import AzuriteServer
from servers.entra import Entra, serve_entra
from stow.drivers.azure.driver import AzureDriver


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
async def azure(azurite: AzuriteServer, counter: Counter) -> AsyncIterator[AzureDriver]:
    """On Azurite, with small blocks; ``counter`` counts its requests."""
    driver = driver_of(azurite, counter=counter)
    yield driver
    await driver.aclose()


@pytest.fixture
async def container(azure: AzureDriver, counter: Counter, unique_name: Callable[[str], str]) -> AsyncIterator[str]:
    """A fresh container; the counter starts at nothing."""
    name = unique_name("az")
    await azure.create_container(name, None)
    counter.requests.clear()
    yield name
    await drop(azure, name)


@pytest.fixture
async def entra(tmp_path: Path) -> AsyncIterator[Entra]:
    """A token endpoint and a metadata service."""
    async with serve_entra(tmp_path) as serving:
        yield serving
