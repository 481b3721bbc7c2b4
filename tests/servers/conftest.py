"""Tests of the servers that other tests believe.

Real: fake-gcs-server, Azurite, OpenStack Swift, and the front that verifies for Google. Fake: nothing. Asserted, by an
HTTP client that knows nothing else: each keeps what it is given, and refuses wrong credentials.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

TIMEOUT = aiohttp.ClientTimeout(total=20)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        timeout=TIMEOUT, auto_decompress=False, trust_env=False, skip_auto_headers=("Content-Type",)
    ) as session:
        yield session
