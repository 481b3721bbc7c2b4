"""Tests of what is particular to the Swift driver; what all drivers promise is in tests/conformance.

Real: OpenStack Swift with its own authentication (V1), tokens and TempURLs. Fake: Keystone (V3) and a Swift that misbehaves, by the stub
of servers.stub; the resolver of names, injected. Asserted: the requests that arrived, and what is held against their answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from drivers.swift.setup import Counter, Unique, drop, server_driver
from servers.swift import SwiftServer
from stow.drivers.swift.driver import SwiftDriver


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
async def swift(swift_server: SwiftServer, counter: Counter) -> AsyncIterator[SwiftDriver]:
    """On the real Swift; ``counter`` counts its requests."""
    driver = server_driver(swift_server, counter=counter)
    yield driver
    await driver.aclose()


@pytest.fixture
async def container(swift: SwiftDriver, counter: Counter, unique_name: Unique) -> AsyncIterator[str]:
    """A fresh container; the counter starts at nothing."""
    name = unique_name("sw")
    await swift.create_container(name, None)
    counter.methods.clear()
    yield name
    await drop(swift, name)
