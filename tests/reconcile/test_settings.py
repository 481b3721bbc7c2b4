"""Tags, versioning and expiry of a container: set as the spec says, and what somebody changes since is reported or set again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconcileworld import UNSET, World
from stow.errors import AccessDeniedError, BackendUnreachableError
from stow.reconcile.objects import ObjectRef
from stow.reconcile.outcome import Ready, Stalled, Waiting
from stow.storage.model import ContainerSettings

ALL = {"tags": {"team": "a"}, "versioning": True, "expireAfterDays": 30}
WANTED = ContainerSettings(tags={"team": "a"}, versioning=True, expire_after_days=30)


@pytest.fixture
def world() -> World:
    made = World()
    made.driver.settings = {}
    return made


async def provisioned(world: World, **spec: Any) -> ObjectRef:
    await world.location()
    ref = world.container(containerName="data", **spec)
    assert isinstance(await world.reconcile(ref), Ready)
    return ref


def found(world: World) -> ContainerSettings:
    assert world.driver.settings is not None
    return world.driver.settings.get("data", UNSET)


def drift(world: World, **changed: Any) -> None:
    """Somebody changes the container past the operator."""
    assert world.driver.settings is not None
    world.driver.settings["data"] = replace(found(world), **changed)


async def test_a_new_container_is_set_as_its_spec_says(world: World) -> None:
    ref = await provisioned(world, **ALL)
    assert found(world) == WANTED
    assert world.get(ref).status["settings"] == ALL
    assert world.condition(ref) == ("True", "Provisioned")
    assert ("container-configured", "mem://data") in world.seen.audits


async def test_without_any_of_them_nothing_is_asked_and_nothing_is_set(world: World) -> None:
    ref = await provisioned(world)
    await world.reconcile(ref)
    assert not {"container_settings", "configure_container"} & set(world.driver.calls)
    assert "settings" not in world.get(ref).status


async def test_what_the_spec_leaves_out_is_left_as_it_is(world: World) -> None:
    ref = await provisioned(world, versioning=True)
    drift(world, tags={"by": "hand"}, expire_after_days=7)
    await world.reconcile(ref)
    assert found(world) == ContainerSettings(tags={"by": "hand"}, versioning=True, expire_after_days=7)
    assert world.driver.asked == ContainerSettings(versioning=True)
    assert world.condition(ref, "Drifted") is None


async def test_a_container_that_is_as_it_should_be_costs_no_write(world: World) -> None:
    ref = await provisioned(world, **ALL)
    writes = len(world.writes(ref))
    calls = world.driver.calls.count("configure_container")
    for _ in range(3):
        await world.reconcile(ref)
    assert len(world.writes(ref)) == writes
    assert world.driver.calls.count("configure_container") == calls == 1


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"tags": {"team": "b"}}, "differs from the spec in tags;"),
        ({"tags": {"team": "a", "more": "x"}}, "differs from the spec in tags;"),
        ({"versioning": False}, "differs from the spec in versioning;"),
        ({"expire_after_days": 0, "tags": {}}, "differs from the spec in tags and expireAfterDays;"),
    ],
)
async def test_report_says_what_differs_and_changes_nothing(world: World, changed: dict[str, Any], named: str) -> None:
    ref = await provisioned(world, **ALL)
    drift(world, **changed)
    left = found(world)
    assert isinstance(await world.reconcile(ref), Ready)
    assert found(world) == left
    assert world.condition(ref) == ("True", "Provisioned")
    assert world.condition(ref, "Drifted") == ("True", "SettingsDrifted")
    assert named in world.message(ref, "Drifted")


async def test_the_report_ends_when_somebody_sets_it_back(world: World) -> None:
    ref = await provisioned(world, **ALL)
    drift(world, versioning=False)
    await world.reconcile(ref)
    drift(world, versioning=True)
    await world.reconcile(ref)
    assert world.condition(ref, "Drifted") is None


async def test_enforce_sets_it_again(world: World) -> None:
    ref = await provisioned(world, **ALL, driftPolicy="Enforce")
    drift(world, tags={}, versioning=False)
    await world.reconcile(ref)
    assert found(world) == WANTED
    assert world.condition(ref, "Drifted") is None
    assert world.seen.audits.count(("container-configured", "mem://data")) == 2


async def test_a_changed_spec_is_set_at_once_also_where_drift_is_only_reported(world: World) -> None:
    ref = await provisioned(world, **ALL)
    drift(world, tags={"by": "hand"})
    world.change(ref, spec={**world.get(ref).spec, "expireAfterDays": 60})
    await world.reconcile(ref)
    assert found(world) == replace(WANTED, expire_after_days=60)
    assert world.get(ref).status["settings"]["expireAfterDays"] == 60


async def test_another_change_of_the_spec_undoes_nobody_s_drift(world: World) -> None:
    ref = await provisioned(world, **ALL)
    drift(world, versioning=False)
    world.change(ref, spec={**world.get(ref).spec, "deletionPolicy": "DeleteIfEmpty"})
    await world.reconcile(ref)
    assert found(world).versioning is False
    assert world.condition(ref, "Drifted") == ("True", "SettingsDrifted")


async def test_what_is_taken_out_of_the_spec_stays_and_is_no_longer_looked_at(world: World) -> None:
    ref = await provisioned(world, **ALL)
    spec = {key: value for key, value in world.get(ref).spec.items() if key not in ALL}
    world.change(ref, spec=spec)
    await world.reconcile(ref)
    assert found(world) == WANTED
    assert "settings" not in world.get(ref).status


async def test_a_loaded_container_is_reported_on_and_not_changed(world: World) -> None:
    await world.make("data")
    ref = await provisioned(world, provision="Load", **ALL)
    assert found(world) == UNSET
    assert world.condition(ref, "Drifted") == ("True", "SettingsDrifted")
    drift(world, tags={"team": "a"}, versioning=True, expire_after_days=30)
    await world.reconcile(ref)
    assert world.condition(ref, "Drifted") is None
    assert "configure_container" not in world.driver.calls


async def test_a_loaded_container_is_changed_where_drift_is_enforced(world: World) -> None:
    await world.make("data")
    await provisioned(world, provision="Load", driftPolicy="Enforce", **ALL)
    assert found(world) == WANTED


@pytest.mark.parametrize("field", ALL)
async def test_what_the_backend_lacks_stalls_before_anything_is_created(field: str) -> None:
    world = World()
    await world.location()
    ref = world.container(containerName="data", **{field: ALL[field]})
    outcome = await world.reconcile(ref)
    assert isinstance(outcome, Stalled)
    assert world.condition(ref) == ("False", "Unsupported")
    assert world.condition(ref, "Stalled") == ("True", "Unsupported")
    assert f"spec.{field}" in world.message(ref)
    assert not (await world.on_backend("data")).exists
    world.change(ref, spec={key: value for key, value in world.get(ref).spec.items() if key != field})
    assert isinstance(await world.reconcile(ref), Ready)


async def test_a_container_that_is_there_stalls_when_its_spec_asks_for_what_the_backend_lacks() -> None:
    world = World()
    ref = await provisioned(world)
    world.change(ref, spec={**world.get(ref).spec, "versioning": True})
    assert isinstance(await world.reconcile(ref), Stalled)
    assert world.condition(ref) == ("False", "Unsupported")
    assert world.get(ref).status["provisioned"] == "Created"


async def test_settings_that_fail_leave_a_container_that_is_ours_and_are_tried_again(world: World) -> None:
    await world.location()
    world.driver.before["configure_container"] = AccessDeniedError("Not allowed.")
    ref = world.container(containerName="data", **ALL)
    outcome = await world.reconcile(ref)
    assert isinstance(outcome, Waiting)
    assert world.condition(ref) == ("False", "Denied")
    assert world.get(ref).status["provisioned"] == "Created"
    assert "settings" not in world.get(ref).status
    del world.driver.before["configure_container"]
    assert isinstance(await world.reconcile(ref), Ready)
    assert found(world) == WANTED
    assert world.driver.calls.count("create_container") == 1


async def test_a_backend_that_is_away_takes_nothing_from_a_container_that_is_ready(world: World) -> None:
    ref = await provisioned(world, **ALL)
    world.driver.before["container_settings"] = BackendUnreachableError("down")
    assert isinstance(await world.reconcile(ref), Ready)
    assert world.condition(ref) == ("True", "Provisioned")
