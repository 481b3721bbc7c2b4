"""The typed status of the three kinds.

Reading is lenient: only the operator writes status, so what cannot be read counts as absent and the next reconcile
writes it anew. `to_dict` yields exactly the fields that are set; it is the whole status, and a writer that patches must
send null for the fields that are missing from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from stow.api.conditions import Condition, conditions_from_status, format_time, parse_time
from stow.api.meta import UNOBSERVED_GENERATION
from stow.storage.model import ContainerSettings

MAX_PINNED_ENTRIES: Final = 1000
"""Base and Declared entries of the container map that status holds; beyond it `containersTruncated` is true."""
MAX_DYNAMIC_ENTRIES: Final = 100
MAX_MAP_ENTRIES: Final = MAX_PINNED_ENTRIES + MAX_DYNAMIC_ENTRIES


class Origin(StrEnum):
    """How a container came into the map."""

    BASE = "Base"
    DECLARED = "Declared"
    DYNAMIC = "Dynamic"


class Provisioned(StrEnum):
    """Whether the operator made the container or took one that was there."""

    CREATED = "Created"
    LOADED = "Loaded"


@dataclass(frozen=True, slots=True)
class ContainerMapEntry:
    """One container of a location. `namespace` stands only on a ClusterStowLocation, `resource` only on Declared."""

    name: str
    fqn: str
    origin: Origin
    ready: bool
    loaded_at: datetime
    namespace: str | None = None
    resource: str | None = None

    def to_dict(self) -> dict[str, object]:
        """The entry as the API server stores it."""
        return _present(
            name=self.name,
            fqn=self.fqn,
            origin=self.origin.value,
            namespace=self.namespace,
            resource=self.resource,
            ready=self.ready,
            loadedAt=format_time(self.loaded_at),
        )


@dataclass(frozen=True, slots=True)
class LocationStatus:
    """`status` of StowLocation and ClusterStowLocation. `container_count` counts all, also what is truncated."""

    observed_generation: int = UNOBSERVED_GENERATION
    conditions: tuple[Condition, ...] = ()
    base_container_fqn: str | None = None
    backend_identity: str | None = None
    capabilities: tuple[tuple[str, str], ...] = ()
    container_count: int | None = None
    containers_truncated: bool = False
    containers: tuple[ContainerMapEntry, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The whole status as the API server stores it."""
        return _present(
            observedGeneration=self.observed_generation,
            conditions=[each.to_dict() for each in self.conditions],
            baseContainerFQN=self.base_container_fqn,
            backendIdentity=self.backend_identity,
            capabilities=dict(self.capabilities) or None,
            containerCount=self.container_count,
            containersTruncated=self.containers_truncated or None,
            containers=[each.to_dict() for each in self.containers],
        )


@dataclass(frozen=True, slots=True)
class Intent:
    """Written before a create call: the container was seen absent, and only this nonce may claim an unknown outcome.

    ``refused``: the backend refused the last call and nothing was made, so there is no unknown outcome, and nothing to claim.
    """

    nonce: str
    container_name: str
    backend_identity: str
    seen_absent_at: datetime
    refused: bool = False

    def to_dict(self) -> dict[str, object]:
        """The intent as the API server stores it."""
        return _present(
            nonce=self.nonce,
            containerName=self.container_name,
            backendIdentity=self.backend_identity,
            seenAbsentAt=format_time(self.seen_absent_at),
            refused=self.refused or None,
        )


@dataclass(frozen=True, slots=True)
class Deletion:
    """How far a deletion is. The counts are those of the last look, and at least that many where `is_partial`."""

    started_at: datetime
    objects: int | None = None
    versions: int | None = None
    uploads: int | None = None
    is_partial: bool = False

    def to_dict(self) -> dict[str, object]:
        """The progress as the API server stores it."""
        return _present(
            startedAt=format_time(self.started_at),
            objects=self.objects,
            versions=self.versions,
            uploads=self.uploads,
            partial=self.is_partial or None,
        )


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """`status` of StowContainer. `backend_identity` is pinned once the container is provisioned."""

    observed_generation: int = UNOBSERVED_GENERATION
    conditions: tuple[Condition, ...] = ()
    container_name: str | None = None
    fqn: str | None = None
    provisioned: Provisioned | None = None
    backend_identity: str | None = None
    intent: Intent | None = None
    deletion: Deletion | None = None
    settings: ContainerSettings | None = None
    """What the container was set to last, or found to be set to as the spec says."""

    def to_dict(self) -> dict[str, object]:
        """The whole status as the API server stores it."""
        return _present(
            observedGeneration=self.observed_generation,
            conditions=[each.to_dict() for each in self.conditions],
            containerName=self.container_name,
            fqn=self.fqn,
            provisioned=self.provisioned.value if self.provisioned else None,
            backendIdentity=self.backend_identity,
            intent=self.intent.to_dict() if self.intent else None,
            deletion=self.deletion.to_dict() if self.deletion else None,
            settings=_settings_dict(self.settings) if self.settings else None,
        )


