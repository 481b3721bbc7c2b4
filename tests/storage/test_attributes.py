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
