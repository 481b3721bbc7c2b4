"""A world for reconcilers: an API server in memory, stores over one memory backend, a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from stow.api.conditions import conditions_from_status, find_condition
from stow.api.meta import FINALIZER
from stow.api.reasons import ConditionType
from stow.drivers.memory import MemoryBackend, MemoryDriver
from stow.errors import ControlPlaneError, StowError
from stow.handlers.publish import StatusPublisher
from stow.kube.cache import ObjectCache
from stow.reconcile.container import ContainerPorts, ContainerReconciler, ContainerSettings
from stow.reconcile.location import LocationPorts, LocationReconciler, LocationSettings
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.outcome import Outcome
from stow.reconcile.ports import DynamicLoad, OpenedStore
from stow.storage.config import StoreConfig
from stow.storage.crashpoints import Crash, CrashPoint, no_crash
from stow.storage.metrics import StoreMetrics
from stow.storage.model import ContainerSettings as Configured
from stow.storage.model import ContainerState, Marker
from stow.storage.store import StowStore

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
INSTALLATION = "this-cluster"
BACKEND = "mem://backend"
TEAM = "team"
UNSET = Configured(tags={}, versioning=False, expire_after_days=0)
"""A new container."""


class Killed(BaseException):
    """The process ends here."""


class FaultyDriver(MemoryDriver):
    """A memory driver whose next calls by name fail: before they do anything, or after (an unknown outcome)."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.before: dict[str, StowError] = {}
        self.after: dict[str, StowError] = {}
        self.calls: list[str] = []
        self.swept: list[str] = []
        self.without_markers = False
        self.marks_later = False
        self.settings: dict[str, Configured] | None = None
        """What containers are set to; None: the backend has no such thing."""
        self.asked: Configured | None = None
        """Which settings were read last."""

    @property
    def capabilities(self) -> Any:
        found = super().capabilities
        return replace(
            found,
            markers=not self.without_markers,
            marker_with_create=not self.without_markers and not self.marks_later,
            tags=self.settings is not None,
            versioning=self.settings is not None,
            expiry_rules=self.settings is not None,
        )

    async def probe(self, container: str | None) -> None:
        await self._call("probe", super().probe(container))

    async def create_container(self, name: str, marker: Marker | None) -> None:
        unmarked = self.without_markers or self.marks_later
        await self._call("create_container", super().create_container(name, None if unmarked else marker))

    async def container_exists(self, name: str) -> bool:
        return await self._call("container_exists", super().container_exists(name))

    async def read_marker(self, name: str) -> Marker | None:
        return await self._call("read_marker", super().read_marker(name))

    async def write_marker(self, name: str, marker: Marker | None) -> None:
        await self._call("write_marker", super().write_marker(name, marker))

    async def delete_container(self, name: str) -> None:
        await self._call("delete_container", super().delete_container(name))

    async def container_settings(self, name: str, asked: Configured | None = None) -> Configured:
        self.asked = asked
        return await self._call("container_settings", self._set(name, None))

    async def configure_container(self, name: str, settings: Configured) -> None:
        await self._call("configure_container", self._set(name, settings))

    async def _set(self, name: str, wanted: Configured | None) -> Configured:
        assert self.settings is not None
        found = self.settings.get(name, UNSET)
        if wanted is not None:
            found = self.settings[name] = Configured(
                tags=found.tags if wanted.tags is None else wanted.tags,
                versioning=found.versioning if wanted.versioning is None else wanted.versioning,
                expire_after_days=found.expire_after_days
                if wanted.expire_after_days is None
                else wanted.expire_after_days,
            )
        return found

    async def sweep(self, name: str) -> int:
        self.swept.append(name)
        return await self._call("sweep", super().sweep(name))

    async def _call(self, name: str, call: Awaitable[Any]) -> Any:
        self.calls.append(name)
        if name in self.before:
            call.close()  # type: ignore[attr-defined]  # a coroutine
            raise self.before[name]
        answer = await call
        if name in self.after:
            raise self.after[name]
        return answer


