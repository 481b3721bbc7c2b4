"""The typed spec of StowContainer: one container asked for by an application team."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from stow.api.fields import Fields
from stow.api.meta import CLUSTER_STOW_LOCATION, STOW_LOCATION
from stow.api.names import DNS_SUBDOMAIN, is_container_name


class Provision(StrEnum):
    """What is done where the container exists, and where it does not."""

    CREATE = "Create"
    LOAD = "Load"
    LOAD_OR_CREATE = "LoadOrCreate"


class DeletionPolicy(StrEnum):
    """What becomes of the container when the StowContainer goes. A loaded one is always retained."""

    RETAIN = "Retain"
    DELETE_IF_EMPTY = "DeleteIfEmpty"


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
    )


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
