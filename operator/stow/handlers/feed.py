"""From what watches bring to who has to be looked at again.

Everything goes through the memory first; a change there wakes the object itself and those that depend on it: a location's change its
containers, a container's change its location, the end of a container those that lost to it, a namespace's change what is in it. What
the operator wrote itself wakes only the others. Before the memory is complete nothing is woken one by one: all are, at its completion.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final, Protocol

from stow.api.conditions import conditions_from_status, find_condition
from stow.api.meta import CLUSTER_STOW_LOCATION, LOCATION_KINDS, STOW_CONTAINER
from stow.api.reasons import ConditionType, Reason
from stow.kube.cache import NAMESPACE, WATCHED_KINDS, ObjectCache, location_ref_of
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.ownership import recorded_identity
from stow.reconcile.ports import Writer

MAP_DELAY_S: Final = 0.3
"""A location waits so long for more changes of its containers, so that a burst of them is one write of its map."""
_LOSERS: Final = frozenset({Reason.CONFLICT, Reason.NAME_NOT_ALLOWED})
"""Reasons that may end when another object or namespace does."""


class Wake(Protocol):
    """The scheduler's."""

    def __call__(self, ref: ObjectRef, *, after_s: float = 0.0, afresh: bool = False) -> None: ...


class Feed:
    """Belongs to one event loop. No call awaits."""

    def __init__(self, cache: ObjectCache, wake: Wake) -> None:
        self._cache = cache
        self._wake = wake
        self._own: ObjectRef | None = None
        self._is_complete = False
        self._losers: set[ObjectRef] = set()
        self._unsubscribe = cache.subscribe(self._changed)

    @property
    def is_complete(self) -> bool:
        """Whether the memory holds everything that there was at the start."""
        return self._is_complete

    def apply(self, snapshot: Snapshot) -> None:
        self._cache.apply(snapshot)

    def remove(self, ref: ObjectRef, uid: str) -> None:
        self._cache.remove(ref, uid=uid)

    def absorb(self, snapshot: Snapshot) -> None:
        """Take in what a write of our own gave back: it is no news for the object itself.

        What the watch has told the end of meanwhile stays gone: nobody would ever take it out again but the resync.
        """
        known = self._cache.get(snapshot.ref)
        if known is None or known.uid != snapshot.uid:
            return
        self._own = snapshot.ref
        try:
            self._cache.apply(snapshot)
        finally:
            self._own = None

    def complete(self) -> None:
        """All kinds are listed: from now on every change wakes by itself, and all are looked at once."""
        if self._is_complete:
            return
        self._is_complete = True
        for kind in WATCHED_KINDS:
            self._cache.mark_synced(kind)
        for kind in (*sorted(LOCATION_KINDS), STOW_CONTAINER.kind):
            for snapshot in self._cache.list(kind):
                self._wake(snapshot.ref)

    def group_of(self, ref: ObjectRef) -> Hashable:
        """The location that an object belongs to: what may be slow or down together."""
        snapshot = self._cache.get(ref) if ref.kind == STOW_CONTAINER.kind else None
        return ref if snapshot is None else location_ref_of(snapshot) or ref

    def close(self) -> None:
        self._unsubscribe()

    def _changed(self, ref: ObjectRef, before: Snapshot | None, after: Snapshot | None) -> None:
        if ref.kind == STOW_CONTAINER.kind:
            self._note_loser(ref, after)
        if not self._is_complete:
            return
        if ref.kind == NAMESPACE:
            self._namespace_changed(ref, before, after)
            return
        if ref != self._own:
            self._wake(ref, afresh=before is None or after is None or before.generation != after.generation)
        if ref.kind in LOCATION_KINDS:
            if _location_facts(before) != _location_facts(after):
                for container in self._cache.containers_of(ref):
                    self._wake(container.ref, afresh=True)
        elif ref.kind == STOW_CONTAINER.kind:
            self._container_changed(before, after)

    def _container_changed(self, before: Snapshot | None, after: Snapshot | None) -> None:
        if _map_line(before) != _map_line(after):
            for location in {location_ref_of(each) for each in (before, after) if each is not None} - {None}:
                if location is not None:
                    self._wake(location, after_s=MAP_DELAY_S)
        if before is not None and _claim(before) != _claim(after):
            self._wake_losers(but=before.ref)

    def _namespace_changed(self, ref: ObjectRef, before: Snapshot | None, after: Snapshot | None) -> None:
        if before is None or after is None:
            self._wake_losers()  # which name fits which namespace best may be another answer now
        if before is not None and after is not None and _namespace_facts(before) == _namespace_facts(after):
            return
        for container in self._cache.list(STOW_CONTAINER.kind):
            if container.ref.namespace == ref.name:
                self._wake(container.ref, afresh=True)
        for location in self._cache.list(CLUSTER_STOW_LOCATION.kind):
            if any(each.ref.namespace == ref.name for each in self._cache.containers_of(location.ref)):
                self._wake(location.ref, after_s=MAP_DELAY_S)

    def _note_loser(self, ref: ObjectRef, after: Snapshot | None) -> None:
        """Few objects lose; to look for them among all at each change would cost the square of what the cluster holds."""
        ready = _ready(after.status) if after is not None else None
        if ready is not None and ready[1] in _LOSERS:
            self._losers.add(ref)
        else:
            self._losers.discard(ref)

    def _wake_losers(self, *, but: ObjectRef | None = None) -> None:
        for ref in sorted(self._losers - {but}, key=str):
            self._wake(ref)