@dataclass
class FakeAPI:
    """Reader and Writer over the memory of objects, with the API server's rules for versions and finalizers."""

    cache: ObjectCache
    clock: Callable[[], datetime]
    writes: list[tuple[str, ObjectRef]] = field(default_factory=list)
    terminating: set[str] = field(default_factory=set)
    versions: int = 1000
    failing: ControlPlaneError | None = None

    async def read(self, ref: ObjectRef) -> Snapshot | None:
        self._answer()
        return self.cache.get(ref)

    async def namespace_terminating(self, name: str) -> bool:
        self._answer()
        return name in self.terminating

    async def publish_status(self, snapshot: Snapshot, status: Mapping[str, Any]) -> Snapshot:
        if dict(snapshot.status) == dict(status):
            return snapshot
        return self._write("status", snapshot, status=dict(status))

    async def add_finalizer(self, snapshot: Snapshot) -> Snapshot:
        if FINALIZER in snapshot.finalizers:
            return snapshot
        return self._write("finalizer", snapshot, finalizers=(*snapshot.finalizers, FINALIZER))

    async def remove_finalizer(self, snapshot: Snapshot) -> Snapshot | None:
        if FINALIZER not in snapshot.finalizers:
            return snapshot
        left = tuple(each for each in snapshot.finalizers if each != FINALIZER)
        written = self._write("finalizer", snapshot, finalizers=left)
        if written.deleting_since is not None and not left:
            self.cache.remove(snapshot.ref)
            return None
        return written

    def _write(self, what: str, snapshot: Snapshot, **changed: Any) -> Snapshot:
        self._answer()
        living = self.cache.get(snapshot.ref)
        if living is None or living.uid != snapshot.uid:
            raise ControlPlaneError("gone", status=404)
        if living.resource_version != snapshot.resource_version:
            raise ControlPlaneError("changed", status=409)
        self.writes.append((what, snapshot.ref))
        self.versions += 1
        written = replace(snapshot, resource_version=str(self.versions), **changed)
        self.cache.apply(written)
        return written

    def _answer(self) -> None:
        if self.failing is not None:
            raise self.failing


@dataclass
class FakeStores:
    """One store a location over its driver; errors and problems on demand."""

    world: World
    errors: dict[str, StowError] = field(default_factory=dict)
    problems: dict[str, StowError] = field(default_factory=dict)
    stores: dict[ObjectRef, StowStore] = field(default_factory=dict)
    closed: list[ObjectRef] = field(default_factory=list)

    async def open(self, location: Snapshot) -> OpenedStore:
        name = location.ref.name
        if name in self.errors:
            raise self.errors[name]
        if location.ref not in self.stores:
            base = location.spec.get("baseContainer") or {}
            self.stores[location.ref] = StowStore(
                StoreConfig(location.uid, base.get("name")),
                self.world.driver,
                clock=self.world.clock,
                metrics=StoreMetrics(CollectorRegistry()).bind(kind="memory", location=name),
                cursor_key=b"k" * 32,
            )
        return OpenedStore(self.stores[location.ref], self.problems.get(name))

    def last_good(self, ref: ObjectRef) -> StowStore | None:
        return self.stores.get(ref)

    async def close(self, ref: ObjectRef) -> None:
        self.closed.append(ref)
        self.stores.pop(ref, None)


@dataclass
class Seen:
    """Events, audit lines and dynamic loads."""

    events: list[tuple[str, str, bool]] = field(default_factory=list)
    audits: list[tuple[str, str]] = field(default_factory=list)
    loads: list[DynamicLoad] = field(default_factory=list)

    async def emit(self, snapshot: Snapshot, *, reason: str, message: str, warning: bool) -> None:
        self.events.append((reason, message, warning))

    def record(self, action: str, snapshot: Snapshot, *, detail: str) -> None:
        self.audits.append((action, detail))

    def of(self, location: ObjectRef) -> Collection[DynamicLoad]:
        return self.loads


