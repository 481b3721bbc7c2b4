"""What may be done with a container whose StowContainer is being deleted. Pure checks; the reconciler does the I/O between them.

Nothing is deleted but an empty container that carries exactly this object's marker, at the backend where it was provisioned. Whatever
cannot be made sure blocks the deletion and says so; the way out is the abandon annotation.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from stow.api.container import DeletionPolicy, container_spec
from stow.api.status import ContainerStatus, Provisioned
from stow.errors import InvalidSpecError
from stow.reconcile.objects import Snapshot
from stow.reconcile.ownership import Whose, whose
from stow.storage.model import ContainerContents, ContainerState, Marker


class Fate(StrEnum):
    """What becomes of the container."""

    NOTHING_MADE = "NothingMade"
    """Nothing was ever made or taken for this object."""
    RETAIN = "Retain"
    DELETE_IF_EMPTY = "DeleteIfEmpty"


class Safety(StrEnum):
    """Whether the container may be deleted, by what was read in this reconcile."""

    ABSENT = "Absent"
    OURS = "Ours"
    NOT_OURS = "NotOurs"
    """Another owner's marker, or none: it may have been made anew by somebody else."""


def fate_of(container: Snapshot, status: ContainerStatus) -> Fate:
    """By policy and by how the container came. A spec that cannot be read retains: it does not ask for a deletion."""
    if status.provisioned is None and status.intent is None:
        return Fate.NOTHING_MADE
    if status.provisioned is Provisioned.LOADED:
        return Fate.RETAIN
    try:
        policy = container_spec(container.spec).deletion_policy
    except InvalidSpecError:
        return Fate.RETAIN
    return Fate.DELETE_IF_EMPTY if policy is DeletionPolicy.DELETE_IF_EMPTY else Fate.RETAIN


def safety_of(state: ContainerState, mine: Marker, status: ContainerStatus) -> Safety:
    """``mine``: this object's marker, whatever its nonce.

    Before the container was recorded as Created only the marker that the announced create sets counts: its nonce is the intent's.
    """
    if not state.exists:
        return Safety.ABSENT
    if whose(state.marker, mine) is not Whose.MINE:
        return Safety.NOT_OURS
    announced = status.intent.nonce if status.intent is not None and status.provisioned is None else None
    if announced is not None and state.marker is not None and state.marker.nonce != announced:
        return Safety.NOT_OURS
    return Safety.OURS


def grace_left(deleting_since: datetime | None, now: datetime, grace: timedelta) -> timedelta:
    """How long a DeleteIfEmpty in a terminating namespace still waits before it falls back to Retain; zero when it does."""
    begun = deleting_since or now
    return max(timedelta(0), begun + grace - now)


def contents_text(contents: ContainerContents) -> str:
    """The counts for a message, ``at least`` where there may be more."""
    parts = [
        f"{count} {name if count != 1 else name.removesuffix('s')}"
        for count, name in (
            (contents.objects, "objects"),
            (contents.versions, "old versions"),
            (contents.uploads, "open uploads"),
        )
        if count
    ]
    text = ", ".join(parts) or "something"
    return f"at least {text}" if contents.truncated else text
