"""The typed spec of StowContainer: one container asked for by an application team."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from stow.api.fields import Fields, invalid_spec
from stow.api.meta import CLUSTER_STOW_LOCATION, STOW_LOCATION
from stow.api.names import DNS_SUBDOMAIN, is_container_name
from stow.storage.model import ContainerSettings


class Provision(StrEnum):
    """What is done where the container exists, and where it does not."""

    CREATE = "Create"
    LOAD = "Load"
    LOAD_OR_CREATE = "LoadOrCreate"


class DeletionPolicy(StrEnum):
    """What becomes of the container when the StowContainer goes. A loaded one is always retained."""

    RETAIN = "Retain"
    DELETE_IF_EMPTY = "DeleteIfEmpty"


class DriftPolicy(StrEnum):
    """What is done where the container is set to something else than the spec says, and the spec has not changed."""

    REPORT = "Report"
    ENFORCE = "Enforce"


MAX_TAGS: Final = 40
"""S3 takes 50, and the owner's mark needs some."""
MAX_EXPIRY_DAYS: Final = 36_500

_TAG: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
_TAG_VALUE: Final = re.compile(r"[^\x00-\x1f\x7f]{0,255}")
_RESERVED_TAGS: Final = "stowstore"
_LOCATION_KINDS: Final = (STOW_LOCATION.kind, CLUSTER_STOW_LOCATION.kind)


@dataclass(frozen=True, slots=True)
class LocationRef:
    """Which location holds the container: one of the same namespace, or a cluster one."""

    kind: str
    name: str

    @property
    def is_cluster(self) -> bool:
        """Whether it is a ClusterStowLocation."""
        return self.kind == CLUSTER_STOW_LOCATION.kind


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """The spec; `container_name` is None where the default name is meant (see `container_name_of`)."""

    location_ref: LocationRef
    container_name: str | None = None
    provision: Provision = Provision.CREATE
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    suspend: bool = False
    settings: ContainerSettings = field(default_factory=ContainerSettings)
    """What the container is to be set to; None in it is left as it is."""
    drift_policy: DriftPolicy = DriftPolicy.REPORT


def container_spec(raw: object) -> ContainerSpec:
    """The spec of one StowContainer. Raises: InvalidSpecError."""
    spec = Fields.of(raw, "spec")
    if not spec.has("locationRef"):
        raise spec.error("locationRef", "is required")
    ref = spec.child("locationRef")
    name = spec.optional_text("containerName", max_length=63)
    if name is not None and not is_container_name(name):
        raise spec.error("containerName", "must be 3 to 63 lower-case letters, digits, '-' and single inner '.'")
    return ContainerSpec(
        location_ref=LocationRef(
            kind=ref.one_of("kind", _LOCATION_KINDS, default=STOW_LOCATION.kind),
            name=ref.text("name", pattern=DNS_SUBDOMAIN),
        ),
        container_name=name,
        provision=Provision(spec.one_of("provision", tuple(Provision), default=Provision.CREATE)),
        deletion_policy=DeletionPolicy(
            spec.one_of("deletionPolicy", tuple(DeletionPolicy), default=DeletionPolicy.RETAIN)
        ),
        suspend=spec.flag("suspend"),
        settings=_settings(spec),
        drift_policy=DriftPolicy(spec.one_of("driftPolicy", tuple(DriftPolicy), default=DriftPolicy.REPORT)),
    )


def _settings(spec: Fields) -> ContainerSettings:
    days = spec.optional_count("expireAfterDays")
    if days is not None and days > MAX_EXPIRY_DAYS:
        raise spec.error("expireAfterDays", f"must be at most {MAX_EXPIRY_DAYS}")
    return ContainerSettings(
        tags=_tags(spec.child("tags")) if spec.has("tags") else None,
        versioning=spec.flag("versioning") if spec.has("versioning") else None,
        expire_after_days=days,
    )


def _tags(tags: Fields) -> dict[str, str]:
    if len(tags.values) > MAX_TAGS:
        raise invalid_spec(tags.path, f"must have at most {MAX_TAGS} entries")
    found: dict[str, str] = {}
    for key, value in tags.values.items():
        if _TAG.fullmatch(str(key)) is None or key.lower().startswith(_RESERVED_TAGS):
            raise invalid_spec(
                tags.path,
                "keys must be 1 to 63 letters, digits and inner '.', '_' and '-', and must not begin with stowstore",
            )
        if not isinstance(value, str) or _TAG_VALUE.fullmatch(value) is None:
            raise invalid_spec(tags.path, "values must have at most 255 characters and no control characters")
        found[key] = value
    return found


def default_container_name(location_kind: str, *, namespace: str, name: str) -> str:
    """The container's name without `spec.containerName`: the object's own, after its namespace on a cluster location.

    The result may be too long for a container; `is_container_name` says so.
    """
    return f"{namespace}-{name}" if location_kind == CLUSTER_STOW_LOCATION.kind else name


def container_name_of(spec: ContainerSpec, *, namespace: str, name: str) -> str:
    """The name that the object asks for."""
    if spec.container_name is not None:
        return spec.container_name
    return default_container_name(spec.location_ref.kind, namespace=namespace, name=name)
