"""Durations as Kubernetes users write them: `15m`, `1h30m`, `500ms`.

One to four whole numbers with the units h, m, s and ms, added up; no sign, no fraction. Every accepted text is also a Go
duration below its limit of 292 years, so that CEL's `duration()` in the schema and this module never disagree.
"""

import re
from datetime import timedelta
from typing import Final

from stow.api.fields import Fields

PATTERN: Final = r"([0-9]{1,5}h|[0-9]{1,7}m|[0-9]{1,9}s|[0-9]{1,9}ms){1,4}"
MAX_LENGTH: Final = 32

MAX_DURATION: Final = timedelta(hours=87_600)
"""Ten years: far above every sensible setting."""

_WHOLE: Final = re.compile(PATTERN, re.ASCII)
_PART: Final = re.compile(r"([0-9]+)(h|ms|m|s)", re.ASCII)
_UNIT_MS: Final = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def parse_duration(text: str) -> timedelta:
    """The duration that `text` names, in [0, MAX_DURATION]. Raises: ValueError."""
    if len(text) > MAX_LENGTH or _WHOLE.fullmatch(text) is None:
        raise ValueError("must be a duration such as 15m or 1h30m")
    total_ms = sum(int(count) * _UNIT_MS[unit] for count, unit in _PART.findall(text))
    duration = timedelta(milliseconds=total_ms)
    if duration > MAX_DURATION:
        raise ValueError("must be at most 87600h")
    return duration


def format_duration(duration: timedelta) -> str:
    """The shortest text that `parse_duration` reads back, to the millisecond. Raises: ValueError when negative."""
    if duration < timedelta(0):
        raise ValueError("a negative duration has no text")
    rest_ms = duration // timedelta(milliseconds=1)
    parts = []
    for unit, unit_ms in _UNIT_MS.items():
        count, rest_ms = divmod(rest_ms, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def duration_field(
    fields: Fields, key: str, *, default: timedelta, minimum: timedelta, maximum: timedelta = MAX_DURATION
) -> timedelta:
    """The duration in one field, in [minimum, maximum]. Raises: InvalidSpecError."""
    text = fields.optional_text(key, max_length=MAX_LENGTH)
    if text is None:
        return default
    try:
        duration = parse_duration(text)
    except ValueError as exc:
        raise fields.error(key, str(exc)) from exc
    if duration < minimum:
        raise fields.error(key, f"must be at least {format_duration(minimum)}")
    if duration > maximum:
        raise fields.error(key, f"must be at most {format_duration(maximum)}")
    return duration