class AbsorbingWriter:
    """A :class:`stow.reconcile.ports.Writer` that puts what each write gave back into the memory."""

    def __init__(self, inner: Writer, feed: Feed) -> None:
        self._inner = inner
        self._feed = feed

    async def publish_status(self, snapshot: Snapshot, status: Mapping[str, Any]) -> Snapshot:
        return self._absorbed(await self._inner.publish_status(snapshot, status))

    async def add_finalizer(self, snapshot: Snapshot) -> Snapshot:
        return self._absorbed(await self._inner.add_finalizer(snapshot))

    async def remove_finalizer(self, snapshot: Snapshot) -> Snapshot | None:
        left = await self._inner.remove_finalizer(snapshot)
        if left is None:
            self._feed.remove(snapshot.ref, snapshot.uid)
            return None
        return self._absorbed(left)

    def _absorbed(self, snapshot: Snapshot) -> Snapshot:
        self._feed.absorb(snapshot)
        return snapshot


def _claim(container: Snapshot | None) -> object:
    """What decides whether a container holds others up."""
    if container is None:
        return None
    ready = _ready(container.status)
    return (
        container.uid,
        recorded_identity(container),
        None if ready is None else ready[1],
        container.deleting_since is None,
    )


def _ready(status: Mapping[str, Any]) -> tuple[str, str] | None:
    found = find_condition(conditions_from_status(status.get("conditions")), ConditionType.READY)
    return None if found is None else (found.status, found.reason)


def _location_facts(location: Snapshot | None) -> object:
    """What a container's reconcile reads of its location."""
    if location is None:
        return None
    status = location.status
    return (
        location.uid,
        location.generation,
        location.deleting_since is None,
        _ready(status),
        status.get("backendIdentity"),
        status.get("observedGeneration"),
    )


def _map_line(container: Snapshot | None) -> object:
    """What a location's reconcile reads of a container."""
    if container is None:
        return None
    status = container.status
    ready = _ready(status)
    return (
        container.uid,
        status.get("containerName"),
        status.get("fqn"),
        status.get("provisioned"),
        status.get("intent") is None,
        ready is not None and ready[0] == "True",
    )


def _namespace_facts(namespace: Snapshot) -> object:
    return dict(namespace.labels), namespace.deleting_since is None
