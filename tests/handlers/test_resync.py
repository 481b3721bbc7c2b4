"""What the watches lost is found, and nothing that has just gone comes back."""

from __future__ import annotations

from typing import Any

import pytest

from reconcileworld import TEAM, World
from stow.errors import ControlPlaneError
from stow.handlers.resync import Resync
from stow.reconcile.objects import ObjectRef


class Listing:
    """The API server's lists, in pages of one; `during` runs while a page is on its way."""

    def __init__(self, items: dict[str, list[dict[str, Any]]]) -> None:
        self.items = items
        self.during: Any = None
        self.error: ControlPlaneError | None = None
        self.paths: list[str] = []

    async def __call__(self, method: str, path: str, *, query: Any = (), body: object = None) -> dict[str, Any]:
        self.paths.append(path)
        if self.error is not None:
            raise self.error
        items = self.items.get(path.rpartition("/")[2], [])
        at = int(dict(query).get("continue", 0))
        if self.during is not None:
            self.during()
        more = str(at + 1) if at + 1 < len(items) else ""
        return {"items": items[at : at + 1], "metadata": {"continue": more}}


def _raw(world: World, ref: ObjectRef, *, version: str | None = None) -> dict[str, Any]:
    known = world.get(ref)
    meta = {
        "name": ref.name,
        "namespace": ref.namespace,
        "uid": known.uid,
        "resourceVersion": version or known.resource_version,
        "creationTimestamp": known.created_at.isoformat(),
    }
    return {"metadata": meta, "spec": dict(known.spec), "status": dict(known.status)}


@pytest.fixture
def world() -> World:
    return World()


def _all(world: World) -> dict[str, list[dict[str, Any]]]:
    return {"namespaces": [_raw(world, ObjectRef("Namespace", None, TEAM))]}


def _resync(world: World, listing: Listing) -> Resync:
    return Resync(listing, world.cache, namespaces=(), jitter=lambda: 0.0)


async def test_what_is_gone_leaves_the_memory_and_the_rest_stays(world: World) -> None:
    kept, lost, also = (world.container(name) for name in ("kept", "lost", "also-kept"))
    listing = Listing({**_all(world), "stowcontainers": [_raw(world, kept), _raw(world, also)]})
    await _resync(world, listing).compare()
    assert {each.ref for each in world.cache.list("StowContainer")} == {kept, also}
    assert world.cache.get(lost) is None


async def test_what_is_newer_replaces_what_is_known(world: World) -> None:
    ref = world.container()
    listing = Listing({**_all(world), "stowcontainers": [_raw(world, ref, version="99999")]})
    await _resync(world, listing).compare()
    assert world.get(ref).resource_version == "99999"


async def test_what_goes_while_a_page_is_on_its_way_does_not_come_back(world: World) -> None:
    ref = world.container()
    listing = Listing({**_all(world), "stowcontainers": [_raw(world, ref)]})
    listing.during = lambda: world.cache.remove(ref)
    await _resync(world, listing).compare()
    assert world.cache.get(ref) is None


async def test_what_changes_while_a_page_is_on_its_way_stays(world: World) -> None:
    ref = world.container()
    listing = Listing(_all(world))
    listing.during = lambda: world.change(ref, labels={"some": "change"})
    await _resync(world, listing).compare()
    assert world.cache.get(ref) is not None


async def test_an_api_server_that_cannot_list_takes_nothing_out(world: World) -> None:
    ref = world.container()
    listing = Listing({})
    listing.error = ControlPlaneError("away", status=503)
    with pytest.raises(ControlPlaneError):
        await _resync(world, listing).compare()
    assert world.cache.get(ref) is not None


async def test_with_given_namespaces_only_those_are_listed(world: World) -> None:
    world.namespace("other")
    far = world.put("StowContainer", "far", "other", {"locationRef": {"name": "place"}})
    listing = Listing(_all(world))
    await Resync(listing, world.cache, namespaces=(TEAM,), jitter=lambda: 0.0).compare()
    assert world.cache.get(far) is not None
    assert any(path.endswith(f"/namespaces/{TEAM}/stowcontainers") for path in listing.paths)
