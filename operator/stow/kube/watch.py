"""Keeps an :class:`ObjectCache` like the API server: a paginated list, then a watch from its version, for each kind and namespace.

For the gateway; the operator's cache is fed by kopf. A lost connection, a restart of the control plane or an expired version only costs
time: the watch goes on from the last version that was seen, or begins with a new list, whose difference removes what went meanwhile. An
object that cannot be read is logged and skipped; it stops neither its kind nor the others.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kubernetes.aio.client import ApiClient

from stow.api.meta import CLUSTER_STOW_LOCATION
from stow.errors import ControlPlaneError
from stow.kube.cache import NAMESPACE, WATCHED_KINDS, ObjectCache
from stow.kube.rest import GONE, NOT_FOUND, collection_path, lines, requests
from stow.reconcile.objects import Snapshot

CLUSTER_KINDS: Final = frozenset({CLUSTER_STOW_LOCATION.kind, NAMESPACE})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """What is watched, and how long is waited."""

    namespaces: tuple[str, ...] = ()
    """Only these; empty: all of the cluster."""
    cluster_kinds: bool = True
    """Whether ClusterStowLocations and Namespaces are watched. Without a ClusterRole it has to be off: then there are none."""
    page_size: int = 500
    """client-go's page: some megabytes at most, whatever stands in status."""
    list_timeout_s: float = 30.0
    """For each page."""
    connect_timeout_s: float = 10.0
    watch_s: tuple[float, float] = (30.0, 40.0)
    """The server ends a watch after a random time between these, with a bookmark (seen: one second before), so that a quiet one goes on
    from a fresh version. Longer ones are no cheaper: idle streams may be without bookmarks for two minutes (seen)."""
    idle_timeout_s: float = 45.0
    """Longer than a watch: a connection that is silent for so long is dead. With the time to connect this stays below a minute, within
    which a namespace that was shut out has to be."""
    first_pause_s: float = 0.5
    longest_pause_s: float = 15.0
    between_watches_s: float = 0.2


@dataclass(frozen=True, slots=True)
class _Stream:
    kind: str
    namespace: str | None

    def __str__(self) -> str:
        return f"{self.kind} in {self.namespace}" if self.namespace else self.kind


