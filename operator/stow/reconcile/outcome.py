"""What a reconcile ends with. Three kinds, and nothing else: handlers turn them into conditions and a due time in one place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Ready:
    """All is as the spec says. ``after``: when to look again (a probe), None: only when something changes."""

    reason: str
    message: str
    after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not yet, and it may become right by itself: looked at again after ``after``, which grows with ``attempt`` elsewhere."""

    reason: str
    message: str
    after: timedelta | None = None
    """None: the scheduler's backoff."""


@dataclass(frozen=True, slots=True)
class Stalled:
    """Somebody has to change something. Looked at again only when something changes, or - slowly - after ``after``."""

    reason: str
    message: str
    after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """The object is deleted, or its finalizer has been dropped: nothing to publish, nothing to schedule."""


Outcome = Ready | Waiting | Stalled | Gone
