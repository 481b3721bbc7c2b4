"""Durations are read and written as Kubernetes users know them."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stow.api.durations import MAX_DURATION, duration_field, format_duration, parse_duration
from stow.api.fields import Fields
from stow.errors import InvalidSpecError

STEADY = settings(deadline=None, derandomize=True, database=None)

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("10s", 10),
        ("15m", 900),
        ("1h30m", 5400),
        ("30m1h", 5400),
        ("500ms", 0.5),
        ("1h1m1s1ms", 3661.001),
        ("604800s", 604800),
        ("007s", 7),
        ("87600h", 87600 * 3600),
    ],
)
def test_a_duration_is_the_sum_of_its_parts(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text",
    [
        "", "5", "m", "1.5h", "-5m", "+5m", "5 m", " 5m", "5m\n", "5M", "1d", "1us", "1s1s1s1s1s", "\u0665m",
        "99999999h", "87600h1ms", "9" * 40 + "s", "5m;", "0x5m",
    ],
)  # fmt: skip
def test_everything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_duration(text)


@STEADY
@given(st.timedeltas(min_value=timedelta(0), max_value=MAX_DURATION))
def test_what_is_written_is_read_back_to_the_millisecond(duration: timedelta) -> None:
    whole = duration - duration % timedelta(milliseconds=1)

    assert parse_duration(format_duration(duration)) == whole


@pytest.mark.parametrize(
    ("duration", "text"),
    [(timedelta(0), "0s"), (timedelta(minutes=90), "1h30m"), (timedelta(days=7), "168h"), (SECOND / 2, "500ms")],
)
def test_the_shortest_text_is_written(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


def test_a_negative_duration_has_no_text() -> None:
    with pytest.raises(ValueError, match="negative"):
        format_duration(-SECOND)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("9s", "spec.ttl: must be at least 10s"),
        ("61s", "spec.ttl: must be at most 1m"),
        ("soon", "spec.ttl: must be a duration such as 15m or 1h30m"),
        (30, "spec.ttl: must be a string that is not empty"),
        ("9" * 33, "spec.ttl: must have at most 32 characters"),
    ],
)
def test_a_field_names_its_path_and_bound(value: object, problem: str) -> None:
    fields = Fields.of({"ttl": value}, "spec")

    with pytest.raises(InvalidSpecError) as caught:
        duration_field(fields, "ttl", default=SECOND, minimum=10 * SECOND, maximum=60 * SECOND)

    assert caught.value.message == problem


def test_an_absent_field_has_the_default() -> None:
    assert duration_field(Fields.of({}, "spec"), "ttl", default=SECOND, minimum=10 * SECOND) == SECOND