class Watcher:
    """Runs until cancelled. ``uniform`` gives chance: a number between its arguments."""

    def __init__(
        self,
        api: ApiClient,
        cache: ObjectCache,
        settings: WatchSettings | None = None,
        *,
        kinds: Sequence[str] = WATCHED_KINDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._api = api
        self._cache = cache
        self._settings = settings or WatchSettings()
        self._kinds = tuple(kinds)
        self._sleep = sleep
        self._uniform = uniform
        self._request = requests(api, timeout_s=self._settings.list_timeout_s)
        self._unlisted: dict[str, set[_Stream]] = {}
        self._broken: set[_Stream] = set()

    @property
    def lagging(self) -> frozenset[str]:
        """Kinds whose connection is broken just now: what is known of them may be old."""
        return frozenset(stream.kind for stream in self._broken)

    async def run(self) -> None:
        """Follow every kind until cancelled."""
        streams = [stream for kind in self._kinds for stream in self._streams(kind)]
        for stream in streams:
            self._unlisted.setdefault(stream.kind, set()).add(stream)
        for kind in set(self._kinds) - set(self._unlisted):
            self._cache.mark_synced(kind)
        async with asyncio.TaskGroup() as group:
            for stream in streams:
                group.create_task(self._follow(stream))

    def _streams(self, kind: str) -> list[_Stream]:
        if kind in CLUSTER_KINDS:
            return [_Stream(kind, None)] if self._settings.cluster_kinds else []
        return [_Stream(kind, namespace) for namespace in self._settings.namespaces or (None,)]

    async def _follow(self, stream: _Stream) -> None:
        version: str | None = None
        failures = 0
        while True:
            position = _Position(version)
            try:
                if position.version is None:
                    position.version = await self._list(stream)
                await self._watch(stream, position)
                failures = 0
                await self._sleep(self._settings.between_watches_s * self._uniform(0.5, 1.5))
            except ControlPlaneError as error:
                if error.status == GONE:
                    position.version = None
                failures = 1 if position.moved else failures + 1
                self._note_failure(stream, error)
                await self._sleep(self._pause_s(failures))
            version = position.version

    def _pause_s(self, failures: int) -> float:
        exponent = min(failures - 1, 10)  # 2**10 pauses are beyond every maximum
        pause: float = min(self._settings.first_pause_s * 2**exponent, self._settings.longest_pause_s)
        return pause * self._uniform(0.5, 1.0)

    def _note_failure(self, stream: _Stream, error: ControlPlaneError) -> None:
        """One line for each outage, not for each try."""
        if stream in self._broken:
            return
        self._broken.add(stream)
        hint = " Are the CRDs installed?" if error.status == NOT_FOUND else ""
        _log.warning("Watching %s failed, trying on: %s%s", stream, error.message, hint)

    async def _list(self, stream: _Stream) -> str:
        """Replace what is known by what there is; returns the list's version."""
        path = collection_path(stream.kind, stream.namespace)
        found: list[Snapshot] = []
        limit = ("limit", str(self._settings.page_size))
        query = [limit]
        while True:
            page = await self._request("GET", path, query=query)
            found += [s for s in (_snapshot(raw, stream.kind) for raw in page.get("items") or ()) if s is not None]
            meta = page.get("metadata") or {}
            if not meta.get("continue"):
                break
            query = [limit, ("continue", str(meta["continue"]))]
        self._cache.replace(stream.kind, found, namespace=stream.namespace)
        self._listed(stream)
        return str(meta.get("resourceVersion") or "")

    def _listed(self, stream: _Stream) -> None:
        unlisted = self._unlisted[stream.kind]
        unlisted.discard(stream)
        if not unlisted:
            self._cache.mark_synced(stream.kind)

    async def _watch(self, stream: _Stream, position: _Position) -> None:
        """Follow the events until the server ends the watch. Raises ControlPlaneError, with 410 where the version is too old."""
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", position.version or ""),
            ("timeoutSeconds", str(int(self._uniform(*self._settings.watch_s)))),
        ]
        opened = lines(
            self._api,
            collection_path(stream.kind, stream.namespace),
            query=query,
            connect_timeout_s=self._settings.connect_timeout_s,
            idle_timeout_s=self._settings.idle_timeout_s,
        )
        async with opened as events:
            if stream in self._broken:
                self._broken.discard(stream)
                _log.info("Watching %s works again", stream)
            async for line in events:
                self._take(stream, line, position)

    def _take(self, stream: _Stream, line: bytes, position: _Position) -> None:
        try:
            event = json.loads(line)
            kind, raw = event["type"], event["object"]
        except (ValueError, KeyError, TypeError) as exc:
            raise ControlPlaneError("The API server sent a watch event that cannot be read.") from exc
        if kind == "ERROR":
            status = raw.get("code") if isinstance(raw, Mapping) else None
            status = status if isinstance(status, int) else None
            raise ControlPlaneError("The API server ended the watch with an error.", status=status)
        position.advance(raw)
        if kind == "BOOKMARK":
            return
        snapshot = _snapshot(raw, stream.kind)
        if snapshot is None:
            return
        if kind == "DELETED":
            self._cache.remove(snapshot.ref, uid=snapshot.uid)
        else:
            self._cache.apply(snapshot)


@dataclass(slots=True)
class _Position:
    """How far a watch has come."""

    version: str | None
    moved: bool = False

    def advance(self, raw: Any) -> None:
        version = (raw.get("metadata") or {}).get("resourceVersion") if isinstance(raw, Mapping) else None
        if isinstance(version, str) and version:
            self.version, self.moved = version, True


def _snapshot(raw: Any, kind: str) -> Snapshot | None:
    """None, and one line, for what is no object: it must not stop the others."""
    try:
        return Snapshot.from_raw(raw, kind=kind)
    except (KeyError, ValueError, TypeError, AttributeError) as exc:
        _log.error("A %s that cannot be read was skipped: %s", kind, type(exc).__name__)
        return None
