"""Whose container is it? Pure checks over what was read before; no I/O.

One identity - backend and container name - has one owner. Among the cluster's objects the recorded owner wins; age decides only between
objects that never provisioned. On the backend the marker says whose a container is: installation, namespace, name and UID.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from stow.api.conditions import find_condition, is_true
from stow.api.container import Provision
from stow.api.reasons import ConditionType, Reason
from stow.api.status import Intent, Provisioned, container_status
from stow.reconcile.objects import Snapshot
from stow.storage.model import ContainerState, Marker

IN_USE_ELSEWHERE = "in use elsewhere"
"""All that an object may learn about an owner in another namespace."""
BASE_OWNER = "location/"
"""Begins the owner's name in the marker of a base container. No StowContainer can have such a name, so none is ever taken for the owner."""


def identity_of(backend: str, container_name: str) -> str:
    """Which container at which backend: equal exactly for the same container."""
    return f"{backend}/{container_name}"


class Whose(StrEnum):
    """What a marker says to one asker."""

    NOBODY = "Nobody"
    MINE = "Mine"
    PREDECESSOR = "Predecessor"
    """Same installation, namespace and name, another UID: ours when that object is gone."""
    FOREIGN = "Foreign"


def whose(marker: Marker | None, asker: Marker) -> Whose:
    """``asker`` is the marker that the asking object writes; its nonce does not matter here."""
    if marker is None:
        return Whose.NOBODY
    if (marker.installation, marker.namespace, marker.name) != (asker.installation, asker.namespace, asker.name):
        return Whose.FOREIGN
    return Whose.MINE if marker.uid == asker.uid else Whose.PREDECESSOR


class Step(StrEnum):
    """What is to be done about a container that this object has not provisioned yet."""

    CREATE = "Create"
    ADOPT_CREATED = "AdoptCreated"
    """It is ours, and we made it: write our marker where it is not there, and record it as Created."""
    ADOPT_LOADED = "AdoptLoaded"
    """Take it as it is, and record it as Loaded. Nothing is written on it."""
    NOT_FOUND = "NotFound"
    ALREADY_EXISTS = "AlreadyExists"
    CONFLICT = "Conflict"
    LOAD_NOT_ALLOWED = "LoadNotAllowed"


@dataclass(frozen=True, slots=True)
class Found:
    """What was read about the container. ``empty`` is None where nobody looked, which counts as not empty."""

    state: ContainerState
    empty: bool | None = None


def may_claim(found: Found, intent: Intent | None) -> bool:
    """Whether the unknown outcome of an announced create is this container: seen absent before, unmarked, and empty."""
    if intent is None or intent.refused:
        return False
    return found.state.exists and found.state.marker is None and found.empty is True


def decide(
    provision: Provision, found: Found, *, asker: Marker, intent: Intent | None, predecessor_gone: bool, loadable: bool
) -> Step:
    """The one table of provision x existence x marker. ``intent`` is the one for exactly this identity, or None.

    ``loadable``: an unmarked container may be loaded here; what is marked for the asker always may.
    """
    if not found.state.exists:
        return Step.NOT_FOUND if provision is Provision.LOAD else Step.CREATE
    owner = whose(found.state.marker, asker)
    if owner is Whose.MINE or (owner is Whose.PREDECESSOR and predecessor_gone):
        made_by_us = found.state.marker is not None and bool(found.state.marker.nonce)
        return Step.ADOPT_CREATED if made_by_us and provision is not Provision.LOAD else Step.ADOPT_LOADED
    if owner is Whose.NOBODY and provision is not Provision.LOAD and may_claim(found, intent):
        return Step.ADOPT_CREATED
    if provision is Provision.CREATE:
        return Step.ALREADY_EXISTS
    if owner is not Whose.NOBODY:
        return Step.CONFLICT
    return Step.ADOPT_LOADED if loadable else Step.LOAD_NOT_ALLOWED


def recorded_identity(container: Snapshot) -> str | None:
    """What a StowContainer's status claims: a provisioned container, or one whose create was announced and not refused."""
    status = container_status(container.status)
    if status.provisioned is not None and status.backend_identity is not None:
        return status.backend_identity
    return status.intent.backend_identity if status.intent is not None and not status.intent.refused else None


def rival(
    mine: Snapshot, identity: str, *, others: Iterable[Snapshot], wants: Callable[[Snapshot], str | None]
) -> Snapshot | None:
    """The object that has the better claim to ``identity``, None where that is ``mine``.

    ``wants`` tells which identity an object that never provisioned asks for with good right: None where it is not eligible. An object
    that tried and was refused holds nobody up, or a tenant could keep names from others by asking for what it never gets.
    """
    i_recorded = recorded_identity(mine) == identity
    if i_recorded and _is_provisioned(mine):
        return None
    older: Snapshot | None = None
    for other in others:
        if other.uid == mine.uid:
            continue
        if recorded_identity(other) == identity and not _was_refused(other):
            if i_recorded and not _is_provisioned(other) and _age(mine) < _age(other):
                continue
            return other
        if not i_recorded and _may_come(other) and _age(other) < _age(mine) and wants(other) == identity:
            older = other if older is None or _age(other) < _age(older) else older
    return older


def _is_provisioned(container: Snapshot) -> bool:
    return container_status(container.status).provisioned is not None


def _was_refused(other: Snapshot) -> bool:
    """Whether the announced create of an object is known to have failed: a refusal, not silence."""
    status = container_status(other.status)
    if status.provisioned is not None or status.observed_generation != other.generation:
        return False
    ready = find_condition(status.conditions, ConditionType.READY)
    denied = ready is not None and ready.reason == Reason.DENIED
    return denied or is_true(status.conditions, ConditionType.STALLED)


def _may_come(other: Snapshot) -> bool:
    """Whether an object that never provisioned is on its way: not deleted, and not yet told why it cannot."""
    status = container_status(other.status)
    if other.deleting_since is not None or status.provisioned is not None:
        return False
    ready = find_condition(status.conditions, ConditionType.READY)
    seen = ready is not None and status.observed_generation == other.generation
    return not seen or (ready is not None and ready.reason == Reason.PROGRESSING)


def _age(container: Snapshot) -> tuple[float, str]:
    return container.created_at.timestamp(), container.uid


def owner_text(owner: Snapshot | Marker | None, *, namespace: str, installation: str) -> str:
    """How a message in ``namespace`` names an owner: by name within the same namespace only."""
    if isinstance(owner, Snapshot) and owner.ref.namespace == namespace:
        return f"in use by the StowContainer {owner.ref.name}"
    if isinstance(owner, Marker) and (owner.installation, owner.namespace) == (installation, namespace):
        location = owner.name.removeprefix(BASE_OWNER)
        if location != owner.name:
            return f"the base container of the StowLocation {location}"
        return f"in use by the StowContainer {owner.name}"
    return IN_USE_ELSEWHERE


def provisioned_as(step: Step) -> Provisioned:
    return Provisioned.LOADED if step is Step.ADOPT_LOADED else Provisioned.CREATED
