"""The suite is tested itself: every saboteur is caught by each promise that it breaks, and the driver that it wraps is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from blockbuster import BlockingError

import conformance.promised.all  # noqa: F401  registers the proofs
from conformance.http_gateway import ServingGateway
from conformance.kinds import memory_kind
from conformance.saboteurs import FORGOTTEN, SABOTEURS, KeepsSettings, Saboteur
from conformance.table import BY_ID, PROOFS
from conformance.world import Kind, World, make_world
from stow.errors import StowError
from stow.storage.clock import utc_now
from stow.storage.containers import ContainerMap
from stow.storage.model import ContainerEntry, Origin

CASES = [
    pytest.param(saboteur, promise_id, id=f"{saboteur.make.__name__}-{promise_id}")
    for saboteur in SABOTEURS
    for promise_id in saboteur.caught_by
]


def good_kind(gateway: ServingGateway) -> Kind:
    """The memory kind, with settings of containers, which memory has not."""
    kind = memory_kind(gateway)
    again, settings = kind.again, {}
    assert again is not None
    return replace(kind, driver=KeepsSettings(kind.driver, settings), again=lambda: KeepsSettings(again(), settings))


def sabotaged(saboteur: Saboteur, gateway: ServingGateway) -> Kind:
    kind = good_kind(gateway)
    again = kind.again
    assert again is not None
    if saboteur.outside:
        return replace(
            kind, denied=lambda: saboteur.make(kind.denied()), unreachable=lambda: saboteur.make(kind.unreachable())
        )
    return replace(kind, driver=saboteur.make(kind.driver), again=lambda: saboteur.make(again()))


async def prove(world: World, promise_id: str) -> None:
    assert promise_id in BY_ID
    for proof in PROOFS[promise_id]:
        await proof(world)


@pytest.fixture(autouse=True)
async def forgotten() -> AsyncIterator[None]:
    """End what saboteurs left open."""
    yield
    while FORGOTTEN:
        left = FORGOTTEN.pop()
        if isinstance(left, asyncio.Task):
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
        else:
            left.close()


@pytest.mark.parametrize(("saboteur", "promise_id"), CASES)
async def test_saboteur_is_caught(saboteur: Saboteur, promise_id: str, gateway: ServingGateway) -> None:
    world = await make_world(sabotaged(saboteur, gateway))
    with pytest.raises((AssertionError, StowError, BlockingError, pytest.fail.Exception)):
        await prove(world, promise_id)


@pytest.mark.parametrize("promise_id", sorted({p for saboteur in SABOTEURS for p in saboteur.caught_by}))
async def test_good_driver_is_not_caught(promise_id: str, gateway: ServingGateway) -> None:
    await prove(await make_world(good_kind(gateway)), promise_id)


class SwappedMap(ContainerMap):
    """Fault 2: key and value exchanged."""

    def record(self, entry: ContainerEntry) -> ContainerEntry:
        return super().record(replace(entry, name=entry.fqn, fqn=entry.name))


@pytest.mark.parametrize("promise_id", ["create-container-records-it", "load-container-records-it"])
async def test_swapped_container_map_is_caught(promise_id: str, gateway: ServingGateway) -> None:
    world = await make_world(good_kind(gateway))
    world.store._containers.map = SwappedMap()
    with pytest.raises((AssertionError, StowError)):
        await prove(world, promise_id)


async def test_store_that_signs_for_any_container_is_caught(gateway: ServingGateway) -> None:
    """Fault 3: every container is in the map."""

    class Everything(ContainerMap):
        def get(self, name: str) -> ContainerEntry | None:
            return ContainerEntry(name, f"mem://{name}", Origin.BASE, utc_now(), "uid")

    world = await make_world(good_kind(gateway))
    world.store._containers.map = Everything()
    with pytest.raises((AssertionError, StowError, pytest.fail.Exception)):
        await prove(world, "sign-checks-the-container")
