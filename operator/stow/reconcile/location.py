"""The reconcile of one StowLocation or ClusterStowLocation: does its backend answer, what can it do, which containers does it hold?

A backend is probed once per ``probeInterval`` (and after each change of spec or Secret); in between, a change of its containers only draws
the map anew. The finalizer stands on a location exactly while something of this cluster may live there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import timedelta

from stow.api.conditions import Wanted, is_true
from stow.api.location import LocationSpec, location_spec
from stow.api.meta import CLUSTER_STOW_LOCATION, FINALIZER, is_abandoned
from stow.api.reasons import ConditionType, Reason
from stow.api.status import LocationStatus, container_status, location_status
from stow.errors import (
    AccessDeniedError,
    ContainerNotFoundError,
    CredentialsError,
    InvalidSpecError,
    StowError,
)
from stow.reconcile.container_map import MapSources, build_map
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.outcome import Gone, Outcome, Ready, Reconciled, Result, Suspended, Waiting
from stow.reconcile.ownership import BASE_OWNER
from stow.reconcile.ports import Audit, DynamicLoads, Objects, Stores, Writer
from stow.reconcile.reasons import STALLED_AFTER, outcome_of, reason_of
from stow.storage.clock import Clock
from stow.storage.crashpoints import Crash, CrashPoint, no_crash
from stow.storage.model import Marker
from stow.storage.store import StowStore

MAX_NAMED_USERS = 5
"""Containers that an InUse message names; the count says how many more."""


@dataclass(frozen=True, slots=True)
class LocationSettings:
    """``installation``: as in markers. ``probe_floor``: no backend is probed more often without a cause."""

    installation: str
    probe_floor: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class LocationPorts:
    """What the reconcile of locations needs from the world. ``monotonic`` gives seconds."""

    objects: Objects
    stores: Stores
    writer: Writer
    dynamic: DynamicLoads
    audit: Audit
    clock: Clock
    monotonic: Callable[[], float]
    crash: Crash = no_crash


@dataclass(frozen=True, slots=True)
class _Probe:
    """The last look at a backend, good for the same client and generation until ``due``."""

    store: StowStore
    generation: int
    due: float
    error: StowError | None


class LocationReconciler:
    """Safe for concurrent use for different objects. Remembers when each location was probed last."""

    def __init__(self, ports: LocationPorts, settings: LocationSettings) -> None:
        self._ports = ports
        self._settings = settings
        self._probes: dict[ObjectRef, _Probe] = {}

    async def reconcile(self, snapshot: Snapshot) -> Reconciled:
        """One pass. Raises ControlPlaneError where a write to the API server failed: to be tried again."""
        status = location_status(snapshot.status)
        try:
            spec: LocationSpec | InvalidSpecError = location_spec(snapshot.ref.kind, snapshot.spec)
        except InvalidSpecError as error:
            spec = error
        users = self._users(snapshot, spec)
        if snapshot.deleting_since is not None:
            return await self._delete(snapshot, status, spec, users)
        snapshot = await self._keep_finalizer(snapshot, users)
        if isinstance(spec, InvalidSpecError):
            return Reconciled(snapshot, Result(outcome_of(spec), status))
        if spec.suspend:
            return Reconciled(snapshot, Result(Suspended(), status))
        return await self._look(snapshot, status, spec)

    async def forget(self, ref: ObjectRef) -> None:
        """The location is gone. Its client stays in memory while a StowContainer still needs it for its own end."""
        self._probes.pop(ref, None)
        if not self._ports.objects.containers_of(ref):
            await self._ports.stores.close(ref)

    # In use

    def _users(self, snapshot: Snapshot, spec: LocationSpec | InvalidSpecError) -> list[Snapshot]:
        """The StowContainers that hold the location: those with a container there, and those that may have one.

        Another namespace that merely names a cluster location which does not let it in must not keep it from being deleted.
        """
        containers = self._ports.objects.containers_of(snapshot.ref)
        if snapshot.ref.kind != CLUSTER_STOW_LOCATION.kind:
            return list(containers)
        labels = self._ports.objects.namespaces()
        users = []
        for each in containers:
            status = container_status(each.status)
            allowed = isinstance(spec, LocationSpec) and spec.allowed_namespaces.allows(
                each.ref.namespace or "", labels.get(each.ref.namespace or "")
            )
            if allowed or status.provisioned is not None or status.intent is not None:
                users.append(each)
        return users

    async def _keep_finalizer(self, snapshot: Snapshot, users: Collection[Snapshot]) -> Snapshot:
        if users:
            return await self._ports.writer.add_finalizer(snapshot)
        return await self._ports.writer.remove_finalizer(snapshot) or snapshot

    async def _delete(
        self, snapshot: Snapshot, status: LocationStatus, spec: LocationSpec | InvalidSpecError, users: list[Snapshot]
    ) -> Reconciled:
        if FINALIZER not in snapshot.finalizers:
            return Reconciled(snapshot, Result(Gone(), status))
        abandoned = is_abandoned({"annotations": snapshot.annotations})
        if not users or abandoned:
            left = await self._ports.writer.remove_finalizer(snapshot)
            if users:
                self._ports.audit.record(
                    "location-abandoned", snapshot, detail=f"{len(users)} StowContainers still use it"
                )
            return Reconciled(left or snapshot, Result(Gone(), status))
        message = _in_use_message(snapshot, users)
        condition = Wanted(ConditionType.DELETION_BLOCKED, "True", Reason.IN_USE, message)
        if isinstance(spec, LocationSpec):
            status = self._with_map(status, snapshot, spec, None)
        return Reconciled(snapshot, Result(Waiting(Reason.IN_USE, message, STALLED_AFTER), status, (condition,)))

    # The backend

    async def _look(self, snapshot: Snapshot, status: LocationStatus, spec: LocationSpec) -> Reconciled:
        try:
            opened = await self._ports.stores.open(snapshot)
        except StowError as error:
            return self._failed(snapshot, self._with_map(status, snapshot, spec, None), error)
        status = replace(status, backend_identity=opened.store.identity)
        if opened.problem is not None:
            return self._failed(snapshot, self._with_map(status, snapshot, spec, opened.store), opened.problem)
        probed, left = await self._probe(snapshot, spec, opened.store)
        if probed is not None:
            return self._failed(snapshot, self._with_map(status, snapshot, spec, opened.store), probed)
        status = replace(status, capabilities=tuple(sorted(opened.store.capabilities.as_status().items())))
        try:
            missing = await self._base(snapshot, status, spec, opened.store)
        except StowError as failure:
            self._probes.pop(snapshot.ref, None)
            return self._failed(snapshot, self._with_map(status, snapshot, spec, opened.store), failure)
        if missing is not None:
            status = self._with_map(status, snapshot, spec, opened.store, base_ready=False)
            return Reconciled(snapshot, Result(missing, status, _CONDITIONS_GOOD))
        status = replace(status, base_container_fqn=opened.store.base_container_fqn)
        status = self._with_map(status, snapshot, spec, opened.store)
        return Reconciled(snapshot, Result(_answers(left), status, _CONDITIONS_GOOD))

    async def _probe(
        self, snapshot: Snapshot, spec: LocationSpec, store: StowStore
    ) -> tuple[StowError | None, timedelta]:
        """The error of the last look, and how long it counts. Looks now where that is over."""
        now = self._ports.monotonic()
        last = self._probes.get(snapshot.ref)
        if last is None or last.store is not store or last.generation != snapshot.generation or last.due <= now:
            error: StowError | None = None
            try:
                await store.probe()
                self._ports.crash(CrashPoint.LOCATION_PROBED)
            except StowError as failure:
                error = failure
            interval = max(spec.probe_interval, self._settings.probe_floor) if error is None else timedelta(seconds=1)
            last = _Probe(store, snapshot.generation, now + interval.total_seconds(), error)
            self._probes[snapshot.ref] = last
        return last.error, timedelta(seconds=max(0.0, last.due - now))

    async def _base(
        self, snapshot: Snapshot, status: LocationStatus, spec: LocationSpec, store: StowStore
    ) -> Outcome | None:
        """See that the base container is there. One that was seen before and is gone is not made anew."""
        base = spec.base_container
        if base is None:
            return None
        seen = status.base_container_fqn == store.base_container_fqn
        name = f"{BASE_OWNER}{snapshot.ref.name}"
        marker = Marker(self._settings.installation, snapshot.ref.namespace or "", name, snapshot.uid)
        try:
            if (await store.container_state(base.name)).exists:
                return None
            if seen or not base.create_if_not_found:
                raise ContainerNotFoundError("absent")
            await store.create_container(base.name, marker=marker)
        except ContainerNotFoundError:
            what = "is gone; it is not made anew, so restore it" if seen else "does not exist; create it"
            way = "" if seen else ", or set baseContainer.createIfNotFound"
            return Waiting(Reason.BASE_CONTAINER_NOT_FOUND, f"The base container {base.name} {what}{way}.")
        self._ports.audit.record("base-container-created", snapshot, detail=store.base_container_fqn or base.name)
        return None

    def _failed(self, snapshot: Snapshot, status: LocationStatus, error: StowError) -> Reconciled:
        return Reconciled(snapshot, Result(outcome_of(error), status, _conditions_of(error)))

    def _with_map(
        self,
        status: LocationStatus,
        snapshot: Snapshot,
        spec: LocationSpec,
        store: StowStore | None,
        *,
        base_ready: bool = True,
    ) -> LocationStatus:
        """The status with the map drawn anew; without a store there is a scheme only if there was a map before."""
        scheme = store.scheme if store is not None else _scheme_of(status)
        if scheme is None:
            return status
        base = spec.base_container.name if spec.base_container is not None else None
        ready = is_true(status.conditions, ConditionType.READY) if store is None else base_ready
        drawn = build_map(
            MapSources(
                is_cluster=spec.is_cluster,
                scheme=scheme,
                base=base if store is None or status.base_container_fqn == store.base_container_fqn else None,
                base_ready=ready,
                containers=self._ports.objects.containers_of(snapshot.ref),
                dynamic=self._ports.dynamic.of(snapshot.ref),
            ),
            previous=status.containers,
            now=self._ports.clock(),
        )
        return replace(
            status, containers=drawn.entries, container_count=drawn.count, containers_truncated=drawn.truncated
        )


_CONDITIONS_GOOD = (
    Wanted(ConditionType.CREDENTIALS_VALID, "True", Reason.SUCCEEDED, "The backend takes the credentials."),
    Wanted(ConditionType.REACHABLE, "True", Reason.SUCCEEDED, "The backend answers."),
)


def _answers(left: timedelta) -> Ready:
    return Ready(Reason.SUCCEEDED, "The backend answers and takes the credentials.", left)


def _conditions_of(error: StowError) -> tuple[Wanted, ...]:
    """What an error says about credentials and reachability. A refusal is an answer; silence says nothing about credentials."""
    reason = reason_of(error)
    if isinstance(error, CredentialsError):
        invalid = Wanted(ConditionType.CREDENTIALS_VALID, "False", reason, error.message)
        if isinstance(error, AccessDeniedError):
            return (invalid, _CONDITIONS_GOOD[1])
        return (invalid,)
    if reason in _REACHABILITY:
        unverified = "The backend could not be asked about the credentials."
        return (
            Wanted(ConditionType.CREDENTIALS_VALID, "Unknown", Reason.CREDENTIALS_UNVERIFIED, unverified),
            Wanted(ConditionType.REACHABLE, "False", reason, error.message),
        )
    return ()


_REACHABILITY = frozenset(
    {Reason.UNREACHABLE, Reason.THROTTLED, Reason.ENDPOINT_FORBIDDEN, Reason.WRONG_REGION, Reason.BACKEND_ERROR}
)


def _scheme_of(status: LocationStatus) -> str | None:
    return status.containers[0].fqn.partition("://")[0] if status.containers else None


def _in_use_message(snapshot: Snapshot, users: list[Snapshot]) -> str:
    """Names of the same namespace on a StowLocation; namespace and name on a ClusterStowLocation, which tenants do not see."""
    is_cluster = snapshot.ref.namespace is None
    names = sorted(f"{each.ref.namespace}/{each.ref.name}" if is_cluster else each.ref.name for each in users)
    more = f" and {len(names) - MAX_NAMED_USERS} more" if len(names) > MAX_NAMED_USERS else ""
    return f"StowContainers still refer to it: {', '.join(names[:MAX_NAMED_USERS])}{more}. Delete them first."
