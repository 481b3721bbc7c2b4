"""One pass over one object, whatever its kind: take the snapshot, reconcile, publish, and survive what goes wrong.

No failure of one object gets out of here: a refused or lost API call is tried again, an unexpected exception is logged once with its
place in the code and shows in status as a fixed reason, neither with its text.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from stow.api.meta import LOCATION_KINDS, STOW_CONTAINER
from stow.api.reasons import Reason
from stow.api.status import ContainerStatus, LocationStatus, container_status, location_status
from stow.errors import ControlPlaneError, place_of
from stow.handlers.metrics import ReconcileMetrics
from stow.kube.rest import CONFLICT, NOT_FOUND
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.outcome import Gone, Outcome, Reconciled, Result, Waiting
from stow.reconcile.ports import Objects, Publisher, Reader

CONFLICT_AFTER: Final = timedelta(milliseconds=500)
"""Until the watch brings what changed meanwhile."""
QUICK_CONFLICTS: Final = 4
"""In a row; beyond it the watch is late, and the backoff spares the API server."""
_INTERNAL: Final = "The operator met an error of its own; its log says more. It tries again."

_log = logging.getLogger(__name__)


class Reconciler(Protocol):
    """Of one kind."""

    async def reconcile(self, snapshot: Snapshot) -> Reconciled: ...


class LocationForgetter(Reconciler, Protocol):
    """Of the location kinds: told when one is gone."""

    async def forget(self, ref: ObjectRef) -> None: ...


@dataclass(frozen=True, slots=True)
class ControllerParts:
    """What a pass needs. ``gone`` takes an object out of the memory that the API server says is gone."""

    objects: Objects
    reader: Reader
    containers: Reconciler
    locations: LocationForgetter
    publisher: Publisher
    metrics: ReconcileMetrics
    gone: Callable[[ObjectRef, str], None]
    deadline_s: float = 120.0


class Controller:
    """Gives the scheduler its passes."""

    def __init__(self, parts: ControllerParts) -> None:
        self._parts = parts
        self._logged: dict[ObjectRef, str] = {}
        self._conflicts: dict[ObjectRef, int] = {}

    async def reconcile(self, ref: ObjectRef) -> Outcome:
        """One pass. Raises nothing but CancelledError."""
        with self._parts.metrics.reconciling(ref.kind) as timer:
            outcome = await self._survive(ref)
            timer.outcome = type(outcome).__name__
        if isinstance(outcome, Gone):
            self._logged.pop(ref, None)
            self._conflicts.pop(ref, None)
        return outcome

    async def _survive(self, ref: ObjectRef) -> Outcome:
        try:
            async with asyncio.timeout(self._parts.deadline_s):
                outcome = await self._pass(ref)
        except ControlPlaneError as error:
            return await self._refused(ref, error)
        except TimeoutError as error:
            return await self._broken(
                ref, error, f"A pass took longer than {self._parts.deadline_s:g} s. It is tried again."
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the other objects
            return await self._broken(ref, error, _INTERNAL)
        self._logged.pop(ref, None)
        self._conflicts.pop(ref, None)
        return outcome

    async def _pass(self, ref: ObjectRef) -> Outcome:
        snapshot = self._parts.objects.get(ref)
        if snapshot is None:
            if ref.kind in LOCATION_KINDS:
                await self._parts.locations.forget(ref)
            return Gone()
        reconciler: Reconciler = self._parts.containers if ref.kind == STOW_CONTAINER.kind else self._parts.locations
        done = await reconciler.reconcile(snapshot)
        await self._parts.publisher.publish(done.snapshot, done.result)
        return done.result.outcome

    async def _refused(self, ref: ObjectRef, error: ControlPlaneError) -> Outcome:
        """Nothing can be published: the object has changed, is gone, or the API server is away. Tried again."""
        if error.status == NOT_FOUND:
            await self._check_gone(ref)
        if error.status == CONFLICT:
            self._conflicts[ref] = self._conflicts.get(ref, 0) + 1
            quick = self._conflicts[ref] <= QUICK_CONFLICTS
            return Waiting(Reason.PROGRESSING, error.message, CONFLICT_AFTER if quick else None)
        self._log_once(ref, error, logging.WARNING)
        return Waiting(Reason.PROGRESSING, error.message)

    async def _check_gone(self, ref: ObjectRef) -> None:
        known = self._parts.objects.get(ref)
        try:
            living = await self._parts.reader.read(ref)
        except ControlPlaneError:
            return
        if known is not None and (living is None or living.uid != known.uid):
            self._parts.gone(ref, known.uid)

    async def _broken(self, ref: ObjectRef, error: Exception, message: str) -> Outcome:
        self._log_once(ref, error, logging.ERROR)
        outcome = Waiting(Reason.INTERNAL_ERROR, message)
        snapshot = self._parts.objects.get(ref)
        if snapshot is None:
            return outcome
        try:
            async with asyncio.timeout(self._parts.deadline_s):
                await self._parts.publisher.publish(snapshot, Result(outcome, _facts(snapshot)))
        except Exception as failure:  # noqa: BLE001 - the log has the first error, and the next pass tries again
            _log.debug("The status of %s could not be published: %s", ref, type(failure).__name__)
        return outcome

    def _log_once(self, ref: ObjectRef, error: Exception, level: int) -> None:
        """A series of the same failure of one object is one line."""
        what = f"{type(error).__name__}:{getattr(error, 'status', None)}"
        if self._logged.get(ref) == what:
            return
        self._logged[ref] = what
        if isinstance(error, ControlPlaneError):
            _log.log(level, "A pass over %s waits: %s", ref, error.message)
        else:
            _log.log(level, "A pass over %s failed: %s", ref, place_of(error))


def _facts(snapshot: Snapshot) -> ContainerStatus | LocationStatus:
    """What status said before stays."""
    is_container = snapshot.ref.kind == STOW_CONTAINER.kind
    return container_status(snapshot.status) if is_container else location_status(snapshot.status)
