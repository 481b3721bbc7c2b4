"""What may stand beside an object's bytes."""

from __future__ import annotations

import pytest

from stow.errors import InvalidMetadataError
from stow.storage.attributes import MAX_HEADER_CHARS, check_attributes
from stow.storage.model import ObjectAttributes

HEADERS = ("content_type", "content_encoding", "content_language", "content_disposition", "cache_control")


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "\0", "\x7f", "ä", "\ud800", "a\tb", "x" * (MAX_HEADER_CHARS + 1)])
def test_a_value_that_would_break_an_answer_is_refused(header: str, value: str) -> None:
    with pytest.raises(InvalidMetadataError) as raised:
        check_attributes(ObjectAttributes(**{header: value}))
    assert header.replace("_", "-").title() in str(raised.value)
    assert value not in str(raised.value)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("value", [None, "", "text/plain; charset=utf-8", "x" * MAX_HEADER_CHARS])
def test_printable_ascii_is_taken(header: str, value: str | None) -> None:
    check_attributes(ObjectAttributes(**{header: value}))


def test_metadata_is_looked_at_too() -> None:
    with pytest.raises(InvalidMetadataError):
        check_attributes(ObjectAttributes(metadata={"Upper": "x"}))


@pytest.mark.parametrize(
    ("limit_bytes", "overhead_bytes", "fits"), [(2048, 0, 2047), (2048, 11, 2036), (100, 11, 88), (4096, 0, 2047)]
)
def test_the_backends_limit_and_overhead_count_within_ours(limit_bytes: int, overhead_bytes: int, fits: int) -> None:
    def check(value: str) -> None:
        found = ObjectAttributes(metadata={"n": value})
        check_attributes(found, metadata_bytes=limit_bytes, overhead_bytes=overhead_bytes)

    check("x" * fits)
    with pytest.raises(InvalidMetadataError, match=f"{min(limit_bytes, 2048)} are allowed"):
        check("x" * (fits + 1))
