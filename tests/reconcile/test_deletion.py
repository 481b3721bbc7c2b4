"""Every branch of a StowContainer's end: what goes, what stays, and what is said while it cannot end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from reconcileworld import INSTALLATION, NOW, TEAM, Killed, World, killing_at
from stow.api.meta import ABANDON_ANNOTATION
from stow.errors import (
    AccessDeniedError,
    BackendTimeoutError,
    BackendUnreachableError,
    ControlPlaneError,
    CredentialsMissingError,
)
from stow.reconcile.deletion import contents_text, grace_left
from stow.reconcile.objects import ObjectRef
from stow.reconcile.outcome import Gone, Stalled, Waiting
from stow.storage.crashpoints import CrashPoint, no_crash
from stow.storage.model import ContainerContents, Marker

IF_EMPTY = {"deletionPolicy": "DeleteIfEmpty"}
ABANDONED = {ABANDON_ANNOTATION: "true"}


@pytest.fixture
def world() -> World:
    return World()


async def _provisioned(world: World, **spec: Any) -> ObjectRef:
    await world.location()
    ref = world.container(**spec)
    await world.reconcile(ref)
    return ref


def _is_gone(world: World, ref: ObjectRef) -> bool:
    return world.cache.get(ref) is None


async def test_retain_drops_the_finalizer_and_keeps_container_and_marker(world: World) -> None:
    ref = await _provisioned(world)
    marker = world.marker(ref, nonce="nonce-1")
    world.delete(ref)
    world.driver.calls.clear()
    assert isinstance(await world.reconcile(ref), Gone)
    assert _is_gone(world, ref)
    assert (await world.on_backend("box")).marker == marker
    assert world.driver.calls == []
    assert world.seen.audits[-1] == ("container-retained", "mem://box: by policy")


async def test_delete_if_empty_deletes_an_empty_container(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.delete(ref)
    world.driver.calls.clear()
    assert isinstance(await world.reconcile(ref), Gone)
    assert _is_gone(world, ref)
    assert not (await world.on_backend("box")).exists
    assert world.driver.calls.index("read_marker") < world.driver.calls.index("delete_container")
    assert world.seen.audits[-1][0] == "container-deleted"


async def test_a_full_container_blocks_with_counts_until_it_is_empty(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    await world.fill("box")
    world.delete(ref)
    for _ in range(3):
        assert isinstance(await world.reconcile(ref), Waiting)
        world.advance(minutes=1)
    assert world.condition(ref) == ("False", "Deleting")
    assert world.condition(ref, "DeletionBlocked") == ("True", "NotEmpty")
    assert world.get(ref).status["deletion"] | {"startedAt": ""} == {
        "startedAt": "",
        "objects": 1,
        "versions": 0,
        "uploads": 0,
    }
    assert "1 object" in world.message(ref)
    await world.empty("box")
    await world.reconcile(ref)
    assert _is_gone(world, ref)


async def test_a_blocked_deletion_writes_once(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    await world.fill("box")
    world.delete(ref)
    before = len(world.writes(ref))
    for _ in range(20):
        await world.reconcile(ref)
        world.advance(minutes=1)
    assert len(world.writes(ref)) == before + 1


async def test_a_loaded_container_is_retained_whatever_the_policy_says(world: World) -> None:
    await world.location()
    await world.make("box")
    ref = world.container(provision="Load", **IF_EMPTY)
    await world.reconcile(ref)
    world.delete(ref)
    await world.reconcile(ref)
    assert _is_gone(world, ref)
    assert (await world.on_backend("box")).exists


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BackendUnreachableError("The backend is down."), "Unreachable"),
        (BackendTimeoutError("No answer in time."), "Unreachable"),
        (AccessDeniedError("Refused (403)."), "Denied"),
    ],
)
async def test_a_backend_that_cannot_be_asked_blocks(world: World, error: Any, reason: str) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.delete(ref)
    world.driver.before["container_exists"] = error
    assert isinstance(await world.reconcile(ref), Waiting)
    assert world.condition(ref, "DeletionBlocked") == ("True", reason)
    world.driver.before.clear()
    await world.reconcile(ref)
    assert _is_gone(world, ref)


@pytest.mark.parametrize("call", ["read_marker", "delete_container"])
async def test_a_failure_at_any_later_call_blocks_and_deletes_nothing(world: World, call: str) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.delete(ref)
    world.driver.before[call] = BackendUnreachableError("The backend is down.")
    await world.reconcile(ref)
    assert world.condition(ref, "DeletionBlocked") == ("True", "Unreachable")
    assert (await world.on_backend("box")).exists


async def test_a_delete_whose_answer_was_lost_ends_at_the_next_look(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.delete(ref)
    world.driver.after["delete_container"] = BackendTimeoutError("No answer in time.")
    await world.reconcile(ref)
    assert world.condition(ref, "DeletionBlocked") == ("True", "Unreachable")
    world.driver.after.clear()
    await world.reconcile(ref)
    assert _is_gone(world, ref)


@pytest.mark.parametrize(
    "marker",
    [
        None,
        Marker("elsewhere", TEAM, "box", "u"),
        Marker(INSTALLATION, "other", "box", "u"),
        Marker(INSTALLATION, TEAM, "box", "u"),
    ],
    ids=["no marker", "another installation", "another namespace", "another uid"],
)
async def test_what_does_not_carry_our_mark_is_not_deleted(world: World, marker: Marker | None) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.backend.containers["box"].marker = marker
    world.delete(ref)
    assert isinstance(await world.reconcile(ref), Waiting)
    assert world.condition(ref, "DeletionBlocked") == ("True", "OwnershipUnknown")
    assert (await world.on_backend("box")).exists
    assert "delete_container" not in world.driver.calls


async def test_a_location_that_leads_elsewhere_deletes_nothing(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.driver._identity = "mem://elsewhere"
    world.driver.calls.clear()
    world.delete(ref)
    assert isinstance(await world.reconcile(ref), Stalled)
    assert world.condition(ref, "DeletionBlocked") == ("True", "LocationChanged")
    assert world.driver.calls == []


async def test_with_the_secret_gone_the_last_good_client_deletes(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.stores.errors["place"] = CredentialsMissingError("The Secret keys is gone.")
    world.delete(ref)
    await world.reconcile(ref)
    assert _is_gone(world, ref)
    assert not (await world.on_backend("box")).exists


async def test_with_the_location_gone_the_last_good_client_deletes(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    place = ObjectRef("StowLocation", TEAM, "place")
    world.cache.remove(place)
    await world.locations.forget(place)
    world.delete(ref)
    await world.reconcile(ref)
    assert _is_gone(world, ref)
    await world.locations.forget(place)
    assert world.stores.closed == [place]


@pytest.mark.parametrize("gone", ["secret", "location"])
async def test_without_any_client_it_blocks_and_says_what_is_missing(world: World, gone: str) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.stores.stores.clear()
    if gone == "secret":
        world.stores.errors["place"] = CredentialsMissingError("The Secret keys is gone.")
    else:
        world.cache.remove(ObjectRef("StowLocation", TEAM, "place"))
    world.delete(ref)
    assert isinstance(await world.reconcile(ref), Waiting)
    assert world.condition(ref, "DeletionBlocked") == ("True", "CredentialsMissing")
    assert ("Secret keys" if gone == "secret" else "StowLocation place") in world.message(ref)


BLOCKERS = ["full", "unreachable", "foreign", "location gone", "location changed", "secret gone"]


async def _block(world: World, how: str) -> None:
    if how == "full":
        await world.fill("box")
    elif how == "unreachable":
        world.driver.before["container_exists"] = BackendUnreachableError("The backend is down.")
    elif how == "foreign":
        world.backend.containers["box"].marker = None
    elif how == "location gone":
        world.cache.remove(ObjectRef("StowLocation", TEAM, "place"))
        world.stores.stores.clear()
    elif how == "location changed":
        world.driver._identity = "mem://elsewhere"
    elif how == "secret gone":
        world.stores.errors["place"] = CredentialsMissingError("The Secret is gone.")
        world.stores.stores.clear()


@pytest.mark.parametrize("how", BLOCKERS)
@pytest.mark.parametrize("suspended", [False, True])
async def test_abandon_is_the_way_out_of_every_branch(world: World, how: str, suspended: bool) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    if suspended:
        world.change(ref, spec={**world.get(ref).spec, "suspend": True})
    await _block(world, how)
    world.delete(ref)
    await world.reconcile(ref)
    assert world.condition(ref, "DeletionBlocked") is not None
    world.change(ref, annotations=ABANDONED)
    world.driver.calls.clear()
    assert isinstance(await world.reconcile(ref), Gone)
    assert _is_gone(world, ref)
    assert world.driver.calls == []
    assert world.seen.audits[-1][0] == "container-abandoned"


@pytest.mark.parametrize("value", ["True", "yes", "", "false"])
async def test_only_the_exact_word_abandons(world: World, value: str) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    await world.fill("box")
    world.delete(ref)
    world.change(ref, annotations={ABANDON_ANNOTATION: value})
    await world.reconcile(ref)
    assert not _is_gone(world, ref)


async def test_abandon_without_deletion_changes_nothing(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.change(ref, annotations=ABANDONED)
    await world.reconcile(ref)
    assert world.condition(ref) == ("True", "Provisioned")


@pytest.mark.parametrize("how", BLOCKERS)
async def test_in_a_terminating_namespace_delete_if_empty_falls_back_to_retain_after_the_grace(
    world: World, how: str
) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    await _block(world, how)
    world.api.terminating.add(TEAM)
    world.delete(ref)
    outcome = await world.reconcile(ref)
    assert isinstance(outcome, Waiting | Stalled)
    assert outcome.after is not None
    assert outcome.after <= timedelta(seconds=10)
    world.advance(seconds=119)
    await world.reconcile(ref)
    assert not _is_gone(world, ref)
    world.advance(seconds=1)
    assert isinstance(await world.reconcile(ref), Gone)
    assert _is_gone(world, ref)
    assert world.seen.audits[-1][0] == "container-retained"
    assert "namespace" in world.seen.audits[-1][1]


async def test_outside_a_terminating_namespace_nothing_falls_back(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    await world.fill("box")
    world.delete(ref)
    world.advance(days=3)
    await world.reconcile(ref)
    assert not _is_gone(world, ref)


async def test_a_suspended_object_is_deleted_all_the_same(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.change(ref, spec={**world.get(ref).spec, "suspend": True})
    world.delete(ref)
    await world.reconcile(ref)
    assert _is_gone(world, ref)


async def test_an_object_that_never_provisioned_goes_without_a_backend_call(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.change(ref, status={"observedGeneration": 1})
    world.delete(ref)
    world.driver.calls.clear()
    await world.reconcile(ref)
    assert _is_gone(world, ref)
    assert world.driver.calls == []


@pytest.mark.parametrize("landed", [True, False])
async def test_an_announced_create_is_undone_only_where_its_nonce_stands(world: World, landed: bool) -> None:
    await world.location()
    ref = world.container(**IF_EMPTY)
    faults = world.driver.after if landed else world.driver.before
    faults["create_container"] = BackendTimeoutError("No answer in time.")
    await world.reconcile(ref)
    faults.clear()
    world.delete(ref)
    await world.reconcile(ref)
    assert _is_gone(world, ref)
    assert not (await world.on_backend("box")).exists


@pytest.mark.parametrize("marker", [None, "another nonce", "foreign"])
async def test_an_announced_create_deletes_nothing_that_it_did_not_make(world: World, marker: str | None) -> None:
    await world.location()
    ref = world.container(**IF_EMPTY)
    world.driver.before["create_container"] = BackendTimeoutError("No answer in time.")
    await world.reconcile(ref)
    world.driver.before.clear()
    marks = {None: None, "another nonce": world.marker(ref, nonce="n"), "foreign": Marker("x", "y", "z", "u")}
    await world.make("box", marks[marker])
    world.delete(ref)
    await world.reconcile(ref)
    assert _is_gone(world, ref)
    assert (await world.on_backend("box")).exists


async def test_a_crash_after_the_delete_ends_at_the_next_start(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.delete(ref)
    world.crash = killing_at(CrashPoint.CONTAINER_DELETED)
    with pytest.raises(Killed):
        await world.reconcile(ref)
    assert not _is_gone(world, ref)
    world.crash = no_crash
    world.restart()
    await world.reconcile(ref)
    assert _is_gone(world, ref)


@pytest.mark.parametrize("status", [409, 500, None])
async def test_the_finalizer_stays_when_the_api_server_refuses(world: World, status: int | None) -> None:
    ref = await _provisioned(world)
    world.delete(ref)
    world.api.failing = ControlPlaneError("no", status=status)
    with pytest.raises(ControlPlaneError):
        await world.reconcile(ref)
    world.api.failing = None
    await world.reconcile(ref)
    assert _is_gone(world, ref)


async def test_a_deleting_object_without_our_finalizer_is_left_alone(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.change(ref, finalizers=("somebody/else",), deleting_since=world.now)
    before = len(world.api.writes)
    assert isinstance(await world.reconcile(ref), Gone)
    assert len(world.api.writes) == before


def test_the_grace_ends_exactly_when_it_is_over() -> None:
    grace = timedelta(minutes=2)
    assert grace_left(NOW, NOW, grace) == grace
    assert grace_left(NOW, NOW + grace, grace) == timedelta(0)
    assert grace_left(NOW, NOW + timedelta(days=1), grace) == timedelta(0)
    assert grace_left(None, NOW, grace) == grace


def test_counts_are_told_as_they_are() -> None:
    assert contents_text(ContainerContents(objects=1)) == "1 object"
    assert contents_text(ContainerContents(objects=2, uploads=1)) == "2 objects, 1 open upload"
    assert contents_text(ContainerContents(objects=1000, truncated=True)) == "at least 1000 objects"
    assert contents_text(ContainerContents(truncated=True)) == "at least something"


async def test_a_deletion_is_audited_although_the_finalizer_cannot_go_yet(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    world.delete(ref)
    stale = world.get(ref)
    world.change(ref, labels={"changed": "meanwhile"})
    with pytest.raises(ControlPlaneError):
        await world.containers.reconcile(stale)
    assert [action for action, _ in world.seen.audits if action == "container-deleted"] == ["container-deleted"]
    await world.reconcile(ref)
    assert _is_gone(world, ref)


async def test_the_audit_says_nothing_of_a_deletion_where_the_container_was_gone_already(world: World) -> None:
    ref = await _provisioned(world, **IF_EMPTY)
    await world.driver.delete_container("box")
    world.delete(ref)
    await world.reconcile(ref)
    assert _is_gone(world, ref)
    assert world.seen.audits[-1][0] == "container-absent"


async def test_the_audit_says_retained_of_a_container_that_was_never_ours(world: World) -> None:
    await world.location()
    ref = world.container(**IF_EMPTY)
    world.driver.before["create_container"] = BackendTimeoutError("No answer in time.")
    await world.reconcile(ref)
    world.driver.before.clear()
    await world.make("box")
    world.delete(ref)
    await world.reconcile(ref)
    assert _is_gone(world, ref)
    assert world.seen.audits[-1][0] == "container-retained"


async def test_an_announced_container_that_never_came_leaves_no_audit_line(world: World) -> None:
    await world.location()
    ref = world.container(**IF_EMPTY)
    world.driver.before["create_container"] = BackendTimeoutError("No answer in time.")
    await world.reconcile(ref)
    world.driver.before.clear()
    world.delete(ref)
    await world.reconcile(ref)
    assert _is_gone(world, ref)
    assert world.seen.audits == []
