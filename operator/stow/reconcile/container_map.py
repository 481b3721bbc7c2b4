"""The container map of a location: Base, Declared and Dynamic containers as they stand in ``status.containers``. Pure.

A name has one line: Base before Declared before Dynamic. Base and Declared lines are never evicted; beyond the limit they are left out and
``containersTruncated`` says so. ``loadedAt`` is set once, when a line comes in, and stays while the line does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from stow.api.conditions import is_true
from stow.api.reasons import ConditionType
from stow.api.status import MAX_DYNAMIC_ENTRIES, MAX_PINNED_ENTRIES, ContainerMapEntry, Origin, container_status
from stow.reconcile.objects import Snapshot
from stow.reconcile.ports import DynamicLoad


@dataclass(frozen=True, slots=True)
class MapSources:
    """What the map is made of. ``base_fqn`` is None without a base container; ``scheme`` names dynamic ones."""

    is_cluster: bool
    scheme: str
    base: str | None
    base_ready: bool
    containers: Collection[Snapshot]
    dynamic: Collection[DynamicLoad]


@dataclass(frozen=True, slots=True)
class ContainerMapStatus:
    """What goes into status. ``count`` is of all lines, those left out included."""

    entries: tuple[ContainerMapEntry, ...]
    count: int
    truncated: bool


def build_map(sources: MapSources, *, previous: Sequence[ContainerMapEntry], now: datetime) -> ContainerMapStatus:
    """The map as it is now. ``previous`` gives the times of lines that were there before."""
    known = {(each.name, each.origin, each.namespace, each.resource): each.loaded_at for each in previous}

    def since(name: str, origin: Origin, namespace: str | None = None, resource: str | None = None) -> datetime:
        return known.get((name, origin, namespace, resource), now.replace(microsecond=0))

    lines: dict[str, ContainerMapEntry] = {}
    if sources.base is not None:
        fqn = f"{sources.scheme}://{sources.base}"
        lines[sources.base] = ContainerMapEntry(
            sources.base, fqn, Origin.BASE, sources.base_ready, since(sources.base, Origin.BASE)
        )
    for container in sorted(sources.containers, key=lambda each: (each.created_at, each.uid)):
        status = container_status(container.status)
        declared, address = status.container_name, status.fqn
        if status.provisioned is None or declared is None or address is None or declared in lines:
            continue
        namespace = container.ref.namespace if sources.is_cluster else None
        lines[declared] = ContainerMapEntry(
            declared,
            address,
            Origin.DECLARED,
            is_true(status.conditions, ConditionType.READY),
            since(declared, Origin.DECLARED, namespace, container.ref.name),
            namespace,
            container.ref.name,
        )
    pinned = _base_first(lines.values())
    dynamic = _latest(
        sources, taken=lines.keys(), since={line[0]: at for line, at in known.items() if line[1] is Origin.DYNAMIC}
    )
    shown = (*pinned[:MAX_PINNED_ENTRIES], *dynamic[:MAX_DYNAMIC_ENTRIES])
    count = len(pinned) + len(dynamic)
    return ContainerMapStatus(tuple(shown), count, truncated=len(shown) < count)


def _base_first(lines: Iterable[ContainerMapEntry]) -> list[ContainerMapEntry]:
    return sorted(lines, key=lambda each: (each.origin is not Origin.BASE, each.name))


def _latest(sources: MapSources, *, taken: Collection[str], since: Mapping[str, datetime]) -> list[ContainerMapEntry]:
    """Dynamic lines, the latest first. Several replicas may have loaded the same one: the first load counts, and stays."""
    first: dict[str, datetime] = {}
    for load in sources.dynamic:
        if load.name not in taken:
            first[load.name] = since.get(load.name) or min(load.loaded_at, first.get(load.name, load.loaded_at))
    ordered = sorted(first.items(), key=lambda item: (-item[1].timestamp(), item[0]))
    return [
        ContainerMapEntry(name, f"{sources.scheme}://{name}", Origin.DYNAMIC, True, at.replace(microsecond=0))
        for name, at in ordered
    ]
