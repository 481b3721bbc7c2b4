"""``Retry-After`` in both its forms and dates of objects, and nothing else."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from stow.transport.headers import http_date
from stow.transport.wire import retry_after_s

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 12:00:30 -0000", None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("\u0661", None),
        ("9" * 400, math.inf),
        ("Mon, 23 Nov 99999999999999999999 12:00:30 GMT", None),
        ("Mon, 23 Nov 2026 99999999999999999999:00:30 GMT", None),
    ],
)
def test_seconds_and_dates_are_read_and_nonsense_is_ignored(text: str, expected: float | None) -> None:
    assert retry_after_s(text, now=NOW) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mon, 23 Nov 2026 12:00:00 GMT", NOW),
        ("Mon, 23 Nov 2026 13:00:00 +0100", NOW),
        ("", None),
        ("yesterday", None),
        ("Fri, 31 Dec 9999 23:59:59 -1200", None),
        ("Mon, 23 Nov 99999999999999999999 12:00:30 GMT", None),
    ],
)
def test_a_date_that_no_calendar_has_is_none(text: str, expected: datetime | None) -> None:
    assert http_date(text) == expected
