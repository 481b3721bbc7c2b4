"""What a container is set to: tags, versions, expiry. What is declared is kept; each leaves the others and the owner's marker alone."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from conformance.promised.containers import OURS
from conformance.table import promise
from conformance.world import World, name
from stow.errors import ContainerNotEmptyError, ContainerNotFoundError
from stow.storage.model import ContainerSettings

CAPABILITIES = {"tags": "tags", "versioning": "versioning", "expire_after_days": "expiry_rules"}
"""By field of ContainerSettings."""


async def marked_container(world: World) -> str:
    """A new container, with an owner's marker where there are any."""
    made = await world.new_container()
    if world.capabilities.markers:
        await world.driver.write_marker(made, OURS)
    return made


async def assert_set(world: World, container: str, settings: ContainerSettings) -> None:
    """Set it; then everything is as before but for that."""
    before = await world.store.container_settings(container)
    await world.store.configure_container(container, settings)
    given = {each.name: getattr(settings, each.name) for each in fields(settings)}
    expected = replace(before, **{field: value for field, value in given.items() if value is not None})
    assert await world.store.container_settings(container) == expected
    if world.capabilities.markers:
        assert await world.driver.read_marker(container) == OURS


@promise("container-settings-say-what-is-known")
async def fresh_settings(world: World) -> None:
    """Where the capability is declared a new container is set to nothing; where it is not, nothing is said."""
    found = await world.store.container_settings(await marked_container(world))
    nothing = ContainerSettings(tags={}, versioning=False, expire_after_days=0)
    for field, capability in CAPABILITIES.items():
        declared = getattr(world.capabilities, capability)
        assert getattr(found, field) == (getattr(nothing, field) if declared else None), field


@promise("container-tags")
async def tags(world: World) -> None:
    container = await marked_container(world)
    for wanted in ({"team": "a1"}, {"team": "b", "cost": "12", "stage": ""}, {"cost": "13"}, {}):
        await assert_set(world, container, ContainerSettings(tags=wanted))
    await world.store.configure_container(container, ContainerSettings(tags={"team": "kept"}))
    if world.capabilities.markers:
        for marker in (None, OURS):
            await world.store.mark_container(container, marker)
            assert (await world.store.container_settings(container)).tags == {"team": "kept"}


@promise("container-versioning")
async def versioning(world: World) -> None:
    container = await marked_container(world)
    for wanted in (True, True, False, True):
        await assert_set(world, container, ContainerSettings(versioning=wanted))


@promise("old-versions-keep-a-container")
async def old_versions(world: World) -> None:
    """An object that is deleted where versions are kept is not gone: the container is not empty and stays."""
    await world.store.configure_container(world.container, ContainerSettings(versioning=True))
    await world.client.write("k", b"one")
    await world.client.write("k", b"two")
    assert (await world.client.list()).keys == ["k"]
    await world.client.delete("k")
    assert not (await world.client.head("k")).exists
    assert (await world.client.list()).keys == []
    contents = await world.store.container_contents(world.container)
    assert contents.objects == 0
    assert contents.versions > 0
    assert not contents.empty
    with pytest.raises(ContainerNotEmptyError):
        await world.store.delete_container(world.container)


@promise("container-expiry")
async def expiry(world: World) -> None:
    container = await marked_container(world)
    for days in (7, 30, 0, 0, 1):
        await assert_set(world, container, ContainerSettings(expire_after_days=days))


@promise("container-settings-together")
async def together(world: World) -> None:
    """All that is declared in one call, then one after the other, which leaves the rest."""
    container = await marked_container(world)
    wanted = {"tags": {"team": "a"}, "versioning": True, "expire_after_days": 9}
    other = {"tags": {"team": "b"}, "versioning": False, "expire_after_days": 0}
    declared = [field for field, capability in CAPABILITIES.items() if getattr(world.capabilities, capability)]
    await assert_set(world, container, ContainerSettings(**{field: wanted[field] for field in declared}))
    for field in declared:
        await assert_set(world, container, ContainerSettings(**{field: other[field]}))


@promise("settings-of-a-missing-container")
async def missing_container(world: World) -> None:
    missing = name()
    with pytest.raises(ContainerNotFoundError):
        await world.store.container_settings(missing)
    wanted = {"tags": {"team": "a"}, "versioning": True, "expire_after_days": 9}
    for field, capability in CAPABILITIES.items():
        if getattr(world.capabilities, capability):
            with pytest.raises(ContainerNotFoundError):
                await world.store.configure_container(missing, ContainerSettings(**{field: wanted[field]}))
    assert not await world.driver.container_exists(missing)
