"""One location: probe, conditions, base container, map, and the end that waits for its users."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from reconcileworld import BACKEND, INSTALLATION, TEAM, Killed, World, killing_at
from stow.api.meta import ABANDON_ANNOTATION, FINALIZER
from stow.errors import (
    AccessDeniedError,
    BackendFailedError,
    BackendThrottledError,
    BackendUnreachableError,
    CABundleInvalidError,
    CABundleMissingError,
    CredentialsInvalidError,
    CredentialsMissingError,
    EndpointForbiddenError,
    LocalDisabledError,
    UnsupportedCredentialTypeError,
    WrongRegionError,
)
from stow.reconcile.objects import ObjectRef
from stow.reconcile.outcome import Gone, Ready, Stalled, Suspended, Waiting
from stow.reconcile.ports import DynamicLoad
from stow.storage.crashpoints import CrashPoint, no_crash

BASE = {"name": "base", "createIfNotFound": True}


@pytest.fixture
def world() -> World:
    return World()


def _names(world: World, ref: ObjectRef) -> list[tuple[str, str, bool]]:
    return [(each["name"], each["origin"], each["ready"]) for each in world.get(ref).status["containers"]]


async def test_a_good_location_is_ready_in_one_write(world: World) -> None:
    ref = await world.location(baseContainer=BASE)
    status = world.get(ref).status
    assert world.condition(ref) == ("True", "Succeeded")
    assert world.condition(ref, "CredentialsValid") == ("True", "Succeeded")
    assert world.condition(ref, "Reachable") == ("True", "Succeeded")
    assert status["baseContainerFQN"] == "mem://base"
    assert status["backendIdentity"] == BACKEND
    assert status["capabilities"]["dialect"] == "Memory"
    assert status["containerCount"] == 1
    assert world.writes(ref) == ["status"]
    assert FINALIZER not in world.get(ref).finalizers


async def test_the_base_container_carries_a_mark_that_no_stowcontainer_can_have(world: World) -> None:
    await world.location(baseContainer=BASE)
    marker = (await world.on_backend("base")).marker
    assert marker is not None
    assert (marker.installation, marker.name) == (INSTALLATION, "location/place")


async def test_an_existing_base_container_is_left_as_it_is(world: World) -> None:
    await world.make("base")
    await world.location(baseContainer={"name": "base"})
    assert (await world.on_backend("base")).marker is None


async def test_a_missing_base_container_waits_and_says_what_to_do(world: World) -> None:
    ref = await world.location(baseContainer={"name": "base"})
    assert world.condition(ref) == ("False", "BaseContainerNotFound")
    assert "createIfNotFound" in world.message(ref)
    assert world.condition(ref, "Reachable") == ("True", "Succeeded")
    await world.make("base")
    assert isinstance(await world.reconcile(ref), Ready)


async def test_a_base_container_that_vanishes_is_not_made_anew(world: World) -> None:
    ref = await world.location(baseContainer=BASE)
    del world.backend.containers["base"]
    assert isinstance(await world.reconcile(ref), Waiting)
    assert world.condition(ref) == ("False", "BaseContainerNotFound")
    assert not (await world.on_backend("base")).exists


PROBE_FAILURES: list[tuple[Any, str, tuple[str, str] | None, tuple[str, str] | None]] = [
    (CredentialsInvalidError("Unknown key."), "CredentialsInvalid", ("False", "CredentialsInvalid"), None),
    (AccessDeniedError("Refused (403)."), "Denied", ("False", "Denied"), ("True", "Succeeded")),
    (BackendUnreachableError("Down."), "Unreachable", ("Unknown", "CredentialsUnverified"), ("False", "Unreachable")),
    (BackendThrottledError("Slow."), "Throttled", ("Unknown", "CredentialsUnverified"), ("False", "Throttled")),
    (BackendFailedError("500."), "BackendError", ("Unknown", "CredentialsUnverified"), ("False", "BackendError")),
    (WrongRegionError("Region."), "WrongRegion", ("Unknown", "CredentialsUnverified"), ("False", "WrongRegion")),
    (
        EndpointForbiddenError("No."),
        "EndpointForbidden",
        ("Unknown", "CredentialsUnverified"),
        ("False", "EndpointForbidden"),
    ),
]


@pytest.mark.parametrize(
    ("error", "reason", "credentials", "reachable"), PROBE_FAILURES, ids=lambda e: type(e).__name__
)
async def test_each_probe_failure_has_its_conditions(
    world: World, error: Any, reason: str, credentials: Any, reachable: Any
) -> None:
    world.driver.before["probe"] = error
    ref = await world.location()
    assert world.condition(ref) == ("False", reason)
    assert world.condition(ref, "CredentialsValid") == credentials
    assert world.condition(ref, "Reachable") == reachable


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CredentialsMissingError("The Secret keys does not exist; create it."), "CredentialsMissing"),
        (UnsupportedCredentialTypeError("Only access keys."), "UnsupportedCredentialType"),
        (LocalDisabledError("No local root."), "LocalDisabled"),
        (CABundleMissingError("No ConfigMap."), "CABundleMissing"),
        (CABundleInvalidError("No certificate."), "CABundleInvalid"),
    ],
)
async def test_a_location_that_cannot_be_opened_says_why(world: World, error: Any, reason: str) -> None:
    world.stores.errors["place"] = error
    ref = await world.location()
    assert world.condition(ref) == ("False", reason)
    assert world.message(ref) == error.message


async def test_a_broken_change_shows_although_the_last_good_client_goes_on(world: World) -> None:
    ref = await world.location()
    world.stores.problems["place"] = CredentialsMissingError("The Secret is gone.")
    await world.reconcile(ref)
    assert world.condition(ref) == ("False", "CredentialsMissing")
    assert world.condition(ref, "CredentialsValid") == ("False", "CredentialsMissing")


async def test_a_broken_bundle_says_nothing_about_the_credentials(world: World) -> None:
    ref = await world.location()
    world.stores.problems["place"] = CABundleInvalidError("No certificate.")
    await world.reconcile(ref)
    assert world.condition(ref) == ("False", "CABundleInvalid")
    assert world.condition(ref, "CredentialsValid") == ("True", "Succeeded")


async def test_the_backend_is_probed_once_an_interval_however_often_it_is_woken(world: World) -> None:
    ref = await world.location(probeInterval="5m")
    for _ in range(10):
        outcome = await world.reconcile(ref)
        assert isinstance(outcome, Ready)
        assert outcome.after is not None
        assert outcome.after <= timedelta(minutes=5)
        world.advance(seconds=10)
    assert world.driver.calls.count("probe") == 1
    world.advance(minutes=5)
    await world.reconcile(ref)
    assert world.driver.calls.count("probe") == 2


async def test_a_probe_that_fails_later_flips_ready_and_recovers(world: World) -> None:
    ref = await world.location()
    world.driver.before["probe"] = BackendUnreachableError("Down.")
    world.advance(minutes=6)
    assert isinstance(await world.reconcile(ref), Waiting)
    assert world.condition(ref) == ("False", "Unreachable")
    world.driver.before.clear()
    world.advance(seconds=2)
    assert isinstance(await world.reconcile(ref), Ready)


async def test_a_failing_location_writes_once(world: World) -> None:
    world.driver.before["probe"] = BackendUnreachableError("Down.")
    ref = await world.location()
    for _ in range(20):
        world.advance(seconds=30)
        await world.reconcile(ref)
    assert world.writes(ref) == ["status"]
    assert world.driver.calls.count("probe") == 21


async def test_a_changed_spec_is_probed_at_once(world: World) -> None:
    ref = await world.location()
    world.change(ref, spec={"local": {"path": "data"}, "probeInterval": "1h"})
    await world.reconcile(ref)
    assert world.driver.calls.count("probe") == 2
    assert world.get(ref).status["observedGeneration"] == 2


async def test_the_map_holds_base_declared_and_dynamic_and_loses_what_goes(world: World) -> None:
    ref = await world.location(baseContainer=BASE)
    box = world.container()
    await world.reconcile(box)
    world.seen.loads = [DynamicLoad("loaded", world.now), DynamicLoad("box", world.now), DynamicLoad("base", world.now)]
    await world.reconcile(ref)
    assert _names(world, ref) == [("base", "Base", True), ("box", "Declared", True), ("loaded", "Dynamic", True)]
    declared = world.get(ref).status["containers"][1]
    assert declared["resource"] == "box"
    assert "namespace" not in declared
    world.delete(box)
    await world.reconcile(box)
    await world.reconcile(ref)
    assert ("box", "Declared", True) not in _names(world, ref)


async def test_a_declared_container_that_is_not_ready_shows_so(world: World) -> None:
    ref = await world.location()
    box = world.container()
    await world.reconcile(box)
    del world.backend.containers["box"]
    await world.reconcile(box)
    await world.reconcile(ref)
    assert _names(world, ref) == [("box", "Declared", False)]


async def test_a_cluster_location_names_the_namespaces_of_its_containers(world: World) -> None:
    ref = await world.location(cluster=True, allowedNamespaces={"names": [TEAM]})
    box = world.container(cluster=True)
    await world.reconcile(box)
    await world.reconcile(ref)
    assert world.get(ref).status["containers"][0]["namespace"] == TEAM


async def test_the_map_is_drawn_again_while_the_backend_is_down(world: World) -> None:
    ref = await world.location(baseContainer=BASE)
    box = world.container()
    await world.reconcile(box)
    await world.reconcile(ref)
    world.stores.errors["place"] = BackendUnreachableError("Down.")
    world.cache.remove(box)
    await world.reconcile(ref)
    assert [name for name, *_ in _names(world, ref)] == ["base"]


async def test_the_finalizer_stands_exactly_while_the_location_is_in_use(world: World) -> None:
    ref = await world.location()
    box = world.container()
    await world.reconcile(ref)
    assert FINALIZER in world.get(ref).finalizers
    world.cache.remove(box)
    await world.reconcile(ref)
    assert FINALIZER not in world.get(ref).finalizers


async def test_a_location_in_use_is_not_deleted_and_names_its_users(world: World) -> None:
    ref = await world.location()
    boxes = [world.container(f"box-{n}") for n in range(7)]
    await world.reconcile(ref)
    world.delete(ref)
    assert isinstance(await world.reconcile(ref), Waiting)
    assert world.condition(ref) == ("False", "InUse")
    assert world.condition(ref, "DeletionBlocked") == ("True", "InUse")
    assert "box-0" in world.message(ref)
    assert "and 2 more" in world.message(ref)
    for box in boxes:
        world.cache.remove(box)
    assert isinstance(await world.reconcile(ref), Gone)
    assert world.cache.get(ref) is None


async def test_an_abandoned_location_goes_although_it_is_in_use(world: World) -> None:
    ref = await world.location()
    world.container()
    await world.reconcile(ref)
    world.delete(ref)
    world.change(ref, annotations={ABANDON_ANNOTATION: "true"})
    await world.reconcile(ref)
    assert world.cache.get(ref) is None


async def test_a_namespace_that_is_not_let_in_does_not_hold_a_cluster_location(world: World) -> None:
    world.namespace("stranger")
    ref = await world.location(cluster=True, allowedNamespaces={"names": [TEAM]})
    world.container(cluster=True, namespace="stranger")
    await world.reconcile(ref)
    assert FINALIZER not in world.get(ref).finalizers


async def test_suspend_keeps_the_last_state_and_asks_nobody(world: World) -> None:
    ref = await world.location()
    world.change(ref, spec={"local": {"path": "data"}, "suspend": True})
    world.driver.calls.clear()
    assert isinstance(await world.reconcile(ref), Suspended)
    assert world.condition(ref) == ("True", "Suspended")
    assert world.driver.calls == []


async def test_a_spec_that_no_schema_lets_through_stalls(world: World) -> None:
    ref = world.put("StowLocation", "place", TEAM, {"local": {"path": "../.."}})
    assert isinstance(await world.reconcile(ref), Stalled)
    assert world.condition(ref) == ("False", "InvalidSpec")


async def test_a_crash_after_the_probe_loses_nothing(world: World) -> None:
    world.crash = killing_at(CrashPoint.LOCATION_PROBED)
    ref = await world.location(ready=False)
    with pytest.raises(Killed):
        await world.reconcile(ref)
    world.crash = no_crash
    world.restart()
    assert isinstance(await world.reconcile(ref), Ready)


async def test_a_location_that_is_gone_keeps_its_client_for_its_last_users(world: World) -> None:
    ref = await world.location()
    box = world.container()
    world.cache.remove(ref)
    await world.locations.forget(ref)
    assert world.stores.closed == []
    world.cache.remove(box)
    await world.locations.forget(ref)
    assert world.stores.closed == [ref]
