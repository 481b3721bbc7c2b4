"""From a route to a store and a container in it: what stands behind a name at this moment.

Runs after the access review has said yes, so its 404s tell nothing to strangers. Answers from memory; a name that memory lacks costs one
read of the API server, shared by all askers and remembered for a moment. ``allowedNamespaces`` and the pinned backend are looked at each
time. Keeps the stores' maps of Declared containers in step with the StowContainers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from stow.api.conditions import is_true
from stow.api.container import container_spec
from stow.api.location import LocationSpec, location_spec
from stow.api.meta import CLUSTER_STOW_LOCATION, STOW_CONTAINER, STOW_LOCATION
from stow.api.reasons import ConditionType
from stow.api.status import ContainerStatus, container_status
from stow.errors import BackendTimeoutError, ContainerNotAllowedError, ControlPlaneError
from stow.gateway.cache import FlightCache
from stow.gateway.problems import Code, Refusal
from stow.gateway.routes import Family, Target
from stow.gateway.settings import GatewaySettings
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.ownership import identity_of
from stow.reconcile.ports import Objects, Reader, Stores
from stow.storage.clock import Clock
from stow.storage.model import ContainerEntry, Origin, Scope
from stow.storage.names import DataReference
from stow.storage.store import StowStore

_log = logging.getLogger(__name__)
_WATCH_LAG: Final = timedelta(minutes=1)
"""A StowContainer that the watch does not know may be this new; an older entry without one is of an object that is gone."""
_INDEX_S: Final = 1.0
"""How old the index of declared containers may be; a watch is no quicker."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a request goes. ``uid`` is what a local signature of this container is bound to."""

    store: StowStore
    location: ObjectRef
    spec: LocationSpec
    container: str
    scope: Scope
    uid: str
    ready: bool

    def reference(self, key: str = "") -> DataReference:
        return self.store.reference(self.container, key)


