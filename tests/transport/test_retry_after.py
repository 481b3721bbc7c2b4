"""``Retry-After`` in both its forms, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

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
    ],
)
def test_seconds_and_dates_are_read_and_nonsense_is_ignored(text: str, expected: float | None) -> None:
    assert retry_after_s(text, now=NOW) == expected
