"""kopf's watches on the real API server: what they bring, what they never write, and that they begin anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from operatorworld import DEADLINE_S, Cluster, container
from stow.dev.controlplane import ControlPlane
from stow.handlers.feed import Feed
from stow.handlers.watching import Watcher
from stow.kube.cache import ObjectCache
from stow.kube.client import KubeConfig
from stow.reconcile.objects import ObjectRef


def _nobody(ref: ObjectRef, *, after_s: float = 0.0, afresh: bool = False) -> None:
    """Nothing is reconciled here."""


@asynccontextmanager
async def _watching(config: KubeConfig, cache: ObjectCache, **given: tuple[str, ...]) -> AsyncIterator[Watcher]:
    watcher = Watcher(config, Feed(cache, _nobody), **given)
    task = asyncio.create_task(watcher.run())
    try:
        yield watcher
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until(holds: Callable[[], bool], cache: ObjectCache) -> None:
    changed = asyncio.Event()
    end = cache.subscribe(lambda *_: changed.set())
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not holds():
                changed.clear()
                await changed.wait()
    finally:
        end()


async def test_the_memory_is_complete_before_anything_is_decided(cluster: Cluster, control_plane: ControlPlane) -> None:
    refs = [await cluster.create("StowContainer", f"box-{n}", container("nowhere")) for n in range(30)]
    cache, complete = ObjectCache(), asyncio.Event()
    async with _watching(KubeConfig(path=control_plane.kubeconfig_path), cache) as watcher:
        watcher.on_complete(complete.set)
        assert not cache.synced
        await asyncio.wait_for(complete.wait(), DEADLINE_S)
        assert cache.synced
        assert {each.ref for each in cache.list("StowContainer")} >= set(refs)
        assert cluster.namespace in cache.namespaces()


async def test_changes_and_ends_arrive_and_nothing_is_written(cluster: Cluster, control_plane: ControlPlane) -> None:
    cache = ObjectCache()
    async with _watching(KubeConfig(path=control_plane.kubeconfig_path), cache):
        ref = await cluster.create("StowContainer", "box", container("nowhere"))
        await _until(lambda: cache.get(ref) is not None, cache)
        await cluster.patch(ref, {"metadata": {"labels": {"some": "label"}}})
        await _until(lambda: (found := cache.get(ref)) is not None and found.labels == {"some": "label"}, cache)
        await cluster.delete(ref)
        await _until(lambda: cache.get(ref) is None, cache)
    assert cluster.writes(ref) == ["patch"]


async def test_only_the_given_namespaces_are_watched(
    cluster: Cluster, control_plane: ControlPlane, unique_name: Callable[[str], str]
) -> None:
    other = unique_name("other")
    await cluster.request("POST", "/api/v1/namespaces", body={"metadata": {"name": other}})
    far = Cluster(cluster.control_plane, cluster.api, other)
    near_ref = await cluster.create("StowContainer", "near", container("nowhere"))
    far_ref = await far.create("StowContainer", "far", container("nowhere"))
    cache, complete = ObjectCache(), asyncio.Event()
    config = KubeConfig(path=control_plane.kubeconfig_path)
    async with _watching(config, cache, namespaces=(cluster.namespace,)) as watcher:
        watcher.on_complete(complete.set)
        await asyncio.wait_for(complete.wait(), DEADLINE_S)
        assert cache.get(near_ref) is not None
        assert cache.get(far_ref) is None


async def test_watches_that_cannot_begin_end_nothing_and_begin_when_they_can(
    cluster: Cluster, control_plane: ControlPlane, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kubeconfig"
    cache, complete = ObjectCache(), asyncio.Event()
    async with _watching(KubeConfig(path=path), cache) as watcher:
        watcher.on_complete(complete.set)
        async with asyncio.timeout(DEADLINE_S):
            while "cannot begin" not in caplog.text:  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.05)
        path.write_bytes(control_plane.kubeconfig_path.read_bytes())
        await asyncio.wait_for(complete.wait(), DEADLINE_S)
