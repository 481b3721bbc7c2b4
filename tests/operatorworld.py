"""A running operator over the real API server, and what a test does with both: apply, read, wait, count writes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from kubernetes.aio.client import ApiClient
from prometheus_client import CollectorRegistry

from stow.api.meta import API_VERSION
from stow.dev.audit import writes_to
from stow.dev.controlplane import ControlPlane
from stow.errors import ControlPlaneError
from stow.handlers.app import OperatorParts, OperatorSettings, run_operator
from stow.kube.cache import ObjectCache
from stow.kube.client import KubeConfig, connect
from stow.kube.events import KubeEvents
from stow.kube.factories import driver_factories
from stow.kube.lease import Lease, LeaseName
from stow.kube.plans import PlanSettings
from stow.kube.reader import KubeReader
from stow.kube.rest import Requests, collection_path, object_path, requests
from stow.kube.secrets import SecretPoller, SecretReader, referenced_sources
from stow.kube.stores import PoolParts, PoolSettings, StorePool
from stow.kube.writer import KubeWriter, WriteMetrics
from stow.reconcile.objects import ObjectRef
from stow.reconcile.ports import DynamicLoad
from stow.storage.budget import ByteBudget
from stow.storage.clock import utc_now
from stow.storage.egress import EgressPolicy
from stow.storage.local_signing import Keyring, SigningKey
from stow.storage.metrics import StoreMetrics

DEADLINE_S = 60.0
"""Far above what anything here takes, on a machine that compiles beside it."""
POLL_S = 0.05
SYSTEM_NAMESPACE = "default"
MIB = 1024 * 1024


@dataclass
class Dynamic:
    """Stands for the gateways' reports."""

    loads: dict[ObjectRef, list[DynamicLoad]] = field(default_factory=dict)

    def of(self, location: ObjectRef) -> list[DynamicLoad]:
        return self.loads.get(location, [])


@dataclass
class RunningOperator:
    """What a test may look into."""

    cache: ObjectCache
    pool: StorePool
    dynamic: Dynamic
    registry: CollectorRegistry
    address: tuple[str, int]
    requests_sent: list[tuple[str, str]]


@asynccontextmanager
async def running_operator(
    control_plane: ControlPlane, local_root: Path, *, lease: LeaseName | None = None, **changed: Any
) -> AsyncIterator[RunningOperator]:
    """The real operator, in this process, with real local stores. ``changed``: fields of OperatorSettings."""
    config = KubeConfig(path=control_plane.kubeconfig_path)
    settings = replace(
        OperatorSettings(
            kube=config,
            installation="test-installation",
            probe_floor=timedelta(milliseconds=200),
            recheck_floor=timedelta(milliseconds=200),
        ),
        **changed,
    )
    async with connect(config) as api:
        cache, dynamic, registry = ObjectCache(), Dynamic(), CollectorRegistry()
        sent: list[tuple[str, str]] = []
        request = _noting(requests(api), sent)
        plans = PlanSettings(namespace=SYSTEM_NAMESPACE, local_root=local_root)
        secrets = SecretPoller(
            SecretReader(request),
            lambda: referenced_sources(cache, system_namespace=plans.namespace),
            clock=utc_now,
            interval=timedelta(milliseconds=300),
        )
        pool = _pool(cache, secrets, registry, plans)
        metrics = WriteMetrics(registry)
        parts = OperatorParts(
            cache=cache,
            request=request,
            reader=KubeReader(request),
            writer=KubeWriter(request, metrics),
            events=KubeEvents(request, metrics, clock=utc_now, monotonic=time.monotonic),
            stores=pool,
            dynamic=dynamic,
            registry=registry,
            lease=Lease(request, lease, clock=utc_now, monotonic=time.monotonic) if lease is not None else None,
            wakes=(secrets,),
            services=(secrets.run,),
        )
        address: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(
            run_operator(settings, parts, serving=lambda host, port: address.set_result((host, port)))
        )
        try:
            await asyncio.wait({task, address}, return_when=asyncio.FIRST_COMPLETED, timeout=DEADLINE_S)
            if task.done():
                await task
            yield RunningOperator(cache, pool, dynamic, registry, address.result(), sent)
            if task.done():
                await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await pool.aclose()


def _noting(request: Requests, sent: list[tuple[str, str]]) -> Requests:
    async def noted(method: str, path: str, **arguments: Any) -> dict[str, Any]:
        sent.append((method, path))
        return await request(method, path, **arguments)

    return noted


