"""Who is looked at again after which change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconcileworld import TEAM, World
from stow.handlers.feed import AbsorbingWriter, Feed
from stow.reconcile.objects import ObjectRef


class Woken:
    def __init__(self) -> None:
        self.refs: list[ObjectRef] = []
        self.afresh: dict[ObjectRef, bool] = {}

    def __call__(self, ref: ObjectRef, *, after_s: float = 0.0, afresh: bool = False) -> None:
        self.refs.append(ref)
        self.afresh[ref] = afresh

    def take(self) -> set[ObjectRef]:
        found, self.refs = set(self.refs), []
        return found


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def woken() -> Woken:
    return Woken()


@pytest.fixture
def feed(world: World, woken: Woken) -> Feed:
    return Feed(world.cache, woken)


async def _both(world: World) -> tuple[ObjectRef, ObjectRef]:
    return await world.location(ready=False), world.container()


async def test_nothing_is_woken_before_the_memory_is_complete_and_all_at_it(
    world: World, woken: Woken, feed: Feed
) -> None:
    place, box = await _both(world)
    assert woken.take() == set()
    assert not world.cache.synced
    feed.complete()
    assert woken.take() == {place, box}
    assert world.cache.synced
    feed.complete()
    assert woken.take() == set()


async def test_a_spec_change_wakes_afresh_and_the_locations_containers_too(
    world: World, woken: Woken, feed: Feed
) -> None:
    place, box = await _both(world)
    feed.complete()
    woken.take()
    world.change(place, spec={"local": {"path": "other"}})
    assert woken.take() == {place, box}
    assert woken.afresh[place]


async def test_a_label_of_a_container_wakes_only_itself(world: World, woken: Woken, feed: Feed) -> None:
    _, box = await _both(world)
    feed.complete()
    woken.take()
    world.change(box, labels={"some": "label"})
    assert woken.take() == {box}
    assert not woken.afresh[box]


async def test_our_own_write_wakes_the_others_but_not_its_object(world: World, woken: Woken, feed: Feed) -> None:
    place, box = await _both(world)
    feed.complete()
    woken.take()
    before = world.get(place)
    ready = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": "", "observedGeneration": 1}
    status = {"observedGeneration": 1, "conditions": [{**ready, "lastTransitionTime": "2030-01-01T00:00:00Z"}]}
    feed.absorb(replace(before, status=status, resource_version="5000"))
    assert woken.take() == {box}


async def test_a_map_that_changes_wakes_no_container(world: World, woken: Woken, feed: Feed) -> None:
    place, _ = await _both(world)
    feed.complete()
    woken.take()
    before = world.get(place)
    feed.absorb(replace(before, status={**before.status, "containerCount": 7}, resource_version="5000"))
    assert woken.take() == set()


async def test_a_container_that_comes_or_goes_wakes_its_location(world: World, woken: Woken, feed: Feed) -> None:
    place = await world.location(ready=False)
    feed.complete()
    woken.take()
    box = world.container()
    assert woken.take() == {place, box}
    world.cache.remove(box)
    assert woken.take() == {place, box}


async def test_the_end_of_an_owner_wakes_those_that_lost_to_it(world: World, woken: Woken, feed: Feed) -> None:
    await world.location()
    owner = world.container("owner", containerName="shared")
    await world.reconcile(owner)
    loser = world.container("loser", containerName="shared")
    await world.reconcile(loser)
    bystander = world.container("bystander")
    await world.reconcile(bystander)
    assert world.condition(loser) == ("False", "Conflict")
    feed.complete()
    woken.take()
    world.cache.remove(owner)
    found = woken.take()
    assert loser in found
    assert bystander not in found


async def test_a_namespaces_labels_wake_what_is_in_it(world: World, woken: Woken, feed: Feed) -> None:
    _, box = await _both(world)
    world.namespace("other")
    feed.complete()
    woken.take()
    world.namespace(TEAM, {"tier": "gold"})
    assert box in woken.take()
    world.namespace("other", {"tier": "gold"})
    assert box not in woken.take()


async def test_an_older_event_changes_nothing(world: World, woken: Woken, feed: Feed) -> None:
    _, box = await _both(world)
    old = world.get(box)
    world.change(box, labels={"some": "label"})
    feed.complete()
    woken.take()
    feed.apply(old)
    assert woken.take() == set()
    assert world.get(box).labels == {"some": "label"}


async def test_a_namesake_is_not_removed_with_its_predecessor(world: World, woken: Woken, feed: Feed) -> None:
    _, box = await _both(world)
    feed.remove(box, "another uid")
    assert world.cache.get(box) is not None


async def test_containers_belong_to_the_group_of_their_location(world: World, feed: Feed) -> None:
    place, box = await _both(world)
    broken = world.put("StowContainer", "broken", TEAM, {"locationRef": 7})
    assert feed.group_of(box) == place == feed.group_of(place)
    assert feed.group_of(broken) == broken


async def test_what_our_writes_gave_back_is_in_memory_at_once(world: World, woken: Woken, feed: Feed) -> None:
    _, box = await _both(world)
    feed.complete()

    class Elsewhere:
        async def add_finalizer(self, snapshot: Any) -> Any:
            return replace(snapshot, finalizers=("f",), resource_version="9000")

        async def remove_finalizer(self, snapshot: Any) -> Any:
            return None

        async def publish_status(self, snapshot: Any, status: Any) -> Any:
            return snapshot

    writer = AbsorbingWriter(Elsewhere(), feed)
    await writer.add_finalizer(world.get(box))
    assert world.get(box).finalizers == ("f",)
    assert await writer.remove_finalizer(world.get(box)) is None


@pytest.mark.parametrize("successor", [False, True])
async def test_the_answer_to_a_write_brings_nothing_back_that_went_meanwhile(
    world: World, woken: Woken, feed: Feed, successor: bool
) -> None:
    """The watch may tell of the end before the answer is here; a ghost would hold its location and its name."""
    _, box = await _both(world)
    feed.complete()
    written = replace(world.get(box), resource_version="999999")
    feed.remove(box, written.uid)
    if successor:
        world.container()
    feed.absorb(written)
    known = world.cache.get(box)
    assert (known is not None) is successor
    assert known is None or known.uid != written.uid
