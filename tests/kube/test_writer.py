"""Writes to custom resources on the real API server, and what they refuse to overwrite; Events and their limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from stow.api.meta import API_VERSION, FINALIZER
from stow.errors import ControlPlaneError
from stow.kube.events import BURST, KubeEvents
from stow.kube.reader import KubeReader
from stow.kube.rest import Requests, collection_path, object_path
from stow.kube.writer import KubeWriter, WriteMetrics
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.storage.clock import utc_now

KIND = "StowContainer"
STATUS = {
    "observedGeneration": 1,
    "containerName": "box",
    "deletion": {"startedAt": "2030-01-01T00:00:00Z", "objects": 3},
}


@pytest.fixture
def writer(request_as_admin: Requests) -> KubeWriter:
    return KubeWriter(request_as_admin, WriteMetrics(CollectorRegistry()))


@pytest.fixture
async def made(request_as_admin: Requests, crds: None, namespace: str) -> Snapshot:
    body = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "box", "labels": {"kept": "yes"}, "finalizers": ["example.com/another"]},
        "spec": {"locationRef": {"name": "place"}},
    }
    return Snapshot.from_raw(await request_as_admin("POST", collection_path(KIND, namespace), body=body))


async def _now(request: Requests, ref: ObjectRef) -> Snapshot:
    found = await KubeReader(request).read(ref)
    assert found is not None
    return found


async def test_a_status_is_written_as_a_whole(request_as_admin: Requests, writer: KubeWriter, made: Snapshot) -> None:
    written = await writer.publish_status(made, STATUS)
    assert written.status == STATUS
    assert written.spec == made.spec
    assert written.labels == {"kept": "yes"}
    again = await writer.publish_status(written, {"observedGeneration": 1, "fqn": "s3://box"})
    assert again.status == {"observedGeneration": 1, "fqn": "s3://box"}
    assert (await _now(request_as_admin, made.ref)).resource_version == again.resource_version


async def test_an_equal_status_is_not_written(request_as_admin: Requests, writer: KubeWriter, made: Snapshot) -> None:
    written = await writer.publish_status(made, STATUS)
    assert await writer.publish_status(written, dict(STATUS)) is written
    assert (await _now(request_as_admin, made.ref)).resource_version == written.resource_version


@pytest.mark.parametrize("what", ["status", "finalizer"])
async def test_nothing_is_written_on_an_old_version(
    request_as_admin: Requests, writer: KubeWriter, made: Snapshot, what: str
) -> None:
    path = object_path(KIND, made.ref.namespace, made.ref.name)
    await request_as_admin("PATCH", path, body={"metadata": {"labels": {"new": "er"}}})
    with pytest.raises(ControlPlaneError) as caught:
        await (writer.publish_status(made, STATUS) if what == "status" else writer.add_finalizer(made))
    assert caught.value.status == 409


@pytest.mark.parametrize("what", ["status", "finalizer"])
async def test_nothing_is_written_on_a_namesake(
    request_as_admin: Requests, writer: KubeWriter, made: Snapshot, what: str
) -> None:
    namesake = replace(await _now(request_as_admin, made.ref), uid="00000000-0000-0000-0000-000000000000")
    with pytest.raises(ControlPlaneError) as caught:
        await (writer.publish_status(namesake, STATUS) if what == "status" else writer.add_finalizer(namesake))
    assert caught.value.status in {409, 422}


async def test_a_finalizer_comes_and_goes_beside_those_of_others(writer: KubeWriter, made: Snapshot) -> None:
    added = await writer.add_finalizer(made)
    assert added.finalizers == ("example.com/another", FINALIZER)
    assert await writer.add_finalizer(added) is added
    removed = await writer.remove_finalizer(added)
    assert removed is not None
    assert removed.finalizers == ("example.com/another",)
    assert await writer.remove_finalizer(removed) is removed


async def test_the_last_finalizer_ends_a_deleted_object_and_a_second_time_is_success(
    request_as_admin: Requests, writer: KubeWriter, made: Snapshot
) -> None:
    path = object_path(KIND, made.ref.namespace, made.ref.name)
    await request_as_admin("PATCH", path, body={"metadata": {"finalizers": [FINALIZER]}})
    await request_as_admin("DELETE", path)
    deleting = await _now(request_as_admin, made.ref)
    assert deleting.deleting_since is not None
    assert await writer.remove_finalizer(deleting) is None
    assert await KubeReader(request_as_admin).read(made.ref) is None
    assert await writer.remove_finalizer(deleting) is None


async def test_a_missing_namespace_counts_as_terminating(
    request_as_admin: Requests, namespace: str, unique_name: Callable[[str], str]
) -> None:
    reader = KubeReader(request_as_admin)
    assert not await reader.namespace_terminating(namespace)
    assert await reader.namespace_terminating(unique_name("never-made"))


async def test_an_event_reaches_its_object(request_as_admin: Requests, made: Snapshot) -> None:
    events = KubeEvents(request_as_admin, WriteMetrics(CollectorRegistry()), clock=utc_now, monotonic=lambda: 0.0)
    await events.emit(made, reason="Provisioned", message="m" * 5000, warning=False)
    found = await request_as_admin("GET", f"/api/v1/namespaces/{made.ref.namespace}/events")
    [event] = [each for each in found["items"] if each["involvedObject"].get("uid") == made.uid]
    assert (event["reason"], event["type"], len(event["message"])) == ("Provisioned", "Normal", 1024)


class Counting:
    """Requests that all are refused, or all taken."""

    def __init__(self, status: int | None = None) -> None:
        self.sent = 0
        self._status = status

    async def __call__(self, method: str, path: str, **_: Any) -> dict[str, Any]:
        self.sent += 1
        if self._status is not None:
            raise ControlPlaneError("no", status=self._status)
        return {}


def _snapshot() -> Snapshot:
    return Snapshot(ObjectRef(KIND, "team", "box"), "u", 1, "1", utc_now())


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_a_refused_event_is_nobodys_error(status: int) -> None:
    request = Counting(status)
    events = KubeEvents(request, WriteMetrics(CollectorRegistry()), clock=utc_now, monotonic=lambda: 0.0)
    await events.emit(_snapshot(), reason="Deleting", message="m", warning=True)
    assert request.sent == 1


async def test_events_are_limited_and_the_limit_refills() -> None:
    now = 0.0
    request = Counting()
    events = KubeEvents(request, WriteMetrics(CollectorRegistry()), clock=utc_now, monotonic=lambda: now)
    for _ in range(BURST * 3):
        await events.emit(_snapshot(), reason="Deleting", message="m", warning=True)
    assert request.sent == BURST
    now = 2.0
    for _ in range(5):
        await events.emit(_snapshot(), reason="Deleting", message="m", warning=True)
    assert request.sent == BURST + 2
