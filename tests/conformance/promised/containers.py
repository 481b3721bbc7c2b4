"""Containers: made only where that was asked for, never taken from somebody else, used only where the map or the rules allow it."""

from __future__ import annotations

import asyncio

import pytest

from conformance.clients import chunks_of
from conformance.refusals import CALLS, is_refused
from conformance.table import promise
from conformance.world import World, name
from conformance.wrappers import Wrapper
from stow.errors import (
    ContainerNotAllowedError,
    ContainerNotEmptyError,
    ContainerNotFoundError,
    ContainerTakenError,
    InvalidContainerNameError,
)
from stow.storage.driver import Driver
from stow.storage.model import LocationID, Marker, Origin, Scope, WriteOptions

OURS = Marker("installation", "team-a", "reports", "uid-1", "nonce-1")
THEIRS = Marker("installation", "team-b", "reports", "uid-2", "nonce-2")


async def remove(world: World, container: str) -> None:
    await world.driver.delete_container(container)


@promise("create-container-records-it")
async def create(world: World) -> None:
    """Fault 2: the original stores the map's key and value exchanged."""
    made = name()
    entry = await world.store.create_container(made)
    assert (entry.name, entry.fqn) == (made, f"{world.store.scheme}://{made}")
    assert await world.driver.container_exists(made)
    assert world.store.containers.get(made) == entry
    assert world.store.containers.get(entry.fqn) is None
    assert [e.name for e in world.store.containers.all()] == [world.container, made]
    reference = world.store.reference(made, "k")
    assert not (await world.store.head(reference)).exists
    await remove(world, made)


@promise("a-container-is-created-once")
async def create_twice(world: World) -> None:
    made = name()
    await world.store.create_container(made)
    reference = world.store.reference(made, "k")
    await world.store.write_raw(reference, 1, WriteOptions(), chunks_of(b"x"))
    for store in (world.store, world.make_store()):
        with pytest.raises(ContainerTakenError):
            await store.create_container(made)
    assert (await world.store.head(reference)).exists
    await world.store.delete(reference)
    await remove(world, made)


@promise("container-map-lists-what-there-is")
async def listed_map(world: World) -> None:
    made = [(await world.store.create_container(name())).name for _ in range(2)]
    loaded = await world.new_container()
    await world.store.load_container(loaded, create_if_not_found=False)
    assert [entry.name for entry in world.store.containers.all()] == [world.container, *sorted([*made, loaded])]
    for gone in (made[0], loaded):
        await world.store.delete_container(gone)
    assert [entry.name for entry in world.store.containers.all()] == [world.container, made[1]]
    await remove(world, made[1])


@promise("load-container-records-it")
async def load(world: World) -> None:
    """Fault 2, on the path that loads."""
    made = await world.new_container()
    entry = await world.store.load_container(made, create_if_not_found=False)
    assert world.store.containers.get(made) == entry
    assert (entry.name, entry.fqn, entry.origin) == (made, world.store.fqn(made), Origin.DYNAMIC)
    before = entry.loaded_at
    assert (await world.store.load_container(made, create_if_not_found=True)).loaded_at == before


@promise("load-of-a-missing-container")
async def load_missing(world: World) -> None:
    """Fault 6: the original's S3 skips this check where a region is set."""
    missing = name()
    with pytest.raises(ContainerNotFoundError):
        await world.store.load_container(missing, create_if_not_found=False)
    assert world.store.containers.get(missing) is None
    assert "create_container" not in world.driver.calls
    entry = await world.store.load_container(missing, create_if_not_found=True)
    assert await world.driver.container_exists(missing)
    assert entry.name == missing
    await remove(world, missing)


@promise("a-taken-name-is-refused")
async def taken(world: World) -> None:
    """Fault 6: the original's Google backend takes every conflict for "already mine"."""
    theirs = await world.new_container()
    if world.capabilities.markers:
        await world.driver.write_marker(theirs, THEIRS)
    for marker in (None, OURS):
        with pytest.raises(ContainerTakenError):
            await world.store.create_container(theirs, marker=marker)
    assert world.store.containers.get(theirs) is None
    if world.capabilities.markers:
        assert await world.driver.read_marker(theirs) == THEIRS


