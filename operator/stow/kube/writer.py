"""All writes to custom resources: status as a whole, and one finalizer.

Each write names the version and the UID that it was decided on, so that it never lands on an object that has changed since, nor on a
namesake that came after it. What is already so is not written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter

from stow.api.meta import API_VERSION, FINALIZER
from stow.errors import ControlPlaneError
from stow.kube.rest import NOT_FOUND, Requests, object_path
from stow.reconcile.objects import Snapshot


class WriteMetrics:
    """Counts what goes to the API server, by kind of object and what was written."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._writes = Counter(
            "stow_api_writes", "Writes of the operator to the API server.", ("kind", "target"), registry=registry
        )

    def wrote(self, kind: str, target: str) -> None:
        self._writes.labels(kind, target).inc()


class KubeWriter:
    """Implements :class:`stow.reconcile.ports.Writer`."""

    def __init__(self, request: Requests, metrics: WriteMetrics) -> None:
        self._request = request
        self._metrics = metrics

    async def publish_status(self, snapshot: Snapshot, status: Mapping[str, Any]) -> Snapshot:
        if dict(snapshot.status) == dict(status):
            return snapshot
        # An update, not a patch: what is missing from the new status is gone, without naming it.
        body = {
            "apiVersion": API_VERSION,
            "kind": snapshot.ref.kind,
            "metadata": {**_identity(snapshot), "name": snapshot.ref.name, "namespace": snapshot.ref.namespace},
            "status": dict(status),
        }
        self._metrics.wrote(snapshot.ref.kind, "status")
        answer = await self._request("PUT", f"{_path(snapshot)}/status", body=body)
        return Snapshot.from_raw(answer)

    async def add_finalizer(self, snapshot: Snapshot) -> Snapshot:
        if FINALIZER in snapshot.finalizers:
            return snapshot
        return await self._set_finalizers(snapshot, (*snapshot.finalizers, FINALIZER))

    async def remove_finalizer(self, snapshot: Snapshot) -> Snapshot | None:
        if FINALIZER not in snapshot.finalizers:
            return snapshot
        others = tuple(each for each in snapshot.finalizers if each != FINALIZER)
        try:
            left = await self._set_finalizers(snapshot, others)
        except ControlPlaneError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return None if left.deleting_since is not None and not left.finalizers else left

    async def _set_finalizers(self, snapshot: Snapshot, finalizers: tuple[str, ...]) -> Snapshot:
        body = {"metadata": {**_identity(snapshot), "finalizers": list(finalizers)}}
        self._metrics.wrote(snapshot.ref.kind, "finalizer")
        return Snapshot.from_raw(await self._request("PATCH", _path(snapshot), body=body))


def _identity(snapshot: Snapshot) -> dict[str, str]:
    """Preconditions: the API server answers 409 where either is another one."""
    return {"uid": snapshot.uid, "resourceVersion": snapshot.resource_version}


def _path(snapshot: Snapshot) -> str:
    return object_path(snapshot.ref.kind, snapshot.ref.namespace, snapshot.ref.name)
