"""What is known of custom resources and namespaces, in memory: filled by a watch, read by everybody.

Bounded by what the cluster holds. An event that is older than what is known changes nothing; a complete listing replaces what was known
of its kind (and namespace). Belongs to one event loop; nothing in it waits but :meth:`ObjectCache.wait_synced`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from stow.api.container import container_name_of, container_spec
from stow.api.meta import CLUSTER_STOW_LOCATION, STOW_CONTAINER, STOW_LOCATION
from stow.errors import InvalidSpecError
from stow.kube.listeners import Listeners
from stow.reconcile.objects import ObjectRef, Snapshot

NAMESPACE: Final = "Namespace"
WATCHED_KINDS: Final = (STOW_LOCATION.kind, CLUSTER_STOW_LOCATION.kind, STOW_CONTAINER.kind, NAMESPACE)

Listener = Callable[[ObjectRef, Snapshot | None, Snapshot | None], None]
"""Called with (ref, before, after) on each change; ``after`` is None when the object is gone. Must not block."""

K = TypeVar("K")


def location_ref_of(container: Snapshot) -> ObjectRef | None:
    """The location that a StowContainer refers to; None where its spec cannot be read."""
    try:
        ref = container_spec(container.spec).location_ref
    except InvalidSpecError:
        return None
    return ObjectRef(ref.kind, None if ref.is_cluster else container.ref.namespace, ref.name)


def declared_name_of(container: Snapshot) -> str | None:
    """The container name that a StowContainer asks for; None where its spec cannot be read."""
    try:
        spec = container_spec(container.spec)
    except InvalidSpecError:
        return None
    return container_name_of(spec, namespace=container.ref.namespace or "", name=container.ref.name)


class ObjectCache:
    """Implements :class:`stow.reconcile.ports.Objects`."""

    def __init__(self, kinds: Iterable[str] = WATCHED_KINDS) -> None:
        self._objects: dict[str, dict[ObjectRef, Snapshot]] = {kind: {} for kind in kinds}
        self._unsynced = set(self._objects)
        self._complete = asyncio.Event()
        self._by_location: dict[ObjectRef, dict[ObjectRef, Snapshot]] = {}
        self._by_declared: dict[tuple[ObjectRef, str], dict[ObjectRef, Snapshot]] = {}
        self._labels: dict[str, Mapping[str, str]] = {}
        self._listeners = Listeners[[ObjectRef, Snapshot | None, Snapshot | None]]("a change of the cache")

    # Reading

    def get(self, ref: ObjectRef) -> Snapshot | None:
        return self._objects[ref.kind].get(ref)

    def list(self, kind: str) -> Collection[Snapshot]:
        """All of a kind, as they are now; later changes do not show in it."""
        return tuple(self._objects[kind].values())

    def namespaces(self) -> Mapping[str, Mapping[str, str]]:
        """Labels by namespace name; a live, read-only view."""
        return MappingProxyType(self._labels)

    def containers_of(self, location: ObjectRef) -> Collection[Snapshot]:
        """The StowContainers that refer to a location, whether it exists or not."""
        return tuple(self._by_location.get(location, {}).values())

    def declared(self, location: ObjectRef, container_name: str) -> Collection[Snapshot]:
        """The StowContainers that ask a location for this container name."""
        return tuple(self._by_declared.get((location, container_name), {}).values())

    @property
    def synced(self) -> bool:
        """Whether every kind was listed once."""
        return not self._unsynced

    @property
    def unsynced(self) -> frozenset[str]:
        """The kinds that were not listed yet."""
        return frozenset(self._unsynced)

    # Writing

    def apply(self, snapshot: Snapshot) -> bool:
        """Take an object in; False when what is known is as new or newer."""
        known = self.get(snapshot.ref)
        if known is not None and not _newer(snapshot, known):
            return False
        self._store(snapshot, known)
        return True

    def remove(self, ref: ObjectRef, *, uid: str | None = None) -> None:
        """Take an object out; with ``uid`` only that one, not a namesake that came after it."""
        known = self.get(ref)
        if known is None or uid not in {None, known.uid}:
            return
        del self._objects[ref.kind][ref]
        self._unindex(known)
        self._listeners.notify(ref, known, None)

    def replace(self, kind: str, snapshots: Iterable[Snapshot], *, namespace: str | None = None) -> None:
        """Take a complete listing: of the kind, or of the kind in one namespace. What is not in it is gone."""
        listed = {snapshot.ref: snapshot for snapshot in snapshots}
        known = [s for s in self.list(kind) if namespace is None or s.ref.namespace == namespace]
        for snapshot in known:
            if snapshot.ref not in listed:
                self.remove(snapshot.ref)
        for snapshot in listed.values():
            before = self.get(snapshot.ref)
            # A listing is the truth even where its versions went back: the data may have been restored from a backup.
            if before is None or (before.uid, before.resource_version) != (snapshot.uid, snapshot.resource_version):
                self._store(snapshot, before)

    def mark_synced(self, kind: str) -> None:
        """Every object of the kind was listed once."""
        self._unsynced.discard(kind)
        if not self._unsynced:
            self._complete.set()

    async def wait_synced(self) -> None:
        """Return when every kind was listed once; the caller has the deadline."""
        await self._complete.wait()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear of each change from now on; call the result to end it."""
        return self._listeners.subscribe(listener)

    def _store(self, snapshot: Snapshot, before: Snapshot | None) -> None:
        if before is not None:
            self._unindex(before)
        self._objects[snapshot.ref.kind][snapshot.ref] = snapshot
        self._index(snapshot)
        self._listeners.notify(snapshot.ref, before, snapshot)

    def _index(self, snapshot: Snapshot) -> None:
        ref = snapshot.ref
        if ref.kind == NAMESPACE:
            self._labels[ref.name] = snapshot.labels
        elif ref.kind == STOW_CONTAINER.kind:
            location, name = location_ref_of(snapshot), declared_name_of(snapshot)
            if location is not None and name is not None:
                self._by_location.setdefault(location, {})[ref] = snapshot
                self._by_declared.setdefault((location, name), {})[ref] = snapshot

    def _unindex(self, snapshot: Snapshot) -> None:
        ref = snapshot.ref
        if ref.kind == NAMESPACE:
            self._labels.pop(ref.name, None)
        elif ref.kind == STOW_CONTAINER.kind:
            location, name = location_ref_of(snapshot), declared_name_of(snapshot)
            if location is not None and name is not None:
                _take_out(self._by_location, location, ref)
                _take_out(self._by_declared, (location, name), ref)


def _take_out(index: dict[K, dict[ObjectRef, Snapshot]], key: K, ref: ObjectRef) -> None:
    line = index.get(key, {})
    line.pop(ref, None)
    if not line:
        index.pop(key, None)


def _newer(snapshot: Snapshot, known: Snapshot) -> bool:
    """Versions of one object are numbers that grow; what is no number, and another object of the name, is taken as newer."""
    if snapshot.uid != known.uid:
        return snapshot.created_at >= known.created_at
    new, old = snapshot.resource_version, known.resource_version
    return int(new) > int(old) if new.isdecimal() and old.isdecimal() else new != old
