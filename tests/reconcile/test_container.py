"""One StowContainer from its spec to Ready, and every way in which it does not get there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from reconcileworld import BACKEND, INSTALLATION, TEAM, FaultyDriver, Killed, World, killing_at
from stow.api.meta import FINALIZER
from stow.errors import (
    AccessDeniedError,
    BackendTimeoutError,
    BackendUnreachableError,
    ControlPlaneError,
    CredentialsMissingError,
    UnsupportedError,
)
from stow.reconcile.objects import Snapshot
from stow.reconcile.outcome import Ready, Stalled, Suspended, Waiting
from stow.storage.crashpoints import CrashPoint, no_crash
from stow.storage.model import Marker


@pytest.fixture
def world() -> World:
    return World()


async def test_create_takes_three_writes_and_marks_the_container(world: World) -> None:
    await world.location()
    ref = world.container()
    assert isinstance(await world.reconcile(ref), Ready)
    assert world.writes(ref) == ["finalizer", "status", "status"]
    status = world.get(ref).status
    assert status["fqn"] == "mem://box"
    assert status["backendIdentity"] == f"{BACKEND}/box"
    assert status["provisioned"] == "Created"
    assert "intent" not in status
    assert (await world.on_backend("box")).marker == world.marker(ref, nonce="nonce-1")
    assert world.seen.events == [
        ("Succeeded", "The backend answers and takes the credentials.", False),
        ("Provisioned", "The container mem://box is there and belongs to this object.", False),
    ]


async def test_the_intent_is_in_status_before_the_container_is_made(world: World) -> None:
    await world.location()
    ref = world.container()
    world.driver.before["create_container"] = BackendUnreachableError("The backend is down.")
    assert isinstance(await world.reconcile(ref), Waiting)
    status = world.get(ref).status
    assert status["intent"]["nonce"] == "nonce-1"
    assert status["intent"]["backendIdentity"] == f"{BACKEND}/box"
    assert FINALIZER in world.get(ref).finalizers
    assert world.condition(ref) == ("False", "Unreachable")


async def test_a_restart_with_everything_right_writes_nothing(world: World) -> None:
    place = await world.location()
    ref = world.container()
    await world.reconcile(ref)
    await world.reconcile(place)
    world.api.writes.clear()
    world.stores.stores.clear()
    world.driver.calls.clear()
    world.restart()
    world.advance(hours=1)
    assert isinstance(await world.reconcile(place), Ready)
    assert isinstance(await world.reconcile(ref), Ready)
    assert world.api.writes == []
    assert world.driver.calls == ["probe", "container_exists", "read_marker"]


@pytest.mark.parametrize("point", [CrashPoint.FINALIZER_ADDED, CrashPoint.INTENT_WRITTEN])
async def test_a_crash_before_the_create_loses_nothing(world: World, point: CrashPoint) -> None:
    await world.location()
    ref = world.container()
    world.crash = killing_at(point)
    with pytest.raises(Killed):
        await world.reconcile(ref)
    assert not (await world.on_backend("box")).exists
    world.crash = no_crash
    world.restart()
    assert isinstance(await world.reconcile(ref), Ready)
    assert world.get(ref).status["provisioned"] == "Created"


@pytest.mark.parametrize("marks_later", [False, True])
async def test_a_create_whose_answer_was_lost_is_claimed_by_its_nonce_or_its_intent(
    world: World, marks_later: bool
) -> None:
    await world.location()
    world.driver.marks_later = marks_later
    ref = world.container()
    world.driver.after["create_container"] = BackendTimeoutError("No answer in time.")
    assert isinstance(await world.reconcile(ref), Waiting)
    assert (await world.on_backend("box")).exists
    world.driver.after.clear()
    world.restart()
    assert isinstance(await world.reconcile(ref), Ready)
    assert world.get(ref).status["provisioned"] == "Created"
    assert (await world.on_backend("box")).marker == world.marker(ref, nonce="nonce-1")
    assert "intent" not in world.get(ref).status


async def test_a_crash_between_create_and_status_is_ours_at_the_next_start(world: World) -> None:
    await world.location()
    ref = world.container()
    publish = world.api.publish_status

    async def once(snapshot: Snapshot, status: Mapping[str, Any]) -> Snapshot:
        if status.get("provisioned"):
            raise Killed
        return await publish(snapshot, status)

    world.api.publish_status = once  # type: ignore[method-assign]  # the fake's own
    with pytest.raises(Killed):
        await world.reconcile(ref)
    assert (await world.on_backend("box")).exists
    world.api.publish_status = publish  # type: ignore[method-assign]  # the fake's own
    world.restart()
    assert isinstance(await world.reconcile(ref), Ready)
    assert world.get(ref).status["provisioned"] == "Created"


async def test_a_full_container_is_not_claimed_by_an_intent(world: World) -> None:
    await world.location()
    world.driver.marks_later = True
    ref = world.container()
    world.driver.before["create_container"] = BackendTimeoutError("No answer in time.")
    await world.reconcile(ref)
    world.driver.before.clear()
    await world.make("box")
    await world.fill("box")
    assert isinstance(await world.reconcile(ref), Stalled)
    assert world.condition(ref) == ("False", "AlreadyExists")
    assert "intent" not in world.get(ref).status


async def test_create_refuses_what_exists(world: World) -> None:
    await world.location()
    await world.make("box")
    ref = world.container()
    assert isinstance(await world.reconcile(ref), Stalled)
    assert world.condition(ref) == ("False", "AlreadyExists")
    assert world.condition(ref, "Stalled") == ("True", "AlreadyExists")
    assert FINALIZER not in world.get(ref).finalizers
    assert (await world.on_backend("box")).marker is None


async def test_without_markers_a_second_claim_is_always_already_exists(world: World) -> None:
    await world.location()
    world.driver.without_markers = True
    first = world.container()
    assert isinstance(await world.reconcile(first), Ready)
    world.delete(first)
    await world.reconcile(first)
    second = world.container()
    await world.reconcile(second)
    assert world.condition(second) == ("False", "AlreadyExists")


async def test_load_waits_for_what_is_absent_and_takes_what_is_there(world: World) -> None:
    await world.location()
    ref = world.container(provision="Load")
    assert isinstance(await world.reconcile(ref), Waiting)
    assert world.condition(ref) == ("False", "ContainerNotFound")
    await world.make("box")
    assert isinstance(await world.reconcile(ref), Ready)
    assert world.get(ref).status["provisioned"] == "Loaded"
    assert (await world.on_backend("box")).marker is None


@pytest.mark.parametrize(("exists", "how"), [(True, "Loaded"), (False, "Created")])
async def test_load_or_create_does_what_is_needed(world: World, exists: bool, how: str) -> None:
    await world.location()
    if exists:
        await world.make("box")
    ref = world.container(provision="LoadOrCreate")
    assert isinstance(await world.reconcile(ref), Ready)
    assert world.get(ref).status["provisioned"] == how


async def test_load_never_takes_a_container_with_a_foreign_mark(world: World) -> None:
    await world.location()
    await world.make("box", Marker("elsewhere", "secret-team", "x", "u"))
    ref = world.container(provision="Load")
    assert isinstance(await world.reconcile(ref), Stalled)
    assert world.condition(ref, "Conflict") == ("True", "Conflict")
    assert "in use elsewhere" in world.message(ref)
    assert "secret-team" not in str(world.get(ref).status)


async def test_retain_then_delete_then_apply_again_is_ours(world: World) -> None:
    await world.location()
    first = world.container()
    await world.reconcile(first)
    world.delete(first)
    await world.reconcile(first)
    assert world.cache.get(first) is None
    again = world.container()
    assert isinstance(await world.reconcile(again), Ready)
    assert world.get(again).status["provisioned"] == "Created"
    assert (await world.on_backend("box")).marker == world.marker(again, nonce="nonce-1")


async def test_a_stale_object_does_not_take_the_container_of_its_successor(world: World) -> None:
    await world.location()
    stale = world.get(world.container(put={"uid": "stale"}))
    world.cache.remove(stale.ref)
    living = world.container(put={"uid": "living"})
    await world.reconcile(living)
    done = await world.containers.reconcile(stale)
    assert isinstance(done.result.outcome, Stalled)
    assert (await world.on_backend("box")).marker == world.marker(living, nonce="nonce-1")


async def test_two_objects_for_one_container_the_older_wins(world: World) -> None:
    await world.location()
    young = world.container("young", containerName="shared")
    old = world.container("old", containerName="shared", put={"created_at": world.now - timedelta(days=1)})
    assert isinstance(await world.reconcile(young), Stalled)
    assert world.condition(young) == ("False", "Conflict")
    assert "old" in world.message(young)
    assert isinstance(await world.reconcile(old), Ready)
    world.delete(old)
    await world.reconcile(old)
    assert isinstance(await world.reconcile(young), Stalled)
    assert world.condition(young) == ("False", "AlreadyExists")


async def test_the_recorded_owner_wins_over_an_older_object(world: World) -> None:
    await world.location()
    owner = world.container("owner", containerName="shared")
    await world.reconcile(owner)
    older = world.container("older", containerName="shared", put={"created_at": world.now - timedelta(days=1)})
    await world.reconcile(older)
    assert world.condition(older) == ("False", "Conflict")
    assert isinstance(await world.reconcile(owner), Ready)


async def test_two_locations_of_one_backend_are_one_identity_and_other_namespaces_stay_unnamed(world: World) -> None:
    world.namespace("hidden-team")
    await world.location()
    other = world.put("StowLocation", "theirs", "hidden-team", {"local": {"path": "data"}})
    await world.reconcile(other)
    theirs = world.container("their-secret-name", namespace="hidden-team", location="theirs", containerName="shared")
    await world.reconcile(theirs)
    mine = world.container("mine", containerName="shared")
    await world.reconcile(mine)
    assert world.condition(mine) == ("False", "Conflict")
    assert "in use elsewhere" in world.message(mine)
    shown = str(world.get(mine).status) + str(world.seen.events[-1])
    assert "hidden-team" not in shown
    assert "their-secret-name" not in shown


async def test_a_missing_location_is_named(world: World) -> None:
    ref = world.container()
    assert isinstance(await world.reconcile(ref), Waiting)
    assert world.condition(ref) == ("False", "LocationNotFound")
    assert "StowLocation place" in world.message(ref)


async def test_what_is_applied_together_costs_no_write_for_the_order(world: World) -> None:
    ref = world.container(put={"created_at": world.now})
    assert isinstance(await world.reconcile(ref), Waiting)
    place = await world.location(ready=False)
    assert isinstance(await world.reconcile(ref), Waiting)
    assert world.writes(ref) == []
    await world.reconcile(place)
    await world.reconcile(ref)
    assert world.writes(ref) == ["finalizer", "status", "status"]


async def test_a_location_that_is_not_ready_is_waited_for(world: World) -> None:
    world.driver.before["probe"] = BackendUnreachableError("The backend is down.")
    await world.location()
    ref = world.container()
    await world.reconcile(ref)
    assert world.condition(ref) == ("False", "LocationNotReady")
    assert "Unreachable" in world.message(ref)
    assert FINALIZER not in world.get(ref).finalizers


@pytest.mark.parametrize("broken", ["probe", "open", "problem"])
async def test_a_provisioned_container_stays_ready_while_its_location_is_away(world: World, broken: str) -> None:
    place = await world.location()
    ref = world.container()
    await world.reconcile(ref)
    before = len(world.writes(ref))
    error = BackendUnreachableError("The backend is down.")
    if broken == "probe":
        world.driver.before["probe"] = error
    elif broken == "open":
        world.stores.errors["place"] = error
    else:
        world.stores.problems["place"] = CredentialsMissingError("The Secret is gone.")
    world.advance(minutes=10)
    await world.reconcile(place)
    assert world.condition(place) is not None
    assert world.condition(place)[0] == "False"  # type: ignore[index]  # asserted above
    assert isinstance(await world.reconcile(ref), Ready)
    assert world.condition(ref) == ("True", "Provisioned")
    assert len(world.writes(ref)) == before


async def test_a_vanished_container_is_not_made_anew(world: World) -> None:
    await world.location()
    ref = world.container()
    await world.reconcile(ref)
    del world.backend.containers["box"]
    assert isinstance(await world.reconcile(ref), Stalled)
    assert world.condition(ref) == ("False", "Vanished")
    assert world.condition(ref, "Stalled") == ("True", "Vanished")
    await world.reconcile(ref)
    assert not (await world.on_backend("box")).exists


async def test_denied_is_not_vanished(world: World) -> None:
    await world.location()
    ref = world.container()
    await world.reconcile(ref)
    world.driver.before["container_exists"] = AccessDeniedError("The backend refused the credentials (403).")
    await world.reconcile(ref)
    assert world.condition(ref) == ("False", "Denied")


async def test_a_container_that_somebody_else_took_is_a_conflict(world: World) -> None:
    await world.location()
    ref = world.container()
    await world.reconcile(ref)
    world.backend.containers["box"].marker = Marker("elsewhere", "x", "y", "z")
    await world.reconcile(ref)
    assert world.condition(ref) == ("False", "Conflict")


async def test_a_location_that_leads_elsewhere_stalls_and_touches_nothing(world: World) -> None:
    place = await world.location()
    ref = world.container()
    await world.reconcile(ref)
    world.driver._identity = "mem://elsewhere"
    await world.reconcile(place)
    world.driver.calls.clear()
    assert isinstance(await world.reconcile(ref), Stalled)
    assert world.condition(ref) == ("False", "LocationChanged")
    assert world.driver.calls == []


async def test_suspend_keeps_the_last_state_and_asks_nobody(world: World) -> None:
    await world.location()
    ref = world.container()
    await world.reconcile(ref)
    world.change(ref, spec={**world.get(ref).spec, "suspend": True})
    world.driver.calls.clear()
    assert isinstance(await world.reconcile(ref), Suspended)
    assert world.condition(ref) == ("True", "Suspended")
    assert world.driver.calls == []


async def test_a_suspended_new_container_is_unknown(world: World) -> None:
    await world.location()
    ref = world.container(suspend=True)
    await world.reconcile(ref)
    assert world.condition(ref) == ("Unknown", "Suspended")
    assert not (await world.on_backend("box")).exists


async def test_nothing_is_created_in_a_terminating_namespace(world: World) -> None:
    await world.location()
    ref = world.container()
    world.api.terminating.add(TEAM)
    assert isinstance(await world.reconcile(ref), Waiting)
    assert not (await world.on_backend("box")).exists
    assert FINALIZER not in world.get(ref).finalizers


# Names and permissions


@pytest.mark.parametrize(
    ("pattern", "name", "namespaces", "reason"),
    [
        ("reports-*", "box", (), "NameNotAllowed"),
        ("{namespace}-*", "team-x", (), "Provisioned"),
        ("{namespace}-*", "team-a-x", ("team-a",), "NameNotAllowed"),
        ("{namespace}-*", "other-x", (), "NameNotAllowed"),
    ],
)
async def test_the_pattern_and_the_longest_namespace_decide_about_names(
    world: World, pattern: str, name: str, namespaces: tuple[str, ...], reason: str
) -> None:
    for each in namespaces:
        world.namespace(each)
    await world.location(containerNamePattern=pattern)
    ref = world.container(containerName=name)
    await world.reconcile(ref)
    assert world.condition(ref) is not None
    assert world.condition(ref)[1] == reason  # type: ignore[index]  # asserted above
    assert all(each not in world.message(ref).replace(name, "") for each in namespaces)


async def test_a_longer_namespace_that_comes_later_takes_nothing_away(world: World) -> None:
    await world.location(containerNamePattern="{namespace}-*")
    ref = world.container(containerName="team-a-x")
    await world.reconcile(ref)
    world.namespace("team-a")
    assert isinstance(await world.reconcile(ref), Ready)


async def test_the_base_container_cannot_be_claimed(world: World) -> None:
    await world.location(baseContainer={"name": "box", "createIfNotFound": True})
    ref = world.container()
    await world.reconcile(ref)
    assert world.condition(ref) == ("False", "NameNotAllowed")
    assert "base container" in world.message(ref)


async def test_a_cluster_location_lets_in_whom_it_names_and_revokes(world: World) -> None:
    place = await world.location(cluster=True, allowedNamespaces={"selector": {"matchLabels": {"tier": "gold"}}})
    ref = world.container(cluster=True)
    await world.reconcile(ref)
    assert world.condition(ref) == ("False", "NamespaceNotAllowed")
    world.namespace(TEAM, {"tier": "gold"})
    assert isinstance(await world.reconcile(ref), Ready)
    assert world.get(ref).status["fqn"] == "mem://team-box"
    world.namespace(TEAM, {"tier": "none"})
    await world.reconcile(ref)
    assert world.condition(ref) == ("False", "NamespaceNotAllowed")
    assert world.cache.get(place) is not None


@pytest.mark.parametrize("listed", [True, False])
async def test_a_cluster_location_loads_only_what_it_lists(world: World, listed: bool) -> None:
    loadable = [{"namespace": TEAM, "name": "team-box"}] if listed else [{"namespace": "other", "name": "team-box"}]
    await world.location(cluster=True, allowedNamespaces={"names": [TEAM]}, loadableContainers=loadable)
    await world.make("team-box")
    ref = world.container(cluster=True, provision="Load")
    await world.reconcile(ref)
    expected = ("True", "Provisioned") if listed else ("False", "LoadNotAllowed")
    assert world.condition(ref) == expected


async def test_a_spec_that_no_schema_lets_through_stalls(world: World) -> None:
    ref = world.put("StowContainer", "box", TEAM, {"locationRef": {"kind": "Nonsense", "name": "x"}})
    assert isinstance(await world.reconcile(ref), Stalled)
    assert world.condition(ref) == ("False", "InvalidSpec")


async def test_an_unsupported_create_stalls_and_waiting_is_not_stalled(world: World) -> None:
    await world.location()
    world.driver.before["create_container"] = UnsupportedError("The backend cannot do this.")
    ref = world.container()
    await world.reconcile(ref)
    assert world.condition(ref, "Stalled") == ("True", "Unsupported")
    world.driver.before["create_container"] = BackendUnreachableError("The backend is down.")
    await world.reconcile(ref)
    assert world.condition(ref, "Stalled") is None
    assert world.condition(ref, "Reconciling") == ("True", "Unreachable")


async def test_a_repeated_failure_writes_once(world: World) -> None:
    await world.location()
    world.driver.before["container_exists"] = BackendUnreachableError("The backend is down.")
    ref = world.container()
    for _ in range(20):
        await world.reconcile(ref)
        world.advance(seconds=30)
    assert world.writes(ref) == ["status"]


async def test_the_api_server_being_away_raises_and_is_tried_again(world: World) -> None:
    await world.location()
    ref = world.container()
    world.api.failing = ControlPlaneError("The API server cannot be reached.")
    with pytest.raises(ControlPlaneError):
        await world.reconcile(ref)
    world.api.failing = None
    assert isinstance(await world.reconcile(ref), Ready)


def test_the_marker_tells_installations_apart(world: World) -> None:
    ref = world.container()
    assert world.marker(ref).installation == INSTALLATION


class GatedDriver(FaultyDriver):
    """The first look for a container waits at the gate until it is opened."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.gate = asyncio.Event()
        self.reached = asyncio.Event()

    async def container_exists(self, name: str) -> bool:
        found = await super().container_exists(name)
        if not self.reached.is_set():
            self.reached.set()
            await self.gate.wait()
        return found


