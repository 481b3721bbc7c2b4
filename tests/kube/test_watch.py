"""Watcher against the real API server: it follows, survives a restart, and sees what went while it looked away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient

from kubehelp import DEADLINE_S, ServiceAccounts, until
from stow.dev.controlplane import ControlPlane
from stow.kube.cache import ObjectCache
from stow.kube.rest import Requests, collection_path, object_path
from stow.kube.tokens import request_token
from stow.kube.watch import Watcher, WatchSettings
from stow.reconcile.objects import ObjectRef

ISSUER = "https://kubernetes.default.svc.cluster.local"
FAST = {"first_pause_s": 0.05, "longest_pause_s": 0.2, "between_watches_s": 0.01}


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def synced(cache: ObjectCache) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await cache.wait_synced()


def location_body(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "stowstore.io/v1alpha1",
        "kind": "StowLocation",
        "metadata": {"name": name},
        "spec": {"local": {"path": "data"}, **spec},
    }


class World:
    def __init__(self, request: Requests, namespace: str) -> None:
        self.request = request
        self.namespace = namespace
        self.cache = ObjectCache()

    async def create(self, name: str, **spec: Any) -> dict[str, Any]:
        path = collection_path("StowLocation", self.namespace)
        return await self.request("POST", path, body=location_body(name, **spec))

    async def delete(self, name: str) -> None:
        await self.request("DELETE", object_path("StowLocation", self.namespace, name))

    def names(self) -> set[str]:
        return {s.ref.name for s in self.cache.list("StowLocation") if s.ref.namespace == self.namespace}


@pytest.fixture
def world(crds: None, request_as_admin: Requests, namespace: str) -> World:
    return World(request_as_admin, namespace)


async def test_it_lists_page_by_page_and_then_follows(world: World, api: ApiClient) -> None:
    names = {f"disk-{at}" for at in range(5)}
    for name in names:
        await world.create(name)
    settings = WatchSettings(page_size=2, **FAST)
    async with running(Watcher(api, world.cache, settings).run()):
        await until(world.cache, lambda: world.names() == names)
        await synced(world.cache)
        assert world.namespace in world.cache.namespaces()
        await world.delete("disk-0")
        await world.create("disk-9")
        await until(world.cache, lambda: world.names() == names - {"disk-0"} | {"disk-9"})
        body = {"spec": {"suspend": True}}
        await world.request("PATCH", object_path("StowLocation", world.namespace, "disk-9"), body=body)
        ref = ObjectRef("StowLocation", world.namespace, "disk-9")

        def suspended() -> bool:
            found = world.cache.get(ref)
            return found is not None and found.spec.get("suspend") is True

        await until(world.cache, suspended)


async def test_what_went_while_nobody_watched_is_gone_after_the_next_list(world: World, api: ApiClient) -> None:
    for name in ("kept", "gone"):
        await world.create(name)
    async with running(Watcher(api, world.cache, WatchSettings(**FAST)).run()):
        await until(world.cache, lambda: world.names() == {"kept", "gone"})
    await world.delete("gone")
    await world.create("new")
    assert world.names() == {"kept", "gone"}
    async with running(Watcher(api, world.cache, WatchSettings(**FAST)).run()):
        await until(world.cache, lambda: world.names() == {"kept", "new"})


async def test_a_restart_of_the_control_plane_only_costs_time(
    world: World, api: ApiClient, control_plane: ControlPlane
) -> None:
    await world.create("before")
    watcher = Watcher(api, world.cache, WatchSettings(**FAST))
    async with running(watcher.run()) as task:
        await until(world.cache, lambda: world.names() == {"before"})
        await synced(world.cache)
        await asyncio.to_thread(control_plane.restart)
        await world.create("after")
        await world.delete("before")
        await until(world.cache, lambda: world.names() == {"after"})
        assert not task.done()
        assert watcher.lagging <= {"StowContainer", "ClusterStowLocation", "Namespace"}


async def test_with_namespaces_it_needs_no_rights_in_the_cluster(world: World, accounts: ServiceAccounts) -> None:
    await accounts.make("gateway")
    rule = {
        "apiGroups": ["stowstore.io"],
        "resources": ["stowlocations", "stowcontainers"],
        "verbs": ["list", "watch"],
    }
    await accounts.allow("gateway", [rule])
    issued = await request_token(world.request, namespace=world.namespace, service_account="gateway", audience=ISSUER)
    await world.create("mine")
    settings = WatchSettings(namespaces=(world.namespace,), cluster_kinds=False, **FAST)
    async with running(Watcher(accounts.connect(issued.token), world.cache, settings).run()):
        await synced(world.cache)
        assert {s.ref.namespace for s in world.cache.list("StowLocation")} == {world.namespace}
        assert not world.cache.namespaces()


async def test_a_kind_that_may_not_be_read_holds_up_no_other_and_is_said_once(
    world: World, accounts: ServiceAccounts, caplog: pytest.LogCaptureFixture
) -> None:
    await accounts.make("gateway")
    rule = {"apiGroups": ["stowstore.io"], "resources": ["stowlocations"], "verbs": ["list", "watch"]}
    await accounts.allow_everywhere("gateway", [rule])
    issued = await request_token(world.request, namespace=world.namespace, service_account="gateway", audience=ISSUER)
    await world.create("mine")
    tries = Tries()
    watcher = Watcher(accounts.connect(issued.token), world.cache, WatchSettings(**FAST), sleep=tries.sleep)
    async with running(watcher.run()):
        await until(world.cache, lambda: world.names() == {"mine"})
        await tries.reached(9)
    assert world.cache.unsynced == {"StowContainer", "ClusterStowLocation", "Namespace"}
    assert watcher.lagging == world.cache.unsynced
    assert caplog.text.count("Watching Namespace failed") == 1
    assert "403" in caplog.text


class Tries:
    """Pauses that end at once, counted."""

    def __init__(self) -> None:
        self.count = 0
        self._changed = asyncio.Event()

    async def sleep(self, _seconds: float) -> None:
        self.count += 1
        self._changed.set()
        await asyncio.sleep(0.01)  # gives the other streams their turn

    async def reached(self, count: int, *, within_s: float = 30.0) -> None:
        async with asyncio.timeout(within_s):
            while self.count < count:
                self._changed.clear()
                await self._changed.wait()


async def test_a_quiet_watch_is_taken_up_again_and_is_no_failure(
    world: World, api: ApiClient, caplog: pytest.LogCaptureFixture
) -> None:
    await world.create("before")
    ended = Tries()
    settings = WatchSettings(watch_s=(1.0, 1.0), idle_timeout_s=20.0)
    watcher = Watcher(api, world.cache, settings, kinds=["StowLocation"], sleep=ended.sleep)
    async with running(watcher.run()):
        await ended.reached(2)
        await world.create("after")
        await until(world.cache, lambda: world.names() == {"before", "after"})
    assert "failed" not in caplog.text


def test_a_dead_connection_is_noticed_within_a_minute_and_a_quiet_one_is_not_taken_for_dead() -> None:
    settings = WatchSettings()
    assert max(settings.watch_s) < settings.idle_timeout_s
    assert settings.idle_timeout_s + settings.connect_timeout_s < 60
