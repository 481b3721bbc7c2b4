"""kill -9 at every named crash point: the next start converges, and writes only what is missing.

Each scenario starts the process with `STOW_CRASH_AT`, does what passes the point, and sees it die of SIGKILL. A crash point without a
scenario, and a scenario that does not pass its point, fail the run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

import aiohttp
import pytest

from e2e.backends import keys_in, put
from e2e.cluster import ALL_OBJECTS, MAY_SIGN, SYSTEM_NAMESPACE, map_of, rule
from e2e.installation import Installation
from e2e.web import container_path, location_path
from stow.api.meta import FINALIZER
from stow.kube.keys import DEFAULT_NAME
from stow.reconcile.objects import ObjectRef
from stow.storage.crashpoints import CrashPoint
from stow.storage.model import Marker

MIB = 1024 * 1024
Scenario = Callable[[Installation, CrashPoint], Awaitable[None]]


@contextlib.asynccontextmanager
async def crashing_operator(installation: Installation, point: CrashPoint) -> AsyncIterator[None]:
    """The block does what passes the point. After it the operator died there, and runs again."""
    await installation.kill(installation.operator)
    process = await installation.start_operator(crash_at=point.value, ready=False)  # it may die before it is
    yield
    await installation.killed(process)
    await installation.stop(process)
    await installation.start_operator()


@contextlib.asynccontextmanager
async def crashing_gateway(installation: Installation, point: CrashPoint) -> AsyncIterator[None]:
    await installation.kill(installation.gateway)
    process = await installation.start_gateway(crash_at=point.value)
    yield
    await installation.killed(process)
    await installation.stop(process)
    await installation.start_gateway()


async def creating(installation: Installation, point: CrashPoint) -> None:
    """A StowContainer on its way to Ready: one container, marked, and no more than the three writes of an undisturbed way."""
    cluster = installation.cluster
    team = await cluster.namespace()
    location = await installation.location("minio", team)
    await cluster.ready(location)
    async with crashing_operator(installation, point):
        container = await installation.container(team, "reports")
    found = await cluster.ready(container)
    assert found["status"]["provisioned"] == "Created"
    assert "intent" not in found["status"]
    assert found["metadata"]["finalizers"] == [FINALIZER]
    assert len(cluster.writes(container)) == 3, cluster.writes(container)
    async with installation.backend("minio", team) as backend:
        marker = await backend.read_marker(f"{team}-reports")
    assert isinstance(marker, Marker)
    assert (marker.namespace, marker.name, marker.uid) == (team, "reports", found["metadata"]["uid"])
    await cluster.until(location, lambda now: map_of(now) == {f"{team}-reports": "Declared"}, "a map of one")


async def deleting(installation: Installation, point: CrashPoint) -> None:
    """The bucket is gone, the finalizer is not: it goes at the next start, and nothing is made anew."""
    cluster = installation.cluster
    team = await cluster.namespace()
    await installation.location("minio", team)
    container = await installation.container(team, "reports", deletionPolicy="DeleteIfEmpty")
    await cluster.ready(container)
    async with crashing_operator(installation, point):
        await cluster.delete(container)
    await cluster.gone(container)
    async with installation.backend("minio", team) as backend:
        assert not await backend.container_exists(f"{team}-reports")


async def probing(installation: Installation, point: CrashPoint) -> None:
    """What was seen is not in status: it is seen again, and written once."""
    cluster = installation.cluster
    await cluster.wipe()  # a start probes all locations that are there
    team = await cluster.namespace()
    async with crashing_operator(installation, point):
        location = await installation.location("minio", team)
    await cluster.ready(location)
    assert len(cluster.writes(location)) == 1, cluster.writes(location)


async def making_keys(installation: Installation, point: CrashPoint) -> None:
    """Before the keys are in their Secret nobody has used them; the next start makes others, once."""
    cluster = installation.cluster
    secret = ObjectRef("Secret", SYSTEM_NAMESPACE, DEFAULT_NAME)
    await installation.kill(installation.gateway)
    await installation.kill(installation.operator)
    await cluster.delete(secret)
    process = await installation.start_operator(crash_at=point.value, ready=False)
    await installation.killed(process)
    await installation.stop(process)
    await installation.start()
    made = await cluster.get(secret)
    await installation.restart_operator()
    again = await cluster.get(secret)
    assert made is not None
    assert again is not None
    assert made["metadata"]["resourceVersion"] == again["metadata"]["resourceVersion"]

    team = await cluster.namespace()
    await installation.location("local", team, signedURL={"methods": ["GET"]})
    await cluster.ready(await installation.container(team, "reports"))
    token, base = await cluster.workload(team, "app", ALL_OBJECTS, MAY_SIGN), container_path(team, "reports")
    assert (await installation.web.ask("PUT", f"{base}/objects/k", token=token, body=b"text")).status == 200
    signed = await installation.web.post(f"{base}/sign", {"key": "k", "method": "GET"}, token=token)
    assert (await installation.web.ask("GET", signed.json["url"])).body == b"text"


async def reporting(installation: Installation, point: CrashPoint) -> None:
    """What was loaded on demand stands in the map although the gateway that reported it died at once."""
    cluster, web = installation.cluster, installation.web
    team = await cluster.namespace()
    async with installation.backend("minio", team) as backend:
        await backend.create_container(f"{team}-loaded", None)
        await put(backend, f"{team}-loaded", "k", b"text")
    location = await installation.location("minio", team, dynamicContainers={"enabled": True})
    await cluster.ready(location)
    token = await cluster.workload(team, "app", rule("stowlocations/objects", "get"))
    path = f"{location_path(team, 'main', f'{team}-loaded')}/objects/k"
    async with crashing_gateway(installation, point):
        with contextlib.suppress(aiohttp.ClientError):  # it may die before it has answered
            await web.ask("GET", path, token=token)
    await cluster.until(location, lambda now: map_of(now) == {f"{team}-loaded": "Dynamic"}, "a map of one")
    before = cluster.writes(location)
    assert (await web.ask("GET", path, token=token)).body == b"text"
    assert cluster.writes(location) == before


UPLOADS: Final = {
    CrashPoint.UPLOAD_OPENED: (("local", "fresh", False), ("minio", "old", True)),
    CrashPoint.UPLOAD_RECEIVED: (("local", "old", True), ("minio", "fresh", False)),
}
"""Where, onto what, and whether the client says how long the body is. To MinIO a body of unknown length goes in parts."""
MULTIPART_MIB: Final = 9
"""More than the first part."""


async def uploading(installation: Installation, point: CrashPoint) -> None:
    """Over an old object and over none, with and without a length: afterwards there is the old one, none, or the whole new one."""
    cluster, web = installation.cluster, installation.web
    old = b"old " * 1000
    for kind, key, with_length in UPLOADS[point]:
        is_multipart = kind == "minio" and not with_length
        new = b"new!" * (MIB // 4) * (MULTIPART_MIB if is_multipart else 1)
        team = await cluster.namespace()
        await installation.location(kind, team)
        container = await installation.container(team, "reports")
        await cluster.ready(container)
        token, base = await cluster.workload(team, "app", ALL_OBJECTS), container_path(team, "reports")
        assert (await web.ask("PUT", f"{base}/objects/old", token=token, body=old)).status == 200
        before = cluster.writes(container)
        async with crashing_gateway(installation, point):
            body = new if with_length else _chunks(new)
            with pytest.raises(aiohttp.ClientError):
                await web.ask("PUT", f"{base}/objects/{key}", token=token, body=body)
        async with installation.backend(kind, team) as backend:
            there = await keys_in(backend, f"{team}-reports")
            left = (await backend.container_contents(f"{team}-reports")).uploads
        assert left == (1 if is_multipart else 0), "what was begun stays open until it is swept"
        found = await web.ask("GET", f"{base}/objects/{key}", token=token)
        if key == "old":
            assert found.body in {old, new}
        else:
            assert found.status == 404 or found.body == new
        assert there in ({"old": len(old)}, {**there, key: len(new)})
        assert set(there) <= {"old", key}
        assert (await web.ask("PUT", f"{base}/objects/{key}", token=token, body=_chunks(new))).status == 200
        assert (await web.ask("GET", f"{base}/objects/{key}", token=token)).body == new
        assert cluster.writes(container) == before


async def _chunks(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 128 * 1024):
        yield data[at : at + 128 * 1024]
        await asyncio.sleep(0)


SCENARIOS: Final[Mapping[CrashPoint, Scenario]] = {
    CrashPoint.FINALIZER_ADDED: creating,
    CrashPoint.INTENT_WRITTEN: creating,
    CrashPoint.CONTAINER_CREATED: creating,
    CrashPoint.MARKER_WRITTEN: creating,
    CrashPoint.CONTAINER_DELETED: deleting,
    CrashPoint.LOCATION_PROBED: probing,
    CrashPoint.KEYS_GENERATED: making_keys,
    CrashPoint.UPLOAD_OPENED: uploading,
    CrashPoint.UPLOAD_RECEIVED: uploading,
    CrashPoint.LOAD_RECORDED: reporting,
}


@pytest.mark.parametrize("point", CrashPoint)
async def test_nothing_is_lost_when_killed_at(installation: Installation, point: CrashPoint) -> None:
    await SCENARIOS[point](installation, point)