@pytest.mark.parametrize("provision", ["Create", "Load", "LoadOrCreate"])
async def test_two_objects_that_claim_one_container_at_once_get_one_owner(world: World, provision: str) -> None:
    """The older one comes in while the younger one is at the backend, so that neither can know of the other by status."""
    driver = GatedDriver(clock=world.clock, identity=BACKEND, backend=world.backend)
    driver.without_markers = True
    world.driver = driver
    await world.location()
    await world.location("second")
    if provision == "Load":
        await world.make("shared")
    first = world.container("first", containerName="shared", provision=provision)
    running = asyncio.create_task(world.reconcile(first))
    await driver.reached.wait()
    age = {"created_at": world.now - timedelta(days=1)}
    second = world.container("second", location="second", containerName="shared", provision=provision, put=age)
    await world.reconcile(second)
    driver.gate.set()
    await running
    for ref in (first, second, first, second):
        await world.reconcile(ref)

    owners = [ref for ref in (first, second) if world.get(ref).status.get("provisioned")]
    assert len(owners) == 1


async def test_who_waits_for_another_claim_comes_back_soon_and_writes_nothing(world: World) -> None:
    driver = GatedDriver(clock=world.clock, identity=BACKEND, backend=world.backend)
    world.driver = driver
    await world.location()
    running = asyncio.create_task(world.reconcile(world.container("first", containerName="shared")))
    await driver.reached.wait()
    old = world.container("old", containerName="shared", put={"created_at": world.now - timedelta(days=1)})
    outcome = await world.reconcile(old)
    assert isinstance(outcome, Waiting)
    assert outcome.after == timedelta(seconds=1)
    assert world.writes(old) == []
    driver.gate.set()
    assert isinstance(await running, Ready)
    await world.reconcile(old)
    assert world.condition(old) == ("False", "Conflict")


