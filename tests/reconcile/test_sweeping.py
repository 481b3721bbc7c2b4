"""What dead writers left is removed now and then: only where the operator made the container, and never at the cost of a reconcile."""

from __future__ import annotations

import pytest

from reconcileworld import World
from stow.errors import BackendUnreachableError
from stow.reconcile.sweeping import INTERVAL_S, Sweeper
from stow.storage.model import Marker

BASE = {"name": "base", "createIfNotFound": True}


@pytest.fixture
def world() -> World:
    return World()


def sweeper(world: World) -> Sweeper:
    return Sweeper(world.cache, world.stores)


async def test_created_containers_and_a_created_base_are_swept(world: World) -> None:
    await world.location(baseContainer=BASE)
    await world.reconcile(world.container("mine"))

    await sweeper(world).sweep()

    assert world.driver.swept == ["base", "mine"]


async def test_what_was_loaded_is_left_to_its_owners(world: World) -> None:
    await world.driver.create_container("theirs", None)
    await world.driver.create_container("base", None)
    await world.location(baseContainer={"name": "base"})
    await world.reconcile(world.container("theirs", provision="Load"))

    await sweeper(world).sweep()

    assert world.driver.swept == []


async def test_a_suspended_location_and_a_container_on_its_way_out_are_left_alone(world: World) -> None:
    place = await world.location()
    going = world.container("going")
    await world.reconcile(going)
    world.delete(going)
    await sweeper(world).sweep()
    assert world.driver.swept == []

    await world.reconcile(world.container("staying"))
    world.change(place, spec={**world.get(place).spec, "suspend": True})
    await sweeper(world).sweep()
    assert world.driver.swept == []


async def test_a_container_that_is_pinned_to_another_backend_is_not_swept_here(world: World) -> None:
    await world.location()
    box = world.container("box")
    await world.reconcile(box)
    world.change(box, status={**world.get(box).status, "backendIdentity": "mem://elsewhere/box"})

    await sweeper(world).sweep()

    assert world.driver.swept == []


async def test_a_location_that_nobody_has_opened_is_not_opened_for_it(world: World) -> None:
    await world.location(ready=False)

    await sweeper(world).sweep()

    assert world.stores.stores == {}


async def test_one_that_fails_keeps_no_other_from_its_turn(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    await world.location()
    for name in ("one", "two"):
        await world.reconcile(world.container(name))
    world.driver.before["sweep"] = BackendUnreachableError("canary")

    await sweeper(world).sweep()

    assert world.driver.swept == ["one", "two"]
    assert caplog.text.count("could not be swept: backend_unreachable") == 2
    assert "canary" not in caplog.text


async def test_rounds_come_after_an_interval_each(world: World) -> None:
    await world.location()
    await world.reconcile(world.container("mine"))
    pauses: list[float] = []

    class EnoughError(Exception):
        pass

    async def sleep(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        await Sweeper(world.cache, world.stores, sleep=sleep, uniform=lambda _low, high: high).run()
    assert pauses == [INTERVAL_S * 1.1] * 3
    assert world.driver.swept == ["mine", "mine"]


async def test_a_base_container_that_was_there_before_is_left_to_its_owners(world: World) -> None:
    """`createIfNotFound` found it: old uploads in it may be somebody's who needs them."""
    await world.make("base")
    await world.location(baseContainer=BASE)

    await sweeper(world).sweep()

    assert world.driver.swept == []


@pytest.mark.parametrize("marker", [None, Marker("elsewhere", "x", "y", "their-uid")])
async def test_a_container_that_somebody_made_anew_is_left_alone(world: World, marker: Marker | None) -> None:
    await world.location()
    await world.reconcile(world.container("mine"))
    await world.driver.delete_container("mine")
    await world.make("mine", marker)

    await sweeper(world).sweep()

    assert world.driver.swept == []


async def test_without_marks_what_status_says_was_created_is_swept_and_a_base_is_not(world: World) -> None:
    world.driver.without_markers = True
    await world.location(baseContainer=BASE)
    await world.reconcile(world.container("mine"))

    await sweeper(world).sweep()

    assert world.driver.swept == ["mine"]
