"""What a reconcile ends with. Few kinds, and nothing else: handlers turn them into conditions and a due time in one place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from stow.api.conditions import Wanted
from stow.api.reasons import Reason
from stow.api.status import ContainerStatus, LocationStatus
from stow.reconcile.objects import Snapshot


@dataclass(frozen=True, slots=True)
class Ready:
    """All is as the spec says. ``after``: when to look again (a probe), None: only when something changes."""

    reason: Reason
    message: str
    after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not yet, and it may become right by itself: looked at again after ``after``, or after the scheduler's growing backoff."""

    reason: Reason
    message: str
    after: timedelta | None = None
    """None: the scheduler's backoff."""
    silent: bool = False
    """It is about to change by itself: the status stays as it is, which saves a write."""


@dataclass(frozen=True, slots=True)
class Stalled:
    """Somebody has to change something. Looked at again only when something changes, or - slowly - after ``after``."""

    reason: Reason
    message: str
    after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Suspended:
    """``spec.suspend``: the last state stands, and nothing is looked at until it changes."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The object is deleted, or its finalizer has been dropped: nothing to publish, nothing to schedule."""


Outcome = Ready | Waiting | Stalled | Suspended | Gone


@dataclass(frozen=True, slots=True)
class Result:
    """An outcome and what was seen on the way.

    ``status`` holds the facts; its conditions and observedGeneration are what they were before. ``conditions`` are those beside
    Ready, Reconciling and Stalled, which follow from the outcome.
    """

    outcome: Outcome
    status: LocationStatus | ContainerStatus
    conditions: tuple[Wanted, ...] = ()


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A result for the object as it is after the writes of the reconcile itself."""

    snapshot: Snapshot
    result: Result
