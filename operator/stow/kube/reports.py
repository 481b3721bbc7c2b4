"""Which containers the gateways loaded on demand: each replica writes one ConfigMap, the operator merges them.

Only these ConfigMaps are written by a gateway; the operator alone writes status. A report holds at most 200 containers, is written at most
once in five seconds and only when something changed. It belongs to its Pod and goes with it; one without a Pod (outside a cluster)
carries a heartbeat and is not believed once that is old. Reports are read leniently: what is not understood is left out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from stow.api.meta import GROUP, LOCATION_KINDS
from stow.api.names import is_container_name
from stow.errors import ControlPlaneError, StowError
from stow.kube.listeners import Listeners
from stow.kube.rest import NOT_FOUND, Requests, collection_path, object_path
from stow.reconcile.objects import ObjectRef
from stow.reconcile.ports import DynamicLoad, Objects
from stow.storage.clock import Clock
from stow.storage.crashpoints import Crash, CrashPoint, no_crash
from stow.storage.model import ContainerEntry, Origin

MAX_ENTRIES: Final = 200
"""About 40 KiB; twice what status shows, so that several replicas together still know the latest hundred."""
WRITE_INTERVAL_S: Final = 5.0
READ_INTERVAL_S: Final = 10.0
HEARTBEAT: Final = timedelta(minutes=10)
STALE_AFTER: Final = timedelta(minutes=30)
LABEL: Final = f"{GROUP}/report"
LABEL_VALUE: Final = "dynamic-loads"
_FIELD: Final = "loads.json"
_PAGE_SIZE: Final = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Load:
    """One container that was loaded on demand, through the location with this UID."""

    location: ObjectRef
    location_uid: str
    name: str
    loaded_at: datetime


@dataclass(frozen=True, slots=True)
class Replica:
    """Who reports. Without a Pod the report carries a heartbeat. ``name`` must be an object's name."""

    namespace: str
    name: str
    pod_name: str | None = None
    pod_uid: str | None = None

    @property
    def config_map(self) -> str:
        return f"stow-gateway-loads-{re.sub(r'[^a-z0-9.-]', '-', self.name.lower())}"[:253].rstrip(".-")

    @property
    def owner(self) -> list[dict[str, str]]:
        if not self.pod_name or not self.pod_uid:
            return []
        return [{"apiVersion": "v1", "kind": "Pod", "name": self.pod_name, "uid": self.pod_uid}]


class LoadReporter:
    """The gateway's side. :meth:`loaded` notes, :meth:`run` writes."""

    def __init__(
        self,
        request: Requests,
        replica: Replica,
        *,
        clock: Clock,
        crash: Crash = no_crash,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._request = request
        self._replica = replica
        self._clock = clock
        self._crash = crash
        self._sleep = sleep
        self._loads: dict[tuple[ObjectRef, str, str], Load] = {}
        self._changed = asyncio.Event()
        self._written: tuple[Load, ...] = ()
        self._written_at: datetime | None = None

    def loaded(self, location: ObjectRef, entry: ContainerEntry) -> None:
        """Note a container that was loaded on demand; known already, or of another origin: nothing happens. Never blocks."""
        key = (location, entry.uid, entry.name)
        if entry.origin is not Origin.DYNAMIC or key in self._loads:
            return
        self._loads[key] = Load(location, entry.uid, entry.name, entry.loaded_at)
        if len(self._loads) > MAX_ENTRIES:
            del self._loads[min(self._loads, key=lambda each: self._loads[each].loaded_at)]
        self._changed.set()

    async def run(self) -> None:
        """Write what changed until cancelled, at most once in an interval."""
        while True:
            await self._due()
            await self.flush()
            await self._sleep(WRITE_INTERVAL_S)

    async def _due(self) -> None:
        """A change, or - for a replica without a Pod that has a report - the time of its next heartbeat."""
        while not self._changed.is_set():
            if self._replica.owner or self._written_at is None:
                await self._changed.wait()
            elif self._clock() - self._written_at >= HEARTBEAT:
                return
            else:
                await self._sleep(WRITE_INTERVAL_S)

    async def flush(self) -> None:
        """Write the report where it is not as it should be. A failure is logged; the next round tries again."""
        self._changed.clear()
        loads = tuple(self._loads.values())
        is_due = self._written_at is None or (not self._replica.owner and self._clock() - self._written_at >= HEARTBEAT)
        if loads == self._written and not (loads and is_due):
            return
        try:
            await self._write(loads)
        except StowError as error:
            _log.warning("The report of loaded containers cannot be written, trying on: %s", error.message)
            self._changed.set()
            return
        self._written, self._written_at = loads, self._clock()
        self._crash(CrashPoint.LOAD_RECORDED)

    async def _write(self, loads: Iterable[Load]) -> None:
        replica = self._replica
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": replica.config_map,
                "namespace": replica.namespace,
                "labels": {LABEL: LABEL_VALUE, "app.kubernetes.io/managed-by": "stow-operator"},
                "ownerReferences": replica.owner,
            },
            "data": {_FIELD: encode(loads, heartbeat=self._clock())},
        }
        try:
            await self._request("PUT", object_path("ConfigMap", replica.namespace, replica.config_map), body=body)
        except ControlPlaneError as error:
            if error.status != NOT_FOUND:
                raise
            await self._request("POST", collection_path("ConfigMap", replica.namespace), body=body)

    async def withdraw(self) -> None:
        """At the end of the process: take the report away. Best effort; the Pod's end or the heartbeat does the same."""
        if self._written_at is None:
            return
        try:
            await self._request("DELETE", object_path("ConfigMap", self._replica.namespace, self._replica.config_map))
        except StowError as error:
            _log.info("The report of loaded containers stays behind: %s", error.message)


