"""Named places at which a process may be killed, so that a test can show that nothing is lost there.

Whoever has one takes a :data:`Crash` and calls it with the name; production passes :func:`no_crash`. The test suite enumerates
:class:`CrashPoint` and fails when one of them is never visited.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class CrashPoint(StrEnum):
    """Each name says what has just been done; what follows it has not."""

    FINALIZER_ADDED = "finalizer-added"
    INTENT_WRITTEN = "intent-written"
    CONTAINER_CREATED = "container-created"
    MARKER_WRITTEN = "marker-written"
    CONTAINER_DELETED = "container-deleted"
    LOCATION_PROBED = "location-probed"
    KEYS_GENERATED = "keys-generated"
    UPLOAD_OPENED = "upload-opened"
    """The driver has taken the first chunk of a body that has more."""
    UPLOAD_RECEIVED = "upload-received"
    """The driver has taken the last chunk, and the object is not published."""
    LOAD_RECORDED = "load-recorded"


Crash = Callable[[CrashPoint], None]


def no_crash(_: CrashPoint) -> None:
    """What production passes."""