async def test_a_refused_create_claims_nothing_that_somebody_else_makes_later(world: World) -> None:
    """Only an unknown outcome may be claimed; after a refusal an empty container of the name is an administrator's, by hand."""
    await world.location()
    world.driver.marks_later = True
    world.driver.before["create_container"] = AccessDeniedError("The backend refused the credentials (403).")
    ref = world.container(deletionPolicy="DeleteIfEmpty")
    await world.reconcile(ref)
    assert world.condition(ref) == ("False", "Denied")
    world.driver.before.clear()
    await world.make("box")
    assert isinstance(await world.reconcile(ref), Stalled)
    assert world.condition(ref) == ("False", "AlreadyExists")
    assert (await world.on_backend("box")).marker is None


async def test_a_container_whose_mark_was_refused_stays_ours(world: World) -> None:
    await world.location()
    world.driver.marks_later = True
    world.driver.before["write_marker"] = AccessDeniedError("The backend refused the credentials (403).")
    ref = world.container()
    await world.reconcile(ref)
    assert world.condition(ref) == ("False", "Denied")
    world.driver.before.clear()
    assert isinstance(await world.reconcile(ref), Ready)
    assert world.get(ref).status["provisioned"] == "Created"


async def test_an_unknown_outcome_after_a_refusal_is_claimed(world: World) -> None:
    await world.location()
    world.driver.marks_later = True
    world.driver.before["create_container"] = AccessDeniedError("The backend refused the credentials (403).")
    ref = world.container()
    await world.reconcile(ref)
    world.driver.before.clear()
    world.driver.after["create_container"] = BackendTimeoutError("No answer in time.")
    await world.reconcile(ref)
    world.driver.after.clear()
    assert isinstance(await world.reconcile(ref), Ready)
    assert world.get(ref).status["provisioned"] == "Created"


