"""Real: sockets, aiohttp, the gateway, StowStore, memory and local drivers. Fake: the API server's ports (see ``gateway.world``).
Asserted: what goes over the wire, what the backend holds afterwards, what the ports were asked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.world import World


@pytest.fixture
async def world() -> World:
    """Not serving yet; with one location and one container ``team/reports`` in it."""
    made = World()
    made.location()
    await made.container()
    return made


@pytest.fixture
async def served(world: World) -> AsyncIterator[World]:
    """The same, serving with the default settings."""
    async with world.serving():
        yield world
