"""The gateway, serving any number of stores on one loopback port. Everybody may do everything: access has its own tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count

from prometheus_client import CollectorRegistry

from conformance.clients import ObjectClient
from conformance.http_client import HTTPClient
from conformance.world import LOCATION_UID
from stow.gateway.app import Gateway, Parts
from stow.gateway.ports import Identity
from stow.gateway.settings import GatewaySettings
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.ownership import identity_of
from stow.reconcile.ports import OpenedStore
from stow.storage.clock import utc_now
from stow.storage.local_signing import Keyring
from stow.storage.metrics import StoreMetrics
from stow.storage.model import ContainerEntry, LocationID, Origin
from stow.storage.store import StowStore

TOKEN = "conformance-token"
NAMESPACE = "team"
THROUGH_LOCATION = frozenset({"file"})
"""Schemes whose containers are served as their location's base container; all others by the route of a StowContainer."""
_CREATED = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass(slots=True)
class Cluster:
    """The gateway's ports on Kubernetes: what was planted, and a yes to every question."""

    known: dict[ObjectRef, Snapshot] = field(default_factory=dict)
    opened: dict[ObjectRef, StowStore] = field(default_factory=dict)

    async def review(self, token: str) -> Identity | None:
        return Identity(f"system:serviceaccount:{NAMESPACE}:app") if token == TOKEN else None

    async def allowed(self, identity: Identity, **question: str) -> bool:
        return True

    def get(self, ref: ObjectRef) -> Snapshot | None:
        return self.known.get(ref)

    def list(self, kind: str) -> Collection[Snapshot]:
        return [each for each in self.known.values() if each.ref.kind == kind]

    def namespaces(self) -> Mapping[str, Mapping[str, str]]:
        return {NAMESPACE: {}}

    def containers_of(self, location: ObjectRef) -> Collection[Snapshot]:
        return ()

    async def read(self, ref: ObjectRef) -> Snapshot | None:
        return self.known.get(ref)

    async def namespace_terminating(self, name: str) -> bool:
        return False

    async def open(self, location: Snapshot) -> OpenedStore:
        return OpenedStore(self.opened[location.ref])

    def last_good(self, ref: ObjectRef) -> StowStore | None:
        return self.opened.get(ref)

    async def close(self, ref: ObjectRef) -> None:
        self.opened.pop(ref, None)

    def loaded(self, location: ObjectRef, entry: object) -> None:
        """Nobody listens to reports of dynamic loads here."""


def route_of_planted(entry: ContainerEntry) -> str:
    """A StowContainer by its own route; a base container where :meth:`ServingGateway.plant` puts it."""
    if entry.origin is Origin.DECLARED:
        return f"namespaces/{entry.namespace}/containers/{entry.resource}"
    return f"namespaces/{NAMESPACE}/locations/{entry.name}/containers/{entry.name}"


@dataclass(slots=True)
class Rings:
    """The keys of all signers whose URLs are served here; ids tell them apart."""

    current: list[Keyring] = field(default_factory=list)

    def append(self, ring: Keyring) -> None:
        self.current.append(ring)

    def __call__(self) -> Keyring | None:
        keys = [key for ring in self.current for key in ring.keys]
        return Keyring(keys[0], tuple(keys[1:])) if keys else None


class ServingGateway:
    """``serve`` plants a StowLocation and a StowContainer for a store and gives the client that talks to it."""

    def __init__(self, cluster: Cluster, port: int, rings: Rings) -> None:
        self._cluster = cluster
        self._port = port
        self._numbers = count(1)
        self.rings = rings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def plant(self, store: StowStore, container: str) -> None:
        """Serve signed URLs of the store's base container."""
        location = ObjectRef("StowLocation", NAMESPACE, container)
        spec = {"local": {"path": container}}
        self._cluster.known[location] = Snapshot(location, LOCATION_UID, 1, "1", _CREATED, spec=spec)
        self._cluster.opened[location] = store

    async def serve(self, store: StowStore, container: str) -> ObjectClient:
        number = next(self._numbers)
        location = ObjectRef("StowLocation", NAMESPACE, f"location-{number}")
        declared = ObjectRef("StowContainer", NAMESPACE, f"container-{number}")
        self._cluster.known[location] = Snapshot(
            location, f"uid-{location.name}", 1, "1", _CREATED, spec={"local": {"path": location.name}}
        )
        self._cluster.known[declared] = Snapshot(
            declared,
            f"uid-{declared.name}",
            1,
            "1",
            _CREATED,
            spec={"locationRef": {"kind": location.kind, "name": location.name}},
            status={
                "provisioned": "Created",
                "containerName": container,
                "fqn": store.fqn(container),
                "backendIdentity": identity_of(store.identity, container),
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "True",
                        "reason": "Provisioned",
                        "message": "",
                        "observedGeneration": 1,
                        "lastTransitionTime": "2026-01-02T00:00:00Z",
                    }
                ],
            },
        )
        if store.scheme in THROUGH_LOCATION:
            self._cluster.opened[location] = store
            del self._cluster.known[declared]
            path = f"/v1/namespaces/{NAMESPACE}/locations/{location.name}/containers/{container}"
            return HTTPClient(self._port, path, TOKEN)
        self._cluster.opened[location] = _without_base(store)
        return HTTPClient(self._port, f"/v1/namespaces/{NAMESPACE}/containers/{declared.name}", TOKEN)


def _without_base(store: StowStore) -> StowStore:
    """The same store, in which the container is a declared one: that is what a StowContainer's route serves."""
    return StowStore(
        replace(store.config, base_container=None),
        store.get_location(LocationID.MAIN),
        clock=store._clock,
        metrics=StoreMetrics(CollectorRegistry()).bind(kind="test", location="tests/http"),
        cursor_key=store._seal.key,
    )


@asynccontextmanager
async def serving_gateway() -> AsyncIterator[ServingGateway]:
    cluster, rings = Cluster(), Rings()
    parts = Parts(
        tokens=cluster,
        access=cluster,
        objects=cluster,
        reader=cluster,
        stores=cluster,
        keyrings=rings,
        loads=cluster,
        readiness=lambda: {"caches": True},
        clock=utc_now,
        registry=CollectorRegistry(),
        audit=lambda _line: None,
    )
    gateway = Gateway(GatewaySettings(drain_grace_s=0.5), parts)
    port = await gateway.start(host="127.0.0.1")
    try:
        yield ServingGateway(cluster, port, rings)
    finally:
        await gateway.stop()
