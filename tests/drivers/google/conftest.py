"""Tests of what is particular to the Google driver; what all drivers promise is in tests/conformance.

Real: fake-gcs-server, behind the front of servers/gcs_front.py, which verifies tokens and V4 signatures as Google documents them, and
stands for the token service, IAM's signBlob and the metadata server. Fake: the stub of servers/stub.py, a socket that answers by script,
for lost, damaged and lying backends and for what fake-gcs-server does not do (preconditions of deletes and copies, labels, lifecycle rules,
versions that keep a bucket); the resolver of names, injected. Asserted with the stub: the requests that arrived. Unproven: Google itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from drivers.google.setup import front_driver
from servers.gcs_front import GcsFront
from stow.drivers.google.driver import GoogleDriver


@pytest.fixture
async def google(gcs_front: GcsFront) -> AsyncIterator[GoogleDriver]:
    """On the front, with its account's key."""
    driver = front_driver(gcs_front)
    yield driver
    await driver.aclose()


@pytest.fixture
async def bucket(google: GoogleDriver, gcs_front: GcsFront, unique_name: Callable[[str], str]) -> str:
    """A fresh bucket; the front's counts start at nothing."""
    name = unique_name("google")
    await google.create_container(name, None)
    gcs_front.counts.clear()
    gcs_front.requests.clear()
    return name
