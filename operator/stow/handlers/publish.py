"""The one place that turns a result into conditions and status.

What follows from the outcome: Ready, Reconciling, Stalled. What the reconcile saw beside it comes with the result. A status that is
already so is not written, and an Event goes out only when the reason of Ready changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stow.api.conditions import (
    Condition,
    Wanted,
    conditions_from_status,
    find_condition,
    merge_conditions,
    suspended_ready,
)
from stow.api.reasons import REASONS, ConditionType, Reason
from stow.reconcile.objects import Snapshot
from stow.reconcile.outcome import Gone, Outcome, Ready, Result, Stalled, Suspended, Waiting
from stow.reconcile.ports import Events, Writer
from stow.storage.clock import Clock


class StatusPublisher:
    """Implements :class:`stow.reconcile.ports.Publisher`."""

    def __init__(self, writer: Writer, events: Events, *, clock: Clock) -> None:
        self._writer = writer
        self._events = events
        self._clock = clock

    async def publish(self, snapshot: Snapshot, result: Result) -> Snapshot:
        """Raises ControlPlaneError where the write failed."""
        if isinstance(result.outcome, Gone) or _may_wait(result):
            return snapshot
        status = compose(snapshot, result, self._clock)
        if status == snapshot.status:
            return snapshot
        written = await self._writer.publish_status(snapshot, status)
        await self._tell(snapshot, written)
        return written

    async def _tell(self, before: Snapshot, after: Snapshot) -> None:
        old, new = _ready(before.status), _ready(after.status)
        if new is None or new.reason == Reason.PROGRESSING or (old is not None and old.reason == new.reason):
            return
        warning = new.status != "True" and new.reason not in {Reason.SUSPENDED, Reason.DELETING}
        await self._events.emit(after, reason=new.reason, message=_event_text(after, new), warning=warning)


def compose(snapshot: Snapshot, result: Result, clock: Clock) -> dict[str, Any]:
    """The whole status, as the API server is to store it."""
    wanted = (*_from_outcome(result.outcome, result, deleting=snapshot.deleting_since is not None), *result.conditions)
    wanted = tuple(_as_told_before(each, result, snapshot.generation) for each in wanted)
    conditions = merge_conditions(result.status.conditions, wanted, generation=snapshot.generation, now=clock())
    return replace(result.status, conditions=conditions, observed_generation=snapshot.generation).to_dict()


def _from_outcome(outcome: Outcome, result: Result, *, deleting: bool) -> tuple[Wanted, ...]:
    match outcome:
        case Ready(reason=reason, message=message):
            return (Wanted(ConditionType.READY, "True", reason, message),)
        case Waiting(reason=reason, message=message):
            working = reason if ConditionType.RECONCILING in REASONS[reason].conditions else _at_work(deleting=deleting)
            return (
                Wanted(ConditionType.READY, "False", reason, message),
                Wanted(ConditionType.RECONCILING, "True", working, message),
            )
        case Stalled(reason=reason, message=message):
            return (
                Wanted(ConditionType.READY, "False", reason, message),
                Wanted(ConditionType.STALLED, "True", reason, message),
            )
        case Suspended():
            return (suspended_ready(result.status.conditions),)
        case Gone():
            return ()


_WAVERING = frozenset({Reason.UNREACHABLE, Reason.THROTTLED, Reason.BACKEND_ERROR})
"""Reasons whose words change from try to try (refused, then silent, then 502), while what they say does not."""


def _as_told_before(claim: Wanted, result: Result, generation: int) -> Wanted:
    """The claim in the words that stand already, so that a backend which fails in turns costs no write a turn."""
    if claim.reason not in _WAVERING:
        return claim
    told = find_condition(result.status.conditions, claim.type)
    same = told is not None and (told.status, told.reason) == (claim.status, claim.reason)
    return (
        replace(claim, message=told.message)
        if told is not None and same and told.observed_generation == generation
        else claim
    )


def _event_text(snapshot: Snapshot, ready: Condition) -> str:
    """The condition's message; of a cluster-scoped object only what the reason means.

    Its status may name other namespaces, and its Events stand in the namespace ``default``, whose readers may not know them.
    """
    if snapshot.ref.namespace is not None:
        return ready.message
    known = next((each for each in Reason if each == ready.reason), Reason.PROGRESSING)
    return f"{REASONS[known].description} Its status says more."


def _may_wait(result: Result) -> bool:
    """Whether what status says may stand a little longer."""
    return isinstance(result.outcome, Waiting) and result.outcome.silent


def _at_work(*, deleting: bool) -> Reason:
    return Reason.DELETING if deleting else Reason.PROGRESSING


def _ready(status: Mapping[str, Any]) -> Condition | None:
    return find_condition(conditions_from_status(status.get("conditions")), ConditionType.READY)