@pytest.mark.parametrize("change", [{"suspend": True}, {"deletionPolicy": "DeleteIfEmpty"}])
async def test_a_refused_object_holds_no_name_whatever_its_owner_changes(world: World, change: dict[str, Any]) -> None:
    """Else a tenant who may not create a container could keep it from its rightful owner by an edit of the spec."""
    await world.location()
    world.driver.before["create_container"] = AccessDeniedError("The backend refused the credentials (403).")
    squatter = world.container("squatter", containerName="wanted")
    await world.reconcile(squatter)
    world.driver.before.clear()
    world.change(squatter, spec={**world.get(squatter).spec, **change})
    if change.get("suspend"):
        await world.reconcile(squatter)
    rightful = world.container("rightful", containerName="wanted", put={"created_at": world.now - timedelta(days=1)})
    assert isinstance(await world.reconcile(rightful), Ready)


async def test_a_repeated_refusal_writes_three_times_in_all(world: World) -> None:
    await world.location()
    world.driver.before["create_container"] = AccessDeniedError("The backend refused the credentials (403).")
    ref = world.container()
    for _ in range(20):
        await world.reconcile(ref)
        world.advance(seconds=30)
    assert world.writes(ref) == ["finalizer", "status", "status"]


async def test_a_missing_location_is_told_at_once_where_the_clock_is_behind(world: World) -> None:
    ref = world.container(put={"created_at": world.now + timedelta(hours=1)})
    await world.reconcile(ref)
    assert world.condition(ref) == ("False", "LocationNotFound")


@pytest.mark.parametrize("operator", ["NotIn", "DoesNotExist"])
async def test_a_namespace_whose_labels_are_not_known_yet_is_let_in_by_no_selector(world: World, operator: str) -> None:
    """Each kind has its own watch, so a StowContainer may be here before its namespace."""
    values = {"values": ["restricted"]} if operator == "NotIn" else {}
    selector = {"matchExpressions": [{"key": "tier", "operator": operator, **values}]}
    await world.location(cluster=True, allowedNamespaces={"selector": selector})
    new = world.container(cluster=True, namespace="just-made", put={"created_at": world.now})
    outcome = await world.reconcile(new)
    assert isinstance(outcome, Waiting)
    assert world.writes(new) == []
    world.namespace("just-made", {"tier": "restricted"})
    await world.reconcile(new)
    assert world.condition(new) == ("False", "NamespaceNotAllowed")
    assert not (await world.on_backend("just-made-box")).exists
