"""May this StowContainer have a container of this name at this location? Pure checks over snapshots; no I/O.

Before a container is provisioned all of it must hold. Afterwards only the permission of the namespace counts: the recorded owner keeps
its name, even where a pattern or a new namespace would give it to somebody else today.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stow.api.conditions import find_condition
from stow.api.container import ContainerSpec, container_name_of, container_spec
from stow.api.location import LoadableContainer, LocationSpec, location_spec
from stow.api.meta import CLUSTER_STOW_LOCATION
from stow.api.names import NameVerdict, is_container_name, judge_name
from stow.api.reasons import ConditionType, Reason
from stow.api.status import LocationStatus, location_status
from stow.errors import InvalidSpecError
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.outcome import Stalled, Waiting
from stow.reconcile.ports import Objects
from stow.reconcile.reasons import STALLED_AFTER

Refusal = Waiting | Stalled


@dataclass(frozen=True, slots=True)
class Asked:
    """What a StowContainer asks for, as far as its own spec says."""

    spec: ContainerSpec
    name: str
    location: ObjectRef


def asked(container: Snapshot) -> Asked:
    """Raises: InvalidSpecError."""
    spec = container_spec(container.spec)
    name = container_name_of(spec, namespace=container.ref.namespace or "", name=container.ref.name)
    if not is_container_name(name):
        raise InvalidSpecError("spec.containerName: the default name is no container name; set another one")
    ref = spec.location_ref
    return Asked(spec, name, ObjectRef(ref.kind, None if ref.is_cluster else container.ref.namespace, ref.name))


@dataclass(frozen=True, slots=True)
class Place:
    """A location as a StowContainer finds it."""

    snapshot: Snapshot
    spec: LocationSpec
    status: LocationStatus

    @property
    def text(self) -> str:
        return f"{self.snapshot.ref.kind} {self.snapshot.ref.name}"


def find_place(objects: Objects, ask: Asked) -> Place | Refusal:
    """The location that is asked for, whether it is ready or not."""
    snapshot = objects.get(ask.location)
    text = f"{ask.location.kind} {ask.location.name}"
    if snapshot is None:
        return Waiting(
            Reason.LOCATION_NOT_FOUND, f"The {text} does not exist; create it, or refer to another one.", STALLED_AFTER
        )
    try:
        spec = location_spec(snapshot.ref.kind, snapshot.spec)
    except InvalidSpecError:
        return Waiting(Reason.LOCATION_NOT_READY, f"The {text} has a spec that cannot be used.", STALLED_AFTER)
    return Place(snapshot, spec, location_status(snapshot.status))


def check_namespace(place: Place, namespace: str, namespaces: Mapping[str, Mapping[str, str]]) -> Refusal | None:
    """Whether the location lets the namespace in, now."""
    if not place.spec.is_cluster or place.spec.allowed_namespaces.allows(namespace, namespaces.get(namespace)):
        return None
    return Waiting(
        Reason.NAMESPACE_NOT_ALLOWED,
        f"The {place.text} does not allow this namespace; ask the platform team to add it to allowedNamespaces.",
        STALLED_AFTER,
    )


def check_ready(place: Place) -> Refusal | None:
    """Whether new containers may be provisioned there."""
    if place.snapshot.deleting_since is not None:
        return Waiting(Reason.LOCATION_NOT_READY, f"The {place.text} is being deleted.", STALLED_AFTER)
    ready = find_condition(place.status.conditions, ConditionType.READY)
    if ready is None or place.status.observed_generation != place.snapshot.generation:
        message = f"The {place.text} has not been probed yet."
        return Waiting(Reason.LOCATION_NOT_READY, message, STALLED_AFTER, silent=True)
    if ready.status != "True":
        return Waiting(
            Reason.LOCATION_NOT_READY,
            f"The {place.text} is not ready ({ready.reason}); its own status says more.",
            STALLED_AFTER,
        )
    if ready.reason == Reason.SUSPENDED:
        return Waiting(Reason.LOCATION_NOT_READY, f"The {place.text} is suspended.", STALLED_AFTER)
    return None


def check_name(
    place: Place, ask: Asked, namespace: str, *, namespaces: Iterable[str], places: Iterable[Place]
) -> Refusal | None:
    """Whether the namespace may have the name there. ``places``: all cluster locations, whose base containers nobody may claim."""
    bases = [place, *(each for each in places if _same_backend(each, place))]
    if any(each.spec.base_container is not None and each.spec.base_container.name == ask.name for each in bases):
        return Stalled(
            Reason.NAME_NOT_ALLOWED,
            f"The container {ask.name} is the base container of a location; set another spec.containerName.",
        )
    verdict = judge_name(place.spec.container_name_pattern, ask.name, namespace, namespaces=namespaces)
    if verdict is NameVerdict.ALLOWED:
        return None
    why = {
        NameVerdict.NO_MATCH: f"does not match {place.spec.container_name_pattern}, the containerNamePattern",
        NameVerdict.LONGER_NAMESPACE: "belongs to another namespace by the containerNamePattern",
        NameVerdict.AMBIGUOUS: "fits several namespaces by the containerNamePattern",
    }[verdict]
    return Stalled(
        Reason.NAME_NOT_ALLOWED,
        f"The container name {ask.name} {why} of the {place.text}; use another name.",
        STALLED_AFTER,
    )


def _same_backend(one: Place, other: Place) -> bool:
    identity = one.status.backend_identity
    return identity is not None and identity == other.status.backend_identity


def cluster_places(objects: Objects) -> tuple[Place, ...]:
    """All readable cluster locations."""
    places = []
    for snapshot in objects.list(CLUSTER_STOW_LOCATION.kind):
        try:
            spec = location_spec(snapshot.ref.kind, snapshot.spec)
        except InvalidSpecError:
            continue
        places.append(Place(snapshot, spec, location_status(snapshot.status)))
    return tuple(places)


def is_loadable(place: Place, namespace: str, name: str) -> bool:
    """Whether an unmarked container may be loaded: on a cluster location only what it lists."""
    return not place.spec.is_cluster or LoadableContainer(namespace, name) in place.spec.loadable_containers


def wanted_backend(objects: Objects, container: Snapshot) -> tuple[str, str] | None:
    """(backend identity, container name) that an object which never provisioned asks for with good right, else None."""
    try:
        ask = asked(container)
    except InvalidSpecError:
        return None
    if ask.spec.suspend or container.ref.namespace is None:
        return None
    place = find_place(objects, ask)
    if not isinstance(place, Place) or place.status.backend_identity is None:
        return None
    namespaces = objects.namespaces()
    refused = (
        check_namespace(place, container.ref.namespace, namespaces)
        or check_ready(place)
        or check_name(place, ask, container.ref.namespace, namespaces=namespaces, places=cluster_places(objects))
    )
    return None if refused else (place.status.backend_identity, ask.name)
