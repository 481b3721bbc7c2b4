"""Conditions that kstatus, `kubectl wait`, Flux and Argo CD understand.

The invariant of `merge_conditions`: `Ready` is always there; Reconciling, Stalled, Conflict and DeletionBlocked stand only
while they are true; Reconciling and Stalled never stand together; `lastTransitionTime` moves only with the status. So a
merge that changes nothing yields what was there, and nothing needs to be written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from stow.api.fields import Fields
from stow.api.reasons import ABNORMAL_CONDITIONS, ConditionType, Reason
from stow.errors import InvalidSpecError

Status = Literal["True", "False", "Unknown"]

MAX_MESSAGE_LENGTH: Final = 1024
"""The schema takes 32768 as Kubernetes does; what a person reads in `kubectl describe` is shorter."""

_ORDER: Final = {each: at for at, each in enumerate(ConditionType)}
_MAX_ITEMS: Final = 16
_STATUSES: Final[dict[str, Status]] = {"True": "True", "False": "False", "Unknown": "Unknown"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one condition shall say; the merge adds generation and time."""

    type: ConditionType
    status: Status
    reason: Reason
    message: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry of `status.conditions`."""

    type: str
    status: Status
    reason: str
    message: str
    observed_generation: int
    last_transition_time: datetime

    def to_dict(self) -> dict[str, object]:
        """The entry as the API server stores it."""
        return {
            "type": str(self.type),
            "status": self.status,
            "reason": str(self.reason),
            "message": self.message,
            "observedGeneration": self.observed_generation,
            "lastTransitionTime": format_time(self.last_transition_time),
        }


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC, to the second, as Kubernetes writes times. Raises: ValueError for a naive time."""
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: object) -> datetime | None:
    """The aware time in UTC that `text` names, None where it names none."""
    if not isinstance(text, str) or len(text) > 64:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def conditions_from_status(raw: object) -> tuple[Condition, ...]:
    """The readable entries of a `status.conditions` list, in their order; what cannot be read is left out.

    Only the operator writes status, so an unreadable entry is damage that the next merge repairs, not an error.
    """
    if not isinstance(raw, list):
        return ()
    found: dict[str, Condition] = {}
    for entry in raw[:_MAX_ITEMS]:
        condition = _condition(entry)
        if condition is not None:
            found.setdefault(condition.type, condition)
    return tuple(found.values())


def _condition(entry: object) -> Condition | None:
    try:
        fields = Fields.of(entry, "condition")
        moment = parse_time(fields.values.get("lastTransitionTime"))
        if moment is None:
            return None
        status = fields.one_of("status", tuple(_STATUSES))
        message = fields.values.get("message")
        return Condition(
            type=fields.text("type", max_length=316),
            status=_STATUSES[status],
            reason=fields.text("reason", max_length=1024),
            message=message if isinstance(message, str) else "",
            observed_generation=fields.optional_count("observedGeneration") or 0,
            last_transition_time=moment,
        )
    except InvalidSpecError:
        return None


def find_condition(conditions: Iterable[Condition], type_: ConditionType) -> Condition | None:
    """The condition of that type, None where there is none."""
    return next((each for each in conditions if each.type == type_), None)


def is_true(conditions: Iterable[Condition], type_: ConditionType) -> bool:
    """Whether the condition is there and true."""
    found = find_condition(conditions, type_)
    return found is not None and found.status == "True"


def merge_conditions(
    current: Sequence[Condition], wanted: Sequence[Wanted], *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The conditions after one reconcile, in the order of `ConditionType`.

    A wanted condition replaces the current one of its type. CredentialsValid and Reachable stay as they are, with the
    generation that they were seen for, where they are not wanted; abnormal ones go, and so does any unknown type. Where
    both are wanted, Stalled wins over Reconciling: what waits for a person is not in progress. Without a wanted Ready
    the current one stays, and without either it is Unknown, reason Progressing.
    """
    previous = {each.type: each for each in current}
    merged = {
        type_: previous[type_] for type_ in ConditionType if type_ in previous and type_ not in ABNORMAL_CONDITIONS
    }
    claims = {each.type: each for each in wanted}
    if ConditionType.READY not in claims and ConditionType.READY not in merged:
        claims[ConditionType.READY] = Wanted(ConditionType.READY, "Unknown", Reason.PROGRESSING, "not yet looked at")
    if _stands(claims.get(ConditionType.STALLED)):
        claims.pop(ConditionType.RECONCILING, None)
    for type_, claim in claims.items():
        if type_ in ABNORMAL_CONDITIONS and not _stands(claim):
            continue
        before = previous.get(type_)
        moved = before is None or before.status != claim.status
        merged[type_] = Condition(
            type=type_.value,
            status=claim.status,
            reason=claim.reason.value,
            message=_message(claim.message),
            observed_generation=generation,
            last_transition_time=now.replace(microsecond=0) if before is None or moved else before.last_transition_time,
        )
    return tuple(merged[type_] for type_ in sorted(merged, key=_ORDER.__getitem__))


def suspended_ready(current: Sequence[Condition]) -> Wanted:
    """`Ready` while `spec.suspend` is true: the last status with the reason Suspended, Unknown where there was none."""
    last = find_condition(current, ConditionType.READY)
    status: Status = "Unknown" if last is None else last.status
    return Wanted(ConditionType.READY, status, Reason.SUSPENDED, "suspended by spec.suspend; the last state stands")


def _stands(claim: Wanted | None) -> bool:
    return claim is not None and claim.status == "True"


def _message(text: str) -> str:
    """One printable line of at most MAX_MESSAGE_LENGTH characters."""
    line = "".join(each if each.isprintable() else " " for each in text)
    return line if len(line) <= MAX_MESSAGE_LENGTH else line[: MAX_MESSAGE_LENGTH - 3] + "..."
