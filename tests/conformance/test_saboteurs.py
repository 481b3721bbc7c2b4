"""The suite is tested itself: every saboteur is caught by each promise that it breaks, and the driver that it wraps is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

import conformance.promised.all  # noqa: F401  registers the proofs
from conformance.kinds import local_signer
from conformance.saboteurs import SABOTEURS, Saboteur
from conformance.table import BY_ID, PROOFS
from conformance.world import Kind, World, kind_of, make_world
from stow.drivers.memory import MemoryDriver
from stow.errors import StowError
from stow.storage.clock import utc_now
from stow.storage.containers import ContainerMap
from stow.storage.model import ContainerEntry, Origin

CASES = [
    pytest.param(saboteur, promise_id, id=f"{saboteur.make.__name__}-{promise_id}")
    for saboteur in SABOTEURS
    for promise_id in saboteur.caught_by
]


def good_kind() -> Kind:
    signer, _, honour = local_signer()
    return kind_of(MemoryDriver(clock=utc_now, signer=signer), kind_name="memory", honour=honour)


def sabotaged(saboteur: Saboteur) -> Kind:
    kind = good_kind()
    if saboteur.outside:
        return replace(
            kind, denied=lambda: saboteur.make(kind.denied()), unreachable=lambda: saboteur.make(kind.unreachable())
        )
    return replace(kind, driver=saboteur.make(kind.driver))


async def prove(world: World, promise_id: str) -> None:
    assert promise_id in BY_ID
    for proof in PROOFS[promise_id]:
        await proof(world)


@pytest.mark.parametrize(("saboteur", "promise_id"), CASES)
async def test_saboteur_is_caught(saboteur: Saboteur, promise_id: str) -> None:
    world = await make_world(sabotaged(saboteur))
    with pytest.raises((AssertionError, StowError, pytest.fail.Exception)):
        await prove(world, promise_id)


@pytest.mark.parametrize("promise_id", sorted({p for saboteur in SABOTEURS for p in saboteur.caught_by}))
async def test_good_driver_is_not_caught(promise_id: str) -> None:
    await prove(await make_world(good_kind()), promise_id)


class SwappedMap(ContainerMap):
    """Fault 2: key and value exchanged."""

    def record(self, entry: ContainerEntry) -> ContainerEntry:
        return super().record(replace(entry, name=entry.fqn, fqn=entry.name))


@pytest.mark.parametrize("promise_id", ["create-container-records-it", "load-container-records-it"])
async def test_swapped_container_map_is_caught(promise_id: str) -> None:
    world = await make_world(good_kind())
    world.store._containers.map = SwappedMap()
    with pytest.raises((AssertionError, StowError)):
        await prove(world, promise_id)


async def test_store_that_signs_for_any_container_is_caught() -> None:
    """Fault 3: every container is in the map."""

    class Everything(ContainerMap):
        def get(self, name: str) -> ContainerEntry | None:
            return ContainerEntry(name, f"mem://{name}", Origin.BASE, utc_now(), "uid")

    world = await make_world(good_kind())
    world.store._containers.map = Everything()
    with pytest.raises((AssertionError, StowError, pytest.fail.Exception)):
        await prove(world, "sign-checks-the-container")
