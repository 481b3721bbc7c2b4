"""Custom resources as the reconcilers see them: a read-only snapshot, whatever brought it (a watch, a read, a test)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Self

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """Names one object; ``namespace`` is None for cluster-scoped kinds."""

    kind: str
    namespace: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One object as it was read at ``resource_version``. ``spec`` and ``status`` are raw: their meaning is in :mod:`stow.api`."""

    ref: ObjectRef
    uid: str
    generation: int
    resource_version: str
    created_at: datetime
    deleting_since: datetime | None = None
    finalizers: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    annotations: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    spec: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    status: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    @classmethod
    def from_raw(cls, raw: Mapping[str, Any], *, kind: str | None = None) -> Self:
        """From an object as the API server sends it; ``kind`` where the items of a list do not carry theirs.

        Raises:
            KeyError, ValueError: not an object of the API server.
        """
        meta = raw["metadata"]
        deleting = meta.get("deletionTimestamp")
        return cls(
            ref=ObjectRef(kind or raw["kind"], meta.get("namespace"), meta["name"]),
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            resource_version=meta.get("resourceVersion", ""),
            created_at=datetime.fromisoformat(meta["creationTimestamp"]),
            deleting_since=datetime.fromisoformat(deleting) if deleting else None,
            finalizers=tuple(meta.get("finalizers") or ()),
            labels=meta.get("labels") or _NOTHING,
            annotations=meta.get("annotations") or _NOTHING,
            spec=raw.get("spec") or _NOTHING,
            status=raw.get("status") or _NOTHING,
        )