@promise("an-unmarked-container-is-nobodys")
async def unmarked(world: World) -> None:
    theirs = await world.new_container()
    with pytest.raises(ContainerTakenError):
        await world.store.create_container(theirs, marker=OURS)
    assert (await world.store.container_state(theirs)).marker is None


@promise("our-own-container-is-returned")
async def ours(world: World) -> None:
    made = name()
    first = await world.store.create_container(made, marker=OURS)
    state = await world.store.container_state(made)
    assert (state.exists, state.marker) == (True, OURS)
    again = await world.store.create_container(made, marker=OURS)
    assert (again.name, again.origin, again.uid) == (first.name, Origin.DECLARED, OURS.uid)
    await remove(world, made)


@promise("marker-round-trip")
async def markers(world: World) -> None:
    made = await world.new_container()
    assert (await world.store.container_state(made)).marker is None
    odd = Marker("in st=all+ation.:/@_", "ns", "n" * 63, "0f0e-uid", "nonce/+=")
    for marker in (OURS, odd, None):
        await world.store.mark_container(made, marker)
        assert (await world.store.container_state(made)).marker == marker
    missing = await world.store.container_state(name())
    assert (missing.exists, missing.marker) == (False, None)


@promise("one-of-many-creates-wins")
async def racing_creates(world: World) -> None:
    made = name()
    results = await asyncio.gather(*(world.store.create_container(made) for _ in range(6)), return_exceptions=True)
    assert sum(not isinstance(r, BaseException) for r in results) == 1, results
    assert sum(isinstance(r, ContainerTakenError) for r in results) == 5, results
    await remove(world, made)


@promise("bad-container-name-is-refused")
async def bad_names(world: World) -> None:
    store = world.make_store(dynamic_allowed=lambda _name, _scope: True)
    world.driver.calls.clear()
    for bad in (
        "",
        "ab",
        "a" * 64,
        "Upper",
        "a..b",
        "-ab",
        "ab-",
        "1.2.3.4",
        "a/b",
        "../x",
        "a b",
        "ä",
        "a\nb",
        "abc\n",
        "x\0y",
    ):
        for call in (
            lambda b=bad: store.create_container(b),
            lambda b=bad: store.load_container(b, create_if_not_found=True),
            lambda b=bad: store.get_container(b),
            lambda b=bad: store.container_state(b),
            lambda b=bad: store.delete_container(b),
            lambda b=bad: store.container_contents(b),
        ):
            with pytest.raises(InvalidContainerNameError):
                await call()
    assert world.driver.calls == []


@promise("unlisted-container-is-not-allowed")
async def not_allowed(world: World) -> None:
    other = await world.new_container()
    world.driver.calls.clear()
    for container in (other, name()):
        reference = world.store.reference(container, "k")
        for call in (
            lambda r=reference: world.store.head(r),
            lambda r=reference: world.store.list(r),
            lambda r=reference: world.store.read_raw(r),
            lambda r=reference: world.store.delete(r),
            lambda c=container: world.store.get_container(c),
        ):
            with pytest.raises(ContainerNotAllowedError):
                await call()
    assert world.driver.calls == []
    count = world.registry.get_sample_value(
        "stow_bad_container_total", {"kind": "test", "location": "tests/conformance"}
    )
    assert count == 10


@promise("dynamic-container-is-loaded-once")
async def dynamic(world: World) -> None:
    other, missing = await world.new_container(), name()
    store = world.make_store(dynamic_allowed=lambda _name, _scope: True)
    world.driver.calls.clear()
    entries = await asyncio.gather(*(store.get_container(other) for _ in range(8)))
    assert {e.name for e in entries} == {other}
    assert world.driver.calls.count("container_exists") == 1
    assert store.containers.get(other) == entries[0]
    assert entries[0].origin is Origin.DYNAMIC
    with pytest.raises(ContainerNotFoundError):
        await store.get_container(missing)
    assert store.containers.get(missing) is None
    assert not await world.driver.container_exists(missing)
    assert "create_container" not in world.driver.calls