def location_status(raw: object) -> LocationStatus:
    """The readable part of a location's status."""
    status = _mapping(raw)
    capabilities = _mapping(status.get("capabilities"))
    entries = (_map_entry(_mapping(each)) for each in _list(status.get("containers"))[:MAX_MAP_ENTRIES])
    return LocationStatus(
        observed_generation=_generation(status),
        conditions=conditions_from_status(status.get("conditions")),
        base_container_fqn=_text(status, "baseContainerFQN"),
        backend_identity=_text(status, "backendIdentity"),
        capabilities=tuple(sorted((str(key), each) for key, each in capabilities.items() if isinstance(each, str))),
        container_count=_count(status, "containerCount"),
        containers_truncated=status.get("containersTruncated") is True,
        containers=tuple(each for each in entries if each is not None),
    )


def container_status(raw: object) -> ContainerStatus:
    """The readable part of a StowContainer's status."""
    status = _mapping(raw)
    provisioned = _text(status, "provisioned")
    return ContainerStatus(
        observed_generation=_generation(status),
        conditions=conditions_from_status(status.get("conditions")),
        container_name=_text(status, "containerName"),
        fqn=_text(status, "fqn"),
        provisioned=Provisioned(provisioned) if provisioned in tuple(Provisioned) else None,
        backend_identity=_text(status, "backendIdentity"),
        intent=_intent(_mapping(status.get("intent"))),
        deletion=_deletion(_mapping(status.get("deletion"))),
        settings=_settings(status.get("settings")),
    )


def _map_entry(raw: Mapping[str, object]) -> ContainerMapEntry | None:
    name, fqn, origin = _text(raw, "name"), _text(raw, "fqn"), _text(raw, "origin")
    loaded_at = parse_time(raw.get("loadedAt"))
    if name is None or fqn is None or loaded_at is None or origin not in tuple(Origin):
        return None
    return ContainerMapEntry(
        name=name,
        fqn=fqn,
        origin=Origin(origin),
        ready=raw.get("ready") is True,
        loaded_at=loaded_at,
        namespace=_text(raw, "namespace"),
        resource=_text(raw, "resource"),
    )


def _intent(raw: Mapping[str, object]) -> Intent | None:
    """None unless it is whole: a damaged intent must not let anybody claim a container."""
    nonce, name, identity = _text(raw, "nonce"), _text(raw, "containerName"), _text(raw, "backendIdentity")
    seen_absent_at = parse_time(raw.get("seenAbsentAt"))
    if nonce is None or name is None or identity is None or seen_absent_at is None:
        return None
    return Intent(
        nonce=nonce,
        container_name=name,
        backend_identity=identity,
        seen_absent_at=seen_absent_at,
        refused=raw.get("refused") is True,
    )


def _deletion(raw: Mapping[str, object]) -> Deletion | None:
    started_at = parse_time(raw.get("startedAt"))
    if started_at is None:
        return None
    return Deletion(
        started_at=started_at,
        objects=_count(raw, "objects"),
        versions=_count(raw, "versions"),
        uploads=_count(raw, "uploads"),
        is_partial=raw.get("partial") is True,
    )


def _settings_dict(settings: ContainerSettings) -> dict[str, object]:
    return _present(
        tags=dict(settings.tags) if settings.tags is not None else None,
        versioning=settings.versioning,
        expireAfterDays=settings.expire_after_days,
    )


def _settings(raw: object) -> ContainerSettings | None:
    """A damaged part counts as never set, so that it is set again."""
    if not isinstance(raw, Mapping):
        return None
    tags, versioning = raw.get("tags"), raw.get("versioning")
    return ContainerSettings(
        tags={str(key): str(value) for key, value in tags.items()} if isinstance(tags, Mapping) else None,
        versioning=versioning if isinstance(versioning, bool) else None,
        expire_after_days=_count(raw, "expireAfterDays"),
    )


def _present(**fields: object) -> dict[str, object]:
    return {key: value for key, value in fields.items() if value is not None}


def _mapping(raw: object) -> Mapping[str, object]:
    return raw if isinstance(raw, Mapping) else {}


def _list(raw: object) -> Sequence[object]:
    return raw if isinstance(raw, list) else ()


def _text(raw: Mapping[str, object], key: str) -> str | None:
    value = raw.get(key)
    return value if isinstance(value, str) and value else None


def _count(raw: Mapping[str, object], key: str) -> int | None:
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _generation(raw: Mapping[str, object]) -> int:
    count = _count(raw, "observedGeneration")
    return UNOBSERVED_GENERATION if count is None else count