class Resolver:
    """Implements the look-up over the reconcilers' ports."""

    def __init__(
        self,
        *,
        objects: Objects,
        reader: Reader,
        stores: Stores,
        settings: GatewaySettings,
        clock: Clock,
        now: Callable[[], float],
    ) -> None:
        self._objects = objects
        self._reader = reader
        self._stores = stores
        self._deadlines = settings.deadlines
        self._clock = clock
        self._now = now
        self._reads: FlightCache[ObjectRef, Snapshot | None] = FlightCache(
            lifetime_s=lambda _: settings.caching.resource_s,
            now=now,
            max_entries=settings.caching.max_entries,
            max_loads=settings.limits.max_reviews,
        )
        self._specs: dict[ObjectRef, tuple[str, int, LocationSpec]] = {}
        self._open: dict[ObjectRef, StowStore] = {}
        self._declared: frozenset[str] = frozenset()
        self._declared_until = float("-inf")

    async def resolve(self, target: Target, *, namespace: str | None) -> Resolved:
        """``namespace`` is the target's own, for cluster locations the caller's; None there: nobody's, a signed URL's.

        Raises:
            Refusal: not there, not usable, or not for this namespace.
            StowError: the location's store cannot be opened.
        """
        if target.family is Family.CONTAINER:
            return await self._container(ObjectRef(STOW_CONTAINER.kind, namespace, target.container))
        return await self._through_location(target, namespace)

    async def find(self, ref: ObjectRef) -> Snapshot | None:
        """From memory, else - once - from the API server."""
        known = self._objects.get(ref)
        if known is not None:
            return known
        return await self._reads.get(ref, lambda: self._read(ref))

    async def _read(self, ref: ObjectRef) -> Snapshot | None:
        try:
            async with asyncio.timeout(self._deadlines.review_s):
                return await self._reader.read(ref)
        except Exception as error:  # unknown is not absent; the adapter's text stays out of log and answer
            _log.warning("reading a %s failed: %s", ref.kind, type(error).__name__)
            raise ControlPlaneError(
                "The API server cannot be asked for this object at the moment; try again."
            ) from error

    # StowContainers

    async def _container(self, ref: ObjectRef) -> Resolved:
        found = await self.find(ref)
        if found is None:
            raise Refusal(Code.CONTAINER_NOT_FOUND, f"There is no StowContainer {ref.name} in this namespace.")
        status = container_status(found.status)
        name = _usable_name(found, status)
        wanted = container_spec(found.spec).location_ref
        location = ObjectRef(wanted.kind, None if wanted.is_cluster else ref.namespace, wanted.name)
        snapshot = await self.find(location)
        if snapshot is None:
            raise Refusal(Code.CONTAINER_NOT_READY, "The container's location does not exist at the moment.")
        spec = self._spec(snapshot)
        self._check_namespace(spec, ref.namespace or "")
        store = await self._store(snapshot)
        if status.backend_identity != identity_of(store.identity, name):
            raise Refusal(
                Code.CONTAINER_STALLED,
                "The container's location now leads to another backend; see the StowContainer's conditions.",
            )
        entry = ContainerEntry(
            name=name,
            fqn=store.fqn(name),
            origin=Origin.DECLARED,
            loaded_at=self._clock(),
            uid=found.uid,
            namespace=ref.namespace,
            resource=ref.name,
        )
        self._refresh()
        store.containers.record(entry)
        ready = is_true(status.conditions, ConditionType.READY)
        return Resolved(store, location, spec, name, Scope(ref.namespace or "", found.uid), found.uid, ready)

    # Locations

    async def _through_location(self, target: Target, namespace: str | None) -> Resolved:
        ref = _location_ref(target, namespace)
        snapshot = await self.find(ref)
        if snapshot is None:
            raise Refusal(Code.LOCATION_NOT_FOUND, f"There is no {ref.kind} {ref.name} here.")
        spec = self._spec(snapshot)
        if namespace is not None:
            self._check_namespace(spec, namespace)
        store = await self._store(snapshot)
        self.check_undeclared(store, target.container)
        return Resolved(
            store, ref, spec, target.container, Scope(namespace or ""), snapshot.uid, snapshot.deleting_since is None
        )

    def check_undeclared(self, store: StowStore, container: str) -> None:
        """Raises:
        ContainerNotAllowedError: a StowContainer - of any namespace or location - declares this container.
        """
        self._refresh()
        if container != store.config.base_container and identity_of(store.identity, container) in self._declared:
            raise ContainerNotAllowedError(
                "This container is not available here: it is neither the location's base container nor one that it loads on demand."
            )

    def _check_namespace(self, spec: LocationSpec, namespace: str) -> None:
        if spec.is_cluster and not self.namespace_allowed(spec, namespace):
            raise Refusal(
                Code.NAMESPACE_NOT_ALLOWED,
                f"The cluster location does not let the namespace {namespace} in; ask the platform team for allowedNamespaces.",
            )

    def namespace_allowed(self, spec: LocationSpec, namespace: str) -> bool:
        """With the labels that the namespace has now."""
        return spec.allowed_namespaces.allows(namespace, self._objects.namespaces().get(namespace))

    def remembered(self, target: Target) -> Snapshot | None:
        """The custom resource that a signed URL is bound to, from memory alone: a stranger's request costs no call."""
        if target.family is Family.CONTAINER:
            return self._objects.get(ObjectRef(STOW_CONTAINER.kind, target.namespace, target.container))
        return self._objects.get(_location_ref(target, target.namespace))

    def served_namespaces(self, resolved: Resolved) -> tuple[str, ...]:
        """The namespaces that a cluster location lets in now and that get this container there: its base, or one that it loads for them."""
        base = resolved.container == resolved.store.config.base_container
        return tuple(
            name
            for name in self._objects.namespaces()
            if self.namespace_allowed(resolved.spec, name)
            and (base or resolved.store.config.dynamic_allowed(resolved.container, Scope(name)))
        )

    def _spec(self, location: Snapshot) -> LocationSpec:
        """Raises:
        InvalidSpecError
        """
        known = self._specs.get(location.ref)
        if known is not None and known[:2] == (location.uid, location.generation):
            return known[2]
        spec = location_spec(location.ref.kind, location.spec)
        self._specs[location.ref] = (location.uid, location.generation, spec)
        return spec

    async def _store(self, location: Snapshot) -> StowStore:
        try:
            async with asyncio.timeout(self._deadlines.backend_total_s):
                opened = await self._stores.open(location)
        except TimeoutError as error:
            raise BackendTimeoutError("The location's backend did not answer in time.") from error
        # A problem with the present spec or Secret is the status's to tell; the last good store serves on.
        self._open[location.ref] = opened.store
        return opened.store

    def _refresh(self) -> None:
        """Bring the index of declared containers and the stores' maps in step with what is known, at most once a second."""
        if self._now() < self._declared_until:
            return
        self._declared_until = self._now() + _INDEX_S
        containers = self._objects.list(STOW_CONTAINER.kind)
        self._declared = frozenset(identity for each in containers for identity in _identities(each.status))
        alive = {each.uid for each in containers}
        for ref in [ref for ref in self._open if self._objects.get(ref) is None]:
            del self._open[ref]
            self._specs.pop(ref, None)
        for store in self._open.values():
            for entry in store.containers.all():
                young = self._clock() - entry.loaded_at < _WATCH_LAG
                gone = entry.origin is Origin.DECLARED and entry.uid not in alive and not young
                # What was loaded before it was declared: who loads it anew sees its marker, also when the declaration is gone.
                taken = entry.origin is Origin.DYNAMIC and identity_of(store.identity, entry.name) in self._declared
                if gone or taken:
                    store.containers.forget(entry.name, uid=entry.uid)

    async def aclose(self) -> None:
        await self._reads.aclose()


def _location_ref(target: Target, namespace: str | None) -> ObjectRef:
    if target.family is Family.CLUSTER_LOCATION:
        return ObjectRef(CLUSTER_STOW_LOCATION.kind, None, target.location or "")
    return ObjectRef(STOW_LOCATION.kind, namespace, target.location or "")


def _identities(status: Mapping[str, object]) -> Iterator[str]:
    """What a StowContainer has or means to make. Read raw: this runs over all of them, and parsing each would take the loop."""
    intent = status.get("intent")
    for holder in (status, intent):
        identity = holder.get("backendIdentity") if isinstance(holder, Mapping) else None
        if isinstance(identity, str):
            yield identity


def _usable_name(found: Snapshot, status: ContainerStatus) -> str:
    """The container's name at the backend, once it may be used."""
    if found.deleting_since is not None:
        raise Refusal(Code.CONTAINER_DELETING, "The StowContainer is being deleted.")
    if is_true(status.conditions, ConditionType.CONFLICT):
        raise Refusal(Code.CONTAINER_STALLED, "The container is in use elsewhere; see the StowContainer's conditions.")
    if status.provisioned is None or status.container_name is None:
        if is_true(status.conditions, ConditionType.STALLED):
            raise Refusal(
                Code.CONTAINER_STALLED,
                "The container was not provisioned and will not be by waiting; see its conditions.",
            )
        raise Refusal(Code.CONTAINER_NOT_READY, "The container is not provisioned yet; try again.")
    return status.container_name