@promise("cancelled-load-does-not-end-the-others")
async def shared_load(world: World) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()

    class Slow(Wrapper):
        async def container_exists(self, container: str) -> bool:
            reached.set()
            await gate.wait()
            return await self.inner.container_exists(container)

    other = await world.new_container()
    store = world.make_store(Slow(world.driver), dynamic_allowed=lambda _name, _scope: True)
    first, second = (asyncio.create_task(store.get_container(other)) for _ in range(2))
    await asyncio.wait_for(reached.wait(), 10)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.set()
    assert (await second).name == other


@promise("declared-container-is-its-owners")
async def scopes(world: World) -> None:
    made = name()
    await world.store.create_container(made, marker=OURS)
    mine, other, through_location = Scope("team-a", OURS.uid), Scope("team-b", "uid-2"), Scope("team-a")
    assert (await world.store.get_container(made, scope=mine)).uid == OURS.uid
    for scope in (other, through_location):
        with pytest.raises(ContainerNotAllowedError):
            await world.store.get_container(made, scope=scope)
    with pytest.raises(ContainerNotAllowedError):
        await world.store.get_container(world.container, scope=mine)
    assert (await world.store.get_container(world.container, scope=through_location)).origin is Origin.BASE
    await remove(world, made)


@promise("marked-container-is-not-loaded-on-demand")
async def marked_is_not_dynamic(world: World) -> None:
    made = await world.new_container()
    await world.driver.write_marker(made, THEIRS)
    store = world.make_store(dynamic_allowed=lambda _name, _scope: True)
    for scope in (None, Scope("team-a")):
        with pytest.raises(ContainerNotAllowedError):
            await store.head(store.reference(made, "k"), scope=scope)
    assert store.containers.get(made) is None


@promise("delete-of-a-full-container-is-refused")
async def full(world: World) -> None:
    await world.client.write("k", b"x")
    assert not (await world.store.container_contents(world.container)).empty
    with pytest.raises(ContainerNotEmptyError):
        await world.store.delete_container(world.container)
    assert (await world.client.head("k")).exists
    await world.client.delete("k")
    assert (await world.store.container_contents(world.container)).empty
    await world.store.delete_container(world.container)
    assert not await world.driver.container_exists(world.container)


@promise("delete-of-a-missing-container")
async def delete_missing(world: World) -> None:
    missing = name()
    await world.store.delete_container(missing)
    made = await world.new_container()
    await world.store.load_container(made, create_if_not_found=False)
    await world.store.delete_container(made)
    await world.store.delete_container(made)
    assert world.store.containers.get(made) is None
    with pytest.raises(ContainerNotFoundError):
        await world.store.container_contents(made)


@promise("base-container-fqn")
async def fqn(world: World) -> None:
    schemes = {
        "memory": "mem",
        "local": "file",
        "minio": "s3",
        "moto": "s3",
        "google": "gs",
        "azure": "abfs",
        "swift": "sw",
        "oracle": "os",
    }
    assert world.store.base_container_fqn == f"{schemes[world.kind.name]}://{world.container}"


@promise("signed-url-location-falls-back")
async def locations(world: World) -> None:
    assert world.store.get_location(LocationID.SIGNED_URL) is world.store.get_location(LocationID.MAIN)
    second: Driver = Wrapper(world.driver)
    store = world.make_store(signed_url=second)
    assert store.get_location(LocationID.SIGNED_URL) is second
    assert store.get_location(LocationID.MAIN) is not second


@promise("probe-answers")
async def probe(world: World) -> None:
    await world.store.probe()
    store = world.make_store()
    await world.driver.delete_container(world.container)
    await store.probe()
    assert "create_container" not in world.driver.calls


@promise("existence-is-asked-once")
async def ambiguous_absence(world: World) -> None:
    world.driver.calls.clear()
    for _ in range(4):
        assert not (await world.client.head("missing")).exists
    assert world.driver.calls.count("head") == 4
    assert world.driver.calls.count("container_exists") <= 1


@promise("undeclared-is-refused-before-io")
async def undeclared(world: World) -> None:
    """The other side of every capability, on every kind: taken out of the declaration, it is refused and nothing goes out."""
    for capability in CALLS:
        await is_refused(world, capability)
