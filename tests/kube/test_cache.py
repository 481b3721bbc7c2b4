"""ObjectCache: what is kept, what is refused as old, and who is told."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from fakes.kube import START, namespace_snapshot, settle, snapshot
from stow.kube.cache import WATCHED_KINDS, ObjectCache
from stow.reconcile.objects import ObjectRef, Snapshot

LOCATION = ObjectRef("StowLocation", "team", "disk")


def container(name: str, *, location: str = "disk", kind: str = "StowLocation", **fields: object) -> Snapshot:
    return snapshot("StowContainer", name, spec={"locationRef": {"kind": kind, "name": location}, **fields})


def test_containers_are_found_by_location_and_by_the_name_that_they_ask_for() -> None:
    cache = ObjectCache()
    cache.apply(container("photos"))
    cache.apply(container("films", containerName="moving-pictures"))
    cache.apply(container("shared", location="big", kind="ClusterStowLocation"))
    assert {s.ref.name for s in cache.containers_of(LOCATION)} == {"photos", "films"}
    assert [s.ref.name for s in cache.declared(LOCATION, "moving-pictures")] == ["films"]
    cluster = ObjectRef("ClusterStowLocation", None, "big")
    assert [s.ref.name for s in cache.declared(cluster, "team-shared")] == ["shared"]


def test_a_container_that_goes_leaves_every_index() -> None:
    cache = ObjectCache()
    one = container("photos")
    cache.apply(one)
    cache.remove(one.ref)
    assert cache.get(one.ref) is None
    assert not cache.containers_of(LOCATION)
    assert not cache.declared(LOCATION, "photos")


def test_a_container_with_an_unreadable_spec_is_kept_but_belongs_to_no_location() -> None:
    cache = ObjectCache()
    broken = snapshot("StowContainer", "broken", spec={"locationRef": 7})
    cache.apply(broken)
    assert cache.get(broken.ref) is broken
    cache.remove(broken.ref)
    assert cache.get(broken.ref) is None


@pytest.mark.parametrize(("version", "taken"), [(9, False), (10, False), (11, True), (100, True), ("opaque", True)])
def test_an_older_event_changes_nothing(version: int | str, taken: bool) -> None:
    cache = ObjectCache()
    cache.apply(snapshot("StowLocation", "disk", version=10))
    assert cache.apply(snapshot("StowLocation", "disk", version=version)) is taken


def test_an_event_of_a_former_namesake_neither_replaces_nor_removes_the_present_one() -> None:
    cache = ObjectCache()
    present = snapshot("StowLocation", "disk", uid="new", version=3, created_at=START + timedelta(seconds=5))
    cache.apply(present)
    assert not cache.apply(snapshot("StowLocation", "disk", uid="old", version=90))
    cache.remove(present.ref, uid="old")
    assert cache.get(present.ref) is present


def test_a_listing_removes_what_is_not_in_it_within_its_namespace_only() -> None:
    cache = ObjectCache()
    for namespace in ("one", "two"):
        for name in ("kept", "gone"):
            cache.apply(snapshot("StowLocation", name, namespace=namespace))
    cache.replace("StowLocation", [snapshot("StowLocation", "kept", namespace="one")], namespace="one")
    assert {(s.ref.namespace, s.ref.name) for s in cache.list("StowLocation")} == {
        ("one", "kept"),
        ("two", "kept"),
        ("two", "gone"),
    }


def test_a_listing_with_lower_versions_is_believed() -> None:
    """Data that was restored from a backup has them."""
    cache = ObjectCache()
    cache.apply(snapshot("StowLocation", "disk", version=500, spec={"suspend": True}))
    cache.replace("StowLocation", [snapshot("StowLocation", "disk", version=20)])
    found = cache.get(LOCATION)
    assert found is not None
    assert found.resource_version == "20"


async def test_it_is_synced_once_every_kind_was_listed() -> None:
    cache = ObjectCache()
    waiting = asyncio.create_task(cache.wait_synced())
    for kind in WATCHED_KINDS:
        assert not cache.synced
        assert kind in cache.unsynced
        await settle()
        assert not waiting.done()
        cache.mark_synced(kind)
    assert cache.synced
    await waiting


def test_labels_of_namespaces_follow_their_changes() -> None:
    cache = ObjectCache()
    cache.apply(namespace_snapshot("team", labels={"tier": "gold"}))
    view = cache.namespaces()
    assert view == {"team": {"tier": "gold"}}
    cache.apply(namespace_snapshot("team", labels={}, version=2))
    assert view == {"team": {}}
    cache.remove(ObjectRef("Namespace", None, "team"))
    assert view == {}


def test_listeners_hear_before_and_after_until_they_end_and_one_that_fails_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = ObjectCache()
    heard: list[tuple[str, str | None, str | None]] = []

    def failing(*_: object) -> None:
        raise RuntimeError("broken")

    def listening(ref: ObjectRef, before: Snapshot | None, after: Snapshot | None) -> None:
        heard.append((ref.name, before and before.resource_version, after and after.resource_version))

    cache.subscribe(failing)
    end = cache.subscribe(listening)
    cache.apply(snapshot("StowLocation", "disk", version=1))
    cache.apply(snapshot("StowLocation", "disk", version=2))
    cache.apply(snapshot("StowLocation", "disk", version=2))
    cache.remove(LOCATION)
    end()
    cache.apply(snapshot("StowLocation", "disk", version=9))
    assert heard == [("disk", None, "1"), ("disk", "1", "2"), ("disk", "2", None)]
    assert "A listener failed on a change of the cache" in caplog.text