class World:
    """All of it. Objects are put in with `location` and `container`, passes made with `reconcile`."""

    def __init__(self) -> None:
        self.now = NOW
        self.seconds = 0.0
        self.cache = ObjectCache()
        self.api = FakeAPI(self.cache, self.clock)
        self.backend = MemoryBackend()
        self.driver = FaultyDriver(clock=self.clock, identity=BACKEND, backend=self.backend)
        self.stores = FakeStores(self)
        self.seen = Seen()
        self.crash: Crash = no_crash
        self._nonces = 0
        self.restart()
        self.namespace(TEAM)

    def restart(self) -> None:
        """A new process: what was in memory only is gone, but what the watches bring."""
        self.publisher = StatusPublisher(self.api, self.seen, clock=self.clock)
        self.containers = ContainerReconciler(
            ContainerPorts(
                objects=self.cache,
                reader=self.api,
                stores=self.stores,
                writer=self.api,
                publisher=self.publisher,
                audit=self.seen,
                clock=self.clock,
                nonce=self._nonce,
                crash=self._crash,
            ),
            ContainerSettings(INSTALLATION),
        )
        self.locations = LocationReconciler(
            LocationPorts(
                objects=self.cache,
                stores=self.stores,
                writer=self.api,
                dynamic=self.seen,
                audit=self.seen,
                clock=self.clock,
                monotonic=lambda: self.seconds,
                crash=self._crash,
            ),
            LocationSettings(INSTALLATION),
        )

    def _crash(self, point: CrashPoint) -> None:
        self.crash(point)

    def clock(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> None:
        self.now += timedelta(**delta)
        self.seconds += timedelta(**delta).total_seconds()

    def _nonce(self) -> str:
        self._nonces += 1
        return f"nonce-{self._nonces}"

    # Objects

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        self.put("Namespace", name, None, {}, labels=labels)

    def put(self, kind: str, name: str, namespace: str | None, spec: Mapping[str, Any], **more: Any) -> ObjectRef:
        self.api.versions += 1
        version = self.api.versions
        snapshot = Snapshot(
            ref=ObjectRef(kind, namespace, name),
            uid=more.pop("uid", None) or f"uid-{version}",
            generation=1,
            resource_version=str(version),
            created_at=more.pop("created_at", self.now - timedelta(minutes=1)),
            spec=spec,
            status=more.pop("status", {"observedGeneration": -1}),
            labels=more.pop("labels", None) or {},
            **more,
        )
        self.cache.apply(snapshot)
        return snapshot.ref

    async def location(
        self, name: str = "place", *, cluster: bool = False, ready: bool = True, **spec: Any
    ) -> ObjectRef:
        kind, namespace = ("ClusterStowLocation", None) if cluster else ("StowLocation", TEAM)
        ref = self.put(kind, name, namespace, {"local": {"path": "data"}, **spec})
        if ready:
            await self.reconcile(ref)
        return ref

    def container(
        self,
        name: str = "box",
        *,
        location: str = "place",
        cluster: bool = False,
        namespace: str = TEAM,
        put: Mapping[str, Any] | None = None,
        **spec: Any,
    ) -> ObjectRef:
        kind = "ClusterStowLocation" if cluster else "StowLocation"
        full = {"locationRef": {"kind": kind, "name": location}, **spec}
        return self.put("StowContainer", name, namespace, full, **(put or {}))

    def change(self, ref: ObjectRef, **changed: Any) -> Snapshot:
        """As a user does: a new version, and a new generation where the spec changes."""
        self.api.versions += 1
        before = self.get(ref)
        generation = before.generation + ("spec" in changed)
        after = replace(before, resource_version=str(self.api.versions), generation=generation, **changed)
        self.cache.apply(after)
        return after

    def delete(self, ref: ObjectRef) -> None:
        if self.get(ref).finalizers:
            self.change(ref, deleting_since=self.now)
        else:
            self.cache.remove(ref)

    def get(self, ref: ObjectRef) -> Snapshot:
        found = self.cache.get(ref)
        assert found is not None, f"{ref} is gone"
        return found

    # Passes

    async def reconcile(self, ref: ObjectRef) -> Outcome:
        snapshot = self.get(ref)
        reconciler = self.containers if ref.kind == "StowContainer" else self.locations
        done = await reconciler.reconcile(snapshot)
        await self.publisher.publish(done.snapshot, done.result)
        return done.result.outcome

    # What is to be seen

    def condition(self, ref: ObjectRef, type_: str = "Ready") -> tuple[str, str] | None:
        found = find_condition(conditions_from_status(self.get(ref).status.get("conditions")), ConditionType(type_))
        return None if found is None else (found.status, found.reason)

    def message(self, ref: ObjectRef, type_: str = "Ready") -> str:
        found = find_condition(conditions_from_status(self.get(ref).status.get("conditions")), ConditionType(type_))
        return "" if found is None else found.message

    def writes(self, ref: ObjectRef) -> list[str]:
        return [what for what, of in self.api.writes if of == ref]

    def marker(self, ref: ObjectRef, *, nonce: str = "") -> Marker:
        return Marker(INSTALLATION, ref.namespace or "", ref.name, self.get(ref).uid, nonce)

    async def on_backend(self, name: str) -> ContainerState:
        plain = MemoryDriver(clock=self.clock, identity=BACKEND, backend=self.backend)
        if not await plain.container_exists(name):
            return ContainerState(exists=False)
        return ContainerState(exists=True, marker=await plain.read_marker(name))

    async def make(self, name: str, marker: Marker | None = None) -> None:
        """A container that somebody made past the operator."""
        await MemoryDriver(clock=self.clock, identity=BACKEND, backend=self.backend).create_container(name, marker)

    async def fill(self, name: str) -> None:
        async def body() -> Any:
            yield b"x"

        from stow.storage.model import WriteOptions

        plain = MemoryDriver(clock=self.clock, identity=BACKEND, backend=self.backend)
        await plain.write(name, "object", body(), size_bytes=1, options=WriteOptions())

    async def empty(self, name: str) -> None:
        plain = MemoryDriver(clock=self.clock, identity=BACKEND, backend=self.backend)
        await plain.delete(name, "object", if_match=None)


def killing_at(point: CrashPoint) -> Crash:
    def crash(at: CrashPoint) -> None:
        if at is point:
            raise Killed

    return crash
