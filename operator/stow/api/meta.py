"""The names of the API group stowstore.io that users and the cluster see.

Everything here is a promise: a finalizer or annotation that is renamed strands the objects that carry the old name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

GROUP: Final = "stowstore.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "stow"

FINALIZER: Final = f"{GROUP}/stow-operator"
"""Stands on StowContainers, and on locations that are in use; the operator alone sets and drops it."""

ABANDON_ANNOTATION: Final = f"{GROUP}/abandon"
"""`"true"` gives the object up without touching the backend; the way out of every deletion that cannot end."""

ANNOTATION_PREFIX: Final = GROUP
"""The prefix under which the operator keeps its own notes."""

UNOBSERVED_GENERATION: Final = -1
"""`status.observedGeneration` before the operator saw the object: the API server serves it as the default."""


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """How one kind is addressed in the API."""

    kind: str
    plural: str
    singular: str
    short_name: str
    namespaced: bool

    @property
    def crd_name(self) -> str:
        """The name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


STOW_LOCATION: Final = ResourceKind("StowLocation", "stowlocations", "stowlocation", "sl", namespaced=True)
CLUSTER_STOW_LOCATION: Final = ResourceKind(
    "ClusterStowLocation", "clusterstowlocations", "clusterstowlocation", "csl", namespaced=False
)
STOW_CONTAINER: Final = ResourceKind("StowContainer", "stowcontainers", "stowcontainer", "stc", namespaced=True)

KINDS: Final[Mapping[str, ResourceKind]] = MappingProxyType(
    {each.kind: each for each in (STOW_LOCATION, CLUSTER_STOW_LOCATION, STOW_CONTAINER)}
)
LOCATION_KINDS: Final = frozenset({STOW_LOCATION.kind, CLUSTER_STOW_LOCATION.kind})


def is_abandoned(metadata: Mapping[str, object]) -> bool:
    """Whether the owner gave the object up: the annotation is exactly `"true"`, any other value means no."""
    annotations = metadata.get("annotations")
    return isinstance(annotations, Mapping) and annotations.get(ABANDON_ANNOTATION) == "true"
