"""Read preconditions against a plain reading of RFC 9110 13.2.2."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stow.errors import NotModifiedError, PreconditionFailedError
from stow.storage import conditions
from stow.storage.model import ByteRange, ObjectMetadata, ReadConditions

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
EXACT = NOW.replace(microsecond=0)
FOUND = ObjectMetadata(exists=True, size_bytes=10, etag="tag", last_modified=NOW)
TAGS = st.sampled_from([(), ("tag",), ("W/tag",), ("other",), ("other", "tag"), ("*",)])
DATES = st.sampled_from([None, EXACT - timedelta(seconds=1), EXACT, EXACT + timedelta(seconds=1)])


def status(asked: ReadConditions, found: ObjectMetadata = FOUND) -> int:
    try:
        conditions.check(asked, found)
    except PreconditionFailedError:
        return 412
    except NotModifiedError as error:
        return 304 if (error.etag, error.last_modified) == ("tag", "Fri, 02 Jan 2026 03:04:05 GMT") else 0
    return 200


def by_the_book(asked: ReadConditions) -> int:
    """The four steps for a GET, written down again."""
    strong = {"tag", "*"} & set(asked.if_match)
    if asked.if_match and not strong:
        return 412
    if not asked.if_match and asked.if_unmodified_since is not None and asked.if_unmodified_since < EXACT:
        return 412
    weak = {"tag", "*", "W/tag"} & set(asked.if_none_match)
    if asked.if_none_match and weak:
        return 304
    if not asked.if_none_match and asked.if_modified_since is not None and asked.if_modified_since >= EXACT:
        return 304
    return 200


@given(TAGS, TAGS, DATES, DATES)
def test_every_combination_is_decided_by_the_book(
    if_match: tuple[str, ...], if_none_match: tuple[str, ...], since: datetime | None, until: datetime | None
) -> None:
    asked = ReadConditions(if_match, if_none_match, since, until)
    assert status(asked) == by_the_book(asked)


def test_an_unknown_date_counts_as_changed() -> None:
    found = ObjectMetadata(exists=True, etag="tag")
    assert status(ReadConditions(if_modified_since=EXACT), found) == 200
    assert status(ReadConditions(if_unmodified_since=EXACT), found) == 412
    assert not conditions.range_applies(ReadConditions(if_range=EXACT), found)


@pytest.mark.parametrize(
    ("validator", "applies"),
    [
        (None, True),
        ("tag", True),
        ("W/tag", False),
        ("other", False),
        ("*", False),
        (EXACT, True),
        (EXACT - timedelta(seconds=1), False),
        (EXACT + timedelta(seconds=1), False),
    ],
)
def test_if_range_is_strong_and_exact(validator: str | datetime | None, applies: bool) -> None:
    assert conditions.range_applies(ReadConditions(if_range=validator), FOUND) is applies


@pytest.mark.parametrize(
    ("asked", "anything"),
    [
        (ReadConditions(), False),
        (ReadConditions(if_match=("a",)), True),
        (ReadConditions(if_none_match=("a",)), True),
        (ReadConditions(if_modified_since=NOW), True),
        (ReadConditions(if_unmodified_since=NOW), True),
        (ReadConditions(if_range="a"), True),
    ],
)
def test_conditions_are_true_when_anything_is_asked(asked: ReadConditions, anything: bool) -> None:
    assert bool(asked) is anything


RANGES = st.one_of(
    st.builds(lambda n: ByteRange(suffix=n), st.integers(0, 12)),
    st.builds(ByteRange, st.integers(0, 12), st.one_of(st.none(), st.integers(1, 14))),
)


@given(RANGES, st.integers(0, 10))
def test_a_range_is_the_bytes_that_a_slice_gives(byte_range: ByteRange, size: int) -> None:
    data = bytes(range(size))
    if byte_range.suffix is not None:
        wanted = data[-byte_range.suffix :] if byte_range.suffix else b""
    else:
        wanted = data[byte_range.start : byte_range.end]
    span = byte_range.resolve(size)
    assert (span is None) == (wanted == b"")
    if span is not None:
        assert data[slice(*span)] == wanted
        assert 0 <= span[0] < span[1] <= size


@pytest.mark.parametrize(
    ("byte_range", "header"),
    [
        (ByteRange(), "bytes=0-"),
        (ByteRange(5), "bytes=5-"),
        (ByteRange(0, 1), "bytes=0-0"),
        (ByteRange(suffix=7), "bytes=-7"),
    ],
)
def test_a_range_as_a_header(byte_range: ByteRange, header: str) -> None:
    assert byte_range.header() == header
