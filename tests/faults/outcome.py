"""What a fault is to come to: the error, the attempts, and what the object is afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from stow.errors import StowError


class State(StrEnum):
    """Of the object (or container) that the operation would change, seen at the server past the proxy."""

    OLD = "as it was before, or still absent"
    NEW = "all of what was asked for"
    GONE = "absent: what had been damaged on its way was taken out again"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``attempts``: how often the hurt request came (connects, where none can come). ``looks``: HEADs that ask what became of a write."""

    error: type[StowError] | None
    attempts: int
    looks: int = 0
    state: State = State.OLD
    waits_s: float = 0.0
    """At least so long between the first attempt and the second one."""
    within_s: float | None = None
    """The answer is there by then."""


def fails(error: type[StowError], attempts: int, *, looks: int = 0, state: State = State.OLD) -> Outcome:
    return Outcome(error, attempts, looks, state)


def succeeds(attempts: int, *, looks: int = 0, waits_s: float = 0.0) -> Outcome:
    return Outcome(None, attempts, looks, State.NEW, waits_s)