def encode(loads: Iterable[Load], *, heartbeat: datetime) -> str:
    """The report's text, stable for equal loads."""
    entries = [
        {
            "kind": load.location.kind,
            "namespace": load.location.namespace,
            "location": load.location.name,
            "uid": load.location_uid,
            "container": load.name,
            "loadedAt": load.loaded_at.isoformat(),
        }
        for load in loads
    ]
    return json.dumps({"heartbeat": heartbeat.isoformat(), "loads": entries})


def decode(raw: Any, *, now: datetime) -> list[Load]:
    """The loads in one ConfigMap; none where it is stale or not understood."""
    try:
        document = json.loads(raw["data"][_FIELD])
        heartbeat = _time(document["heartbeat"])
        entries = document["loads"][:MAX_ENTRIES]
        owned = bool(raw["metadata"].get("ownerReferences"))
    except (KeyError, TypeError, ValueError, AttributeError):
        return []
    if not owned and now - heartbeat > STALE_AFTER:
        return []
    return [load for load in (_load(entry) for entry in entries) if load is not None]


def _load(entry: Any) -> Load | None:
    try:
        location = ObjectRef(entry["kind"], entry["namespace"], entry["location"])
        load = Load(location, entry["uid"], entry["container"], _time(entry["loadedAt"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    texts = (location.name, load.location_uid, load.name)
    if location.kind not in LOCATION_KINDS or not all(isinstance(each, str) for each in texts):
        return None
    return load if is_container_name(load.name) else None


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("no time zone")
    return found


class ReportReader:
    """The operator's side: implements :class:`stow.reconcile.ports.DynamicLoads`, and ``Wakes`` for locations whose loads changed."""

    def __init__(
        self,
        request: Requests,
        objects: Objects,
        *,
        namespace: str,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._request = request
        self._objects = objects
        self._namespace = namespace
        self._clock = clock
        self._sleep = sleep
        self._loads: dict[ObjectRef, dict[tuple[str, str], Load]] = {}
        self._listeners = Listeners[[ObjectRef]]("changed loads")
        self._failing = False

    def of(self, location: ObjectRef) -> Collection[DynamicLoad]:
        """What was loaded through the location that has this name now; each container once, since it was loaded first."""
        known = self._objects.get(location)
        if known is None:
            return ()
        loads = self._loads.get(location, {}).values()
        return tuple(DynamicLoad(load.name, load.loaded_at) for load in loads if load.location_uid == known.uid)

    def subscribe(self, listener: Callable[[ObjectRef], None]) -> Callable[[], None]:
        """Called with each location whose loads changed; call the result to end it."""
        return self._listeners.subscribe(listener)

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self.refresh()
            await self._sleep(READ_INTERVAL_S)

    async def refresh(self) -> None:
        """Read all reports. A failure keeps what is known."""
        try:
            reports = await self._list()
        except StowError as error:
            if not self._failing:
                self._failing = True
                _log.warning("The gateways' reports cannot be read; what is known stays: %s", error.message)
            return
        self._failing = False
        merged = merge(load for report in reports for load in decode(report, now=self._clock()))
        before, self._loads = self._loads, merged
        for location in before.keys() | merged.keys():
            if before.get(location) != merged.get(location):
                self._listeners.notify(location)

    async def _list(self) -> list[Any]:
        query = [("labelSelector", f"{LABEL}={LABEL_VALUE}"), ("limit", str(_PAGE_SIZE))]
        found: list[Any] = []
        token = ""
        while True:
            page = await self._request(
                "GET",
                collection_path("ConfigMap", self._namespace),
                query=[*query, *([("continue", token)] if token else [])],
            )
            found += page.get("items") or ()
            token = str((page.get("metadata") or {}).get("continue") or "")
            if not token:
                return found


def merge(loads: Iterable[Load]) -> dict[ObjectRef, dict[tuple[str, str], Load]]:
    """By location, then by its UID and container; of several replicas' times the earliest."""
    merged: dict[ObjectRef, dict[tuple[str, str], Load]] = {}
    for load in loads:
        line = merged.setdefault(load.location, {})
        key = (load.location_uid, load.name)
        known = line.get(key)
        if known is None or load.loaded_at < known.loaded_at:
            line[key] = load
    return merged