def _pool(cache: ObjectCache, secrets: SecretPoller, registry: CollectorRegistry, plans: PlanSettings) -> StorePool:
    keyring = Keyring(SigningKey("k1", b"0" * 32, utc_now()))
    egress = EgressPolicy(allowed=tuple(ip_network(each) for each in ("127.0.0.0/8", "::1/128")))
    factories = driver_factories(clock=utc_now, keyring=lambda: keyring, egress=egress, budget=ByteBudget(64 * MIB))
    parts = PoolParts(
        objects=cache,
        secrets=secrets,
        factories=factories,
        metrics=StoreMetrics(registry),
        clock=utc_now,
        cursor_key=lambda: b"c" * 32,
        egress=egress,
    )
    return StorePool(parts, plans, PoolSettings())


@dataclass(frozen=True, slots=True)
class Cluster:
    """The API server, as an administrator uses it."""

    control_plane: ControlPlane
    api: ApiClient
    namespace: str

    @property
    def request(self) -> Requests:
        return requests(self.api)

    def ref(self, kind: str, name: str) -> ObjectRef:
        return ObjectRef(kind, None if kind == "ClusterStowLocation" else self.namespace, name)

    async def create(
        self, kind: str, name: str, spec: Mapping[str, Any], *, annotations: Mapping[str, str] | None = None
    ) -> ObjectRef:
        ref = self.ref(kind, name)
        body = {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": name, "annotations": dict(annotations or {})},
            "spec": dict(spec),
        }
        await self.request("POST", collection_path(kind, ref.namespace), body=body)
        return ref

    async def secret(self, name: str, data: Mapping[str, str]) -> ObjectRef:
        ref = ObjectRef("Secret", self.namespace, name)
        body = {"metadata": {"name": name}, "stringData": dict(data)}
        await self.request("POST", collection_path("Secret", self.namespace), body=body)
        return ref

    async def patch(self, ref: ObjectRef, change: Mapping[str, Any]) -> None:
        await self.request("PATCH", object_path(ref.kind, ref.namespace, ref.name), body=dict(change))

    async def delete(self, ref: ObjectRef) -> None:
        await self.request("DELETE", object_path(ref.kind, ref.namespace, ref.name))

    async def get(self, ref: ObjectRef) -> dict[str, Any] | None:
        try:
            return await self.request("GET", object_path(ref.kind, ref.namespace, ref.name))
        except ControlPlaneError as error:
            if error.status == 404:
                return None
            raise

    async def until(self, ref: ObjectRef, holds: Callable[[dict[str, Any] | None], bool], what: str) -> dict[str, Any]:
        """Read the object until it is so."""
        found: dict[str, Any] | None = None
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    found = await self.get(ref)
                    if holds(found):
                        return found or {}
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(f"{ref} did not come to be {what}; it is {(found or {}).get('status')}") from None

    async def ready(self, ref: ObjectRef) -> dict[str, Any]:
        return await self.until(ref, lambda found: condition(found, "Ready") == ("True", "Provisioned"), "Ready")

    async def location_ready(self, ref: ObjectRef) -> dict[str, Any]:
        return await self.until(ref, lambda found: condition(found, "Ready") == ("True", "Succeeded"), "Ready")

    async def reason(self, ref: ObjectRef, reason: str, type_: str = "Ready") -> dict[str, Any]:
        return await self.until(ref, lambda found: (condition(found, type_) or ("", ""))[1] == reason, reason)

    async def gone(self, ref: ObjectRef) -> None:
        await self.until(ref, lambda found: found is None, "gone")

    def writes(self, ref: ObjectRef) -> list[str]:
        """Accepted writes to the object, but its creation and deletion: ``patch``, ``update/status``."""
        plural = f"{ref.kind.lower()}s"
        events = writes_to(self.control_plane.audit_events(), plural, namespace=ref.namespace, name=ref.name)
        verbs = []
        for event in events:
            subresource = event["objectRef"].get("subresource")
            verbs.append(f"{event['verb']}/{subresource}" if subresource else event["verb"])
        return [verb for verb in verbs if verb not in {"create", "delete"}]


def condition(raw: Mapping[str, Any] | None, type_: str) -> tuple[str, str] | None:
    """(status, reason) of a condition."""
    conditions = ((raw or {}).get("status") or {}).get("conditions") or []
    return next(((each["status"], each["reason"]) for each in conditions if each["type"] == type_), None)


def message(raw: Mapping[str, Any] | None, type_: str = "Ready") -> str:
    conditions = ((raw or {}).get("status") or {}).get("conditions") or []
    return next((str(each["message"]) for each in conditions if each["type"] == type_), "")


LOCAL = {"local": {"path": "data"}, "baseContainer": {"name": "base-container", "createIfNotFound": True}}
"""A location that needs nothing but the operator's disk."""


def local_location(path: str = "data", **more: Any) -> dict[str, Any]:
    return {"local": {"path": path}, **more}


def container(location: str, *, kind: str = "StowLocation", **more: Any) -> dict[str, Any]:
    return {"locationRef": {"kind": kind, "name": location}, **more}
