"""What the reconcilers need from the world. ``kube`` implements these against the API server; tests by hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from stow.errors import StowError
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.storage.store import StowStore


@dataclass(frozen=True, slots=True)
class SecretData:
    """One Secret as it was read: decoded values by key. Never printed."""

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


class Reader(Protocol):
    """Reads past the memory, for the few decisions that must not be made on stale knowledge."""

    async def read(self, ref: ObjectRef) -> Snapshot | None:
        """The object now; None when it is definitely gone. Other failures raise."""
        ...

    async def namespace_terminating(self, name: str) -> bool: ...


class Secrets(Protocol):
    """Secrets by name, with ``get``; never listed or watched."""

    async def get(self, namespace: str, name: str) -> SecretData | None:
        """None when it is definitely absent. Other failures raise."""
        ...


class Writer(Protocol):
    """All writes to custom resources. Each returns the snapshot after it, so that the next is not stale."""

    async def publish_status(self, snapshot: Snapshot, status: Mapping[str, Any]) -> Snapshot:
        """Make ``status`` the whole status; writes nothing when it is already equal."""
        ...

    async def add_finalizer(self, snapshot: Snapshot) -> Snapshot: ...
    async def remove_finalizer(self, snapshot: Snapshot) -> None:
        """Gone already is success."""
        ...


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
        StowError: there is no store and none can be built; says why (InvalidSpecError, CredentialsError, EndpointForbiddenError, BackendError).
        """
        ...

    def last_good(self, ref: ObjectRef) -> StowStore | None:
        """What is in memory, also when the location or its Secret is gone."""
        ...

    async def close(self, ref: ObjectRef) -> None: ...
