"""What the reconcilers need from the world. ``kube`` implements these against the API server; tests by hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from stow.errors import StowError
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.outcome import Result
from stow.storage.store import StowStore


@dataclass(frozen=True, slots=True)
class SecretData:
    """One Secret or ConfigMap as it was read: decoded values by key. Never printed."""

    uid: str
    resource_version: str
    data: Mapping[str, bytes] = field(repr=False)


class Objects(Protocol):
    """What is known of custom resources and namespaces, from memory: complete before the first reconcile, a little behind afterwards."""

    def get(self, ref: ObjectRef) -> Snapshot | None: ...
    def list(self, kind: str) -> Collection[Snapshot]: ...
    def namespaces(self) -> Mapping[str, Mapping[str, str]]:
        """Labels by namespace name; terminating ones included."""
        ...

    def containers_of(self, location: ObjectRef) -> Collection[Snapshot]:
        """The StowContainers that refer to a location, whether it exists or not."""
        ...


class Reader(Protocol):
    """Reads past the memory, for the few decisions that must not be made on stale knowledge."""

    async def read(self, ref: ObjectRef) -> Snapshot | None:
        """The object now; None when it is definitely gone. Other failures raise."""
        ...

    async def namespace_terminating(self, name: str) -> bool: ...


class Secrets(Protocol):
    """Secrets and ConfigMaps by name, with ``get``; never listed or watched."""

    async def get(self, namespace: str, name: str) -> SecretData | None:
        """The Secret; None when it is definitely absent. Other failures raise."""
        ...

    async def config_map(self, namespace: str, name: str) -> SecretData | None:
        """The ConfigMap; None when it is definitely absent. Other failures raise."""
        ...


class Writer(Protocol):
    """All writes to custom resources. Each returns the snapshot after it, so that the next is not stale.

    A write is made on the version of the snapshot. Raises ControlPlaneError, with status 409 where the object has changed since, with
    404 where it is gone.
    """

    async def publish_status(self, snapshot: Snapshot, status: Mapping[str, Any]) -> Snapshot:
        """Make ``status`` the whole status; writes nothing when it is already equal."""
        ...

    async def add_finalizer(self, snapshot: Snapshot) -> Snapshot: ...
    async def remove_finalizer(self, snapshot: Snapshot) -> Snapshot | None:
        """None: the object is gone with it, or was gone already, which is success."""
        ...


class Publisher(Protocol):
    """Turns a result into status, between the steps of a reconcile: an intent has to be in status before the create call goes out."""

    async def publish(self, snapshot: Snapshot, result: Result) -> Snapshot: ...


@dataclass(frozen=True, slots=True)
class DynamicLoad:
    """A container that some gateway replica loaded on demand."""

    name: str
    loaded_at: datetime


class DynamicLoads(Protocol):
    """What the gateways report about dynamic containers, from memory."""

    def of(self, location: ObjectRef) -> Collection[DynamicLoad]: ...


class Wakes(Protocol):
    """Something that notices what no watch shows (a changed Secret, a gateway's report) and names the object that it concerns."""

    def subscribe(self, listener: Callable[[ObjectRef], None]) -> Callable[[], None]:
        """Hear of it from now on, in the event loop of the caller; call the result to end it."""
        ...


class Audit(Protocol):
    """The operator's audit trail: one line for each decision about somebody's data."""

    def record(self, action: str, snapshot: Snapshot, *, detail: str) -> None: ...


class Events(Protocol):
    """Kubernetes Events: best effort, limited, never an error for the caller."""

    async def emit(self, snapshot: Snapshot, *, reason: str, message: str, warning: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """A location's store. ``problem``: the present spec or Secret cannot be used, and this is the last good store."""

    store: StowStore
    problem: StowError | None = None


class Stores(Protocol):
    """One store a location, rebuilt when its spec or Secret changes: built, probed, then swapped."""

    async def open(self, location: Snapshot) -> OpenedStore:
        """Raises:
        StowError: there is no store and none can be built; says why.
        """
        ...

    def last_good(self, ref: ObjectRef) -> StowStore | None:
        """What is in memory, also when the location or its Secret is gone."""
        ...

    async def close(self, ref: ObjectRef) -> None: ...
