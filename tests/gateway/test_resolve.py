"""What stands behind a name: states of StowContainers and locations, cache misses, declared containers on location routes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.world import BASE, FAST, START, World, condition
from stow.errors import BackendUnreachableError, CredentialsMissingError, InvalidSpecError, StowError
from stow.gateway.settings import GatewaySettings
from stow.reconcile.objects import ObjectRef
from stow.storage.config import StoreConfig
from stow.storage.model import Marker, Origin

CONTAINER = ObjectRef("StowContainer", "team", "reports")
LOCATION = ObjectRef("StowLocation", "team", "main")
SHARED = ObjectRef("ClusterStowLocation", None, "shared")
THROUGH = "/v1/namespaces/team/locations/main/containers"
DYNAMIC = StoreConfig("uid-main", base_container="base-bucket", dynamic_allowed=lambda name, _: name.startswith("load"))


STATES: list[tuple[dict[str, Any], int, str]] = [
    ({"conditions": [condition("Ready", "False", "Unreachable")]}, 404, "object_not_found"),
    ({"provisioned": None, "conditions": []}, 503, "container_not_ready"),
    ({"containerName": None, "conditions": []}, 503, "container_not_ready"),
    ({"provisioned": None, "conditions": [condition("Stalled", "True", "AlreadyExists")]}, 409, "container_stalled"),
    ({"conditions": [condition("Conflict", "True", "Conflict")]}, 409, "container_stalled"),
    ({"backendIdentity": "mem://elsewhere/reports-bucket"}, 409, "container_stalled"),
    ({"backendIdentity": None}, 409, "container_stalled"),
    ({"containerName": "gone-bucket", "backendIdentity": "mem://memory/gone-bucket"}, 404, "container_not_found"),
]


@pytest.mark.parametrize(("status", "expected", "code"), STATES)
async def test_each_state_of_a_container_has_its_answer(
    served: World, status: dict[str, Any], expected: int, code: str
) -> None:
    known = served.memory.known[CONTAINER]
    merged = {name: value for name, value in {**known.status, **status}.items() if value is not None}
    served.memory.known[CONTAINER] = replace(known, status=merged)
    got = await served.ask("GET", f"{BASE}/objects/k")
    assert (got.status, got.code) == (expected, code)
    assert ("retry-after" in got.headers) == (expected == 503)


async def test_a_container_that_is_being_deleted_is_closed(served: World) -> None:
    known = served.memory.known[CONTAINER]
    served.memory.known[CONTAINER] = replace(known, deleting_since=START)
    for method in ("GET", "PUT"):
        got = await served.ask(method, f"{BASE}/objects/k", body=b"x" if method == "PUT" else None)
        assert (got.status, got.code) == (409, "container_deleting")


async def test_a_container_whose_location_is_gone_says_so(served: World) -> None:
    del served.memory.known[LOCATION]
    got = await served.ask("GET", f"{BASE}/objects/k")
    assert (got.status, got.code) == (503, "container_not_ready")
    assert "location" in got.json["detail"]


ERRORS: list[tuple[StowError, int]] = [
    (BackendUnreachableError("down"), 503),
    (CredentialsMissingError("no Secret"), 503),
    (InvalidSpecError("spec.s3"), 503),
]


@pytest.mark.parametrize(("error", "status"), ERRORS)
async def test_a_location_that_cannot_be_opened_says_why(served: World, error: StowError, status: int) -> None:
    served.stores.error = error
    got = await served.ask("GET", f"{BASE}/objects/k")
    assert (got.status, got.code) == (status, error.code)


async def test_a_new_container_is_read_once_before_the_watch_knows_it(served: World) -> None:
    await served.container("fresh", watched=False)
    base = "/v1/namespaces/team/containers/fresh"
    answers = await asyncio.gather(*(served.ask("PUT", f"{base}/objects/{n}", body=b"x") for n in range(5)))
    assert {each.status for each in answers} == {200}
    assert served.memory.reads == [ObjectRef("StowContainer", "team", "fresh")]


async def test_the_entry_of_a_container_that_the_watch_does_not_know_yet_stays_in_the_map(served: World) -> None:
    store = served.stores.by_ref[LOCATION]
    await served.container("fresh", watched=False)
    await served.ask("GET", "/v1/namespaces/team/containers/fresh/objects")
    served.clock.forward(5)
    await served.ask("GET", f"{BASE}/objects")
    assert store.containers.get("fresh-bucket") is not None
    served.clock.forward(60)
    await served.ask("GET", f"{BASE}/objects")
    assert store.containers.get("fresh-bucket") is None


async def test_what_does_not_exist_is_asked_for_once_in_a_while(served: World) -> None:
    base = "/v1/namespaces/team/containers/nothing"
    for _ in range(3):
        assert (await served.ask("GET", f"{base}/objects/k")).code == "container_not_found"
    assert len(served.memory.reads) == 1
    await served.container("nothing", watched=False)
    served.clock.forward(3)
    assert (await served.ask("GET", f"{base}/objects/k")).code == "object_not_found"


async def test_while_the_api_server_is_down_the_unknown_is_not_absent(served: World) -> None:
    served.memory.error = RuntimeError("canary")
    got = await served.ask("GET", "/v1/namespaces/team/containers/nothing/objects/k")
    assert (got.status, got.code) == (503, "control_plane")
    assert b"canary" not in got.raw
    assert (await served.ask("GET", f"{BASE}/objects/k")).code == "object_not_found"


async def test_a_declared_container_stands_in_the_map_and_leaves_it_with_its_object(served: World) -> None:
    store = served.stores.by_ref[LOCATION]
    await served.container("second")
    for name in ("reports", "second"):
        await served.ask("GET", f"/v1/namespaces/team/containers/{name}/objects")
    entry = store.containers.get("reports-bucket")
    assert entry is not None
    assert (entry.origin, entry.uid, entry.namespace, entry.resource) == (
        Origin.DECLARED,
        "uid-team-reports",
        "team",
        "reports",
    )
    del served.memory.known[CONTAINER]
    served.clock.forward(61)
    await served.ask("GET", "/v1/namespaces/team/containers/second/objects")
    assert [each.name for each in store.containers.all()] == ["second-bucket"]


# Through a location


@pytest.fixture
async def dynamic(world: World) -> World:
    """Location ``main`` with a base container, ``load*`` on demand, and the declared ``reports-bucket``."""
    world.location(config=DYNAMIC)
    for name in ("base-bucket", "loaded", "unlisted"):
        await world.driver.create_container(name, None)
    return world


async def test_a_location_serves_its_base_and_its_dynamic_containers(dynamic: World) -> None:
    async with dynamic.serving():
        for name in ("base-bucket", "loaded"):
            assert (await dynamic.ask("PUT", f"{THROUGH}/{name}/objects/k", body=b"data")).status == 200
            assert (await dynamic.ask("GET", f"{THROUGH}/{name}/objects/k")).body == b"data"
        assert (await dynamic.ask("GET", f"{THROUGH}/unlisted/objects")).code == "container_not_allowed"
        assert (await dynamic.ask("GET", f"{THROUGH}/load-absent/objects")).code == "container_not_found"
    assert set(dynamic.loads.entries) == {(LOCATION, "loaded")}


@pytest.mark.parametrize("name", ["load-declared", "reports-bucket"])
async def test_what_is_declared_is_forbidden_through_its_location_and_any_other(dynamic: World, name: str) -> None:
    """Also before anybody used it through its StowContainer, and where the backend knows no markers."""
    await dynamic.driver.create_container("load-declared", None)
    status = {
        **dynamic.memory.known[CONTAINER].status,
        "containerName": name,
        "backendIdentity": f"mem://memory/{name}",
    }
    dynamic.memory.known[CONTAINER] = replace(dynamic.memory.known[CONTAINER], status=status)
    dynamic.location("second", namespace="other", config=replace(DYNAMIC, uid="uid-second"))
    async with dynamic.serving():
        for base in (THROUGH, "/v1/namespaces/other/locations/second/containers"):
            for method in ("GET", "PUT", "DELETE"):
                got = await dynamic.ask(method, f"{base}/{name}/objects/k", body=b"x" if method == "PUT" else None)
                assert (got.status, got.code) == (403, "container_not_allowed")


async def test_what_somebody_is_about_to_create_is_forbidden_too(dynamic: World) -> None:
    known = dynamic.memory.known[CONTAINER]
    intent = {"nonce": "n", "containerName": "load-soon", "backendIdentity": "mem://memory/load-soon"}
    dynamic.memory.known[CONTAINER] = replace(known, status={"intent": intent})
    await dynamic.driver.create_container("load-soon", None)
    async with dynamic.serving():
        assert (await dynamic.ask("GET", f"{THROUGH}/load-soon/objects")).code == "container_not_allowed"


async def test_what_was_declared_stays_forbidden(dynamic: World) -> None:
    await dynamic.driver.create_container("load-was", Marker("i", "team", "was", "uid-was"))
    async with dynamic.serving():
        assert (await dynamic.ask("GET", f"{THROUGH}/load-was/objects")).code == "container_not_allowed"


async def test_a_container_that_is_declared_after_it_was_loaded_is_closed_to_the_location(dynamic: World) -> None:
    async with dynamic.serving():
        assert (await dynamic.ask("GET", f"{THROUGH}/loaded/objects")).status == 200
        known = dynamic.memory.known[CONTAINER]
        status = {**known.status, "containerName": "loaded", "backendIdentity": "mem://memory/loaded"}
        dynamic.memory.known[CONTAINER] = replace(known, status=status)
        dynamic.clock.forward(2)
        assert (await dynamic.ask("GET", f"{THROUGH}/loaded/objects")).status == 403


async def test_a_container_that_was_declared_after_it_was_loaded_stays_closed(dynamic: World) -> None:
    async with dynamic.serving():
        assert (await dynamic.ask("GET", f"{THROUGH}/loaded/objects")).status == 200
        known = dynamic.memory.known[CONTAINER]
        status = {**known.status, "containerName": "loaded", "backendIdentity": "mem://memory/loaded"}
        dynamic.memory.known[CONTAINER] = replace(known, status=status)
        await dynamic.driver.write_marker("loaded", Marker("i", "team", "reports", known.uid))
        dynamic.clock.forward(2)
        assert (await dynamic.ask("GET", f"{THROUGH}/base-bucket/objects")).status == 200  # anything at all
        del dynamic.memory.known[CONTAINER]
        dynamic.clock.forward(2)
        assert (await dynamic.ask("GET", f"{THROUGH}/loaded/objects")).code == "container_not_allowed"


async def test_a_location_that_does_not_exist_is_404_after_the_review(dynamic: World) -> None:
    async with dynamic.serving():
        target = "/v1/namespaces/team/locations/nothing/containers/base-bucket/objects"
        assert (await dynamic.ask("GET", target)).code == "location_not_found"
        dynamic.access.granted = set()
        dynamic.clock.forward(120)
        assert (await dynamic.ask("GET", target)).code == "forbidden"


# Cluster locations


@pytest.fixture
async def shared(world: World) -> World:
    """Cluster location ``shared``, open to ``team``, with a container of it."""
    config = StoreConfig("uid-shared", dynamic_allowed=lambda n, s: s is not None and n.startswith(f"{s.namespace}-"))
    world.location("shared", namespace=None, config=config, spec={"allowedNamespaces": {"names": ["team"]}})
    await world.container("central", location="shared", kind="ClusterStowLocation")
    await world.driver.create_container("team-x", None)
    await world.driver.create_container("other-x", None)
    return world


CENTRAL = "/v1/namespaces/team/containers/central/objects"
TEAM_X = "/v1/clusterlocations/shared/containers/team-x/objects"


async def test_a_cluster_location_serves_the_callers_namespace_and_no_other(shared: World) -> None:
    async with shared.serving():
        assert (await shared.ask("GET", CENTRAL)).status == 200
        assert (await shared.ask("GET", TEAM_X)).status == 200
        got = await shared.ask("GET", "/v1/clusterlocations/shared/containers/other-x/objects")
        assert got.code == "container_not_allowed"


async def test_a_revoked_namespace_is_out_at_the_next_request(shared: World) -> None:
    async with shared.serving():
        assert (await shared.ask("GET", CENTRAL)).status == 200
        spec = {"local": {"path": "shared"}, "allowedNamespaces": {"selector": {"matchLabels": {"tier": "gold"}}}}
        shared.memory.known[SHARED] = replace(shared.memory.known[SHARED], spec=spec, generation=2)
        for target in (CENTRAL, TEAM_X):
            assert (await shared.ask("GET", target)).code == "namespace_not_allowed"
        shared.memory.labels["team"] = {"tier": "gold"}
        for target in (CENTRAL, TEAM_X):
            assert (await shared.ask("GET", target)).status == 200


async def test_a_namespace_that_is_not_known_yet_is_let_in_by_no_selector(shared: World) -> None:
    """Its labels would decide, and NotIn and DoesNotExist say yes to none at all."""
    async with shared.serving():
        terms = [{"key": "tier", "operator": "NotIn", "values": ["gold"]}, {"key": "x", "operator": "DoesNotExist"}]
        spec = {"local": {"path": "shared"}, "allowedNamespaces": {"selector": {"matchExpressions": terms}}}
        shared.memory.known[SHARED] = replace(shared.memory.known[SHARED], spec=spec, generation=2)
        shared.memory.labels["team"] = {}
        assert (await shared.ask("GET", CENTRAL)).status == 200
        del shared.memory.labels["team"]
        assert (await shared.ask("GET", CENTRAL)).code == "namespace_not_allowed"


async def test_a_store_that_takes_too_long_to_open_is_a_timeout(world: World) -> None:
    class Slow:
        async def open(self, _: object) -> object:
            await asyncio.Event().wait()
            raise AssertionError

    world.stores = Slow()  # type: ignore[assignment]  # only open is used
    async with world.serving(GatewaySettings(deadlines=FAST, drain_grace_s=0.2)):
        assert (await world.ask("GET", f"{BASE}/objects")).status == 504
