"""The container map: which containers a store may use, and how each came in. In memory, no I/O, bounded.

Base and Declared lines stay until they are taken out. Dynamic ones are at most :data:`MAX_DYNAMIC`: the oldest goes, which costs its next
user one look at the backend.
"""

from __future__ import annotations

from collections.abc import Iterable

from stow.errors import ContainerNotAllowedError
from stow.storage.model import ContainerEntry, Origin, Scope

MAX_DYNAMIC = 1000
"""Ten times what the status shows; some hundred bytes each."""


class ContainerMap:
    """Lines by container name. A Declared line replaces a Dynamic one; nothing replaces the Base line."""

    def __init__(self) -> None:
        self._entries: dict[str, ContainerEntry] = {}

    def get(self, name: str) -> ContainerEntry | None:
        return self._entries.get(name)

    def record(self, entry: ContainerEntry) -> ContainerEntry:
        """Put a line in, keeping the ``loaded_at`` of an equal one; returns what stands there afterwards."""
        known = self._entries.get(entry.name)
        if known is not None and _rank(known) > _rank(entry):
            return known
        if known is not None and (known.origin, known.uid) == (entry.origin, entry.uid):
            return known
        self._entries[entry.name] = entry
        self._bound()
        return entry

    def forget(self, name: str, *, uid: str | None = None) -> None:
        """Take a line out; with ``uid`` only that owner's. The Base line stays."""
        known = self._entries.get(name)
        if known is not None and known.origin is not Origin.BASE and uid in {None, known.uid}:
            del self._entries[name]

    def all(self) -> tuple[ContainerEntry, ...]:
        """Base first, then by name."""
        return tuple(sorted(self._entries.values(), key=lambda e: (e.origin is not Origin.BASE, e.name)))

    def _bound(self) -> None:
        dynamic = [e for e in self._entries.values() if e.origin is Origin.DYNAMIC]
        for entry in _oldest(dynamic, len(dynamic) - MAX_DYNAMIC):
            del self._entries[entry.name]


def _rank(entry: ContainerEntry) -> int:
    return (Origin.DYNAMIC, Origin.DECLARED, Origin.BASE).index(entry.origin)


def _oldest(entries: list[ContainerEntry], count: int) -> Iterable[ContainerEntry]:
    return sorted(entries, key=lambda e: e.loaded_at)[: max(0, count)]


def visible(entry: ContainerEntry, scope: Scope | None) -> ContainerEntry:
    """The line, if ``scope`` may use it; ``None`` is the operator itself, which may use all.

    Raises:
        ContainerNotAllowedError: a Declared container through a location, or somebody else's. Says the same in every case.
    """
    if scope is None:
        return entry
    own = entry.origin is Origin.DECLARED and entry.uid == scope.uid
    through_location = entry.origin is not Origin.DECLARED and scope.uid is None
    if own or through_location:
        return entry
    raise not_allowed()


def not_allowed() -> ContainerNotAllowedError:
    return ContainerNotAllowedError(
        "This container is not available here: it is neither the location's base container nor one that it loads on demand."
    )
