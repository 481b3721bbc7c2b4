"""Attributes and metadata as Swift's headers: within its limits, and back exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from drivers.swift.setup import DATE
from stow.drivers.swift.headers import (
    DEFAULT_TYPE,
    MAX_ENTRIES,
    MAX_OVERALL_BYTES,
    MAX_VALUE_BYTES,
    META_PREFIX,
    PACKED,
    attribute_headers,
    etag_of_version,
    nonce_of,
    object_metadata,
    typed,
)
from stow.errors import BackendFailedError, InvalidMetadataError
from stow.storage.model import ObjectAttributes
from stow.storage.names import check_metadata

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=64).filter(
    lambda name: name != "stow-nonce" and not name.startswith(PACKED)
)
VALUES = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=700)
MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def answered(headers: dict[str, str], **more: str) -> CIMultiDict[str]:
    """As Swift gives headers back: names in title case, spaces at the ends of values gone."""
    found = {name.title(): value.strip() for name, value in headers.items()}
    return CIMultiDict({**found, "Etag": MD5, "Last-Modified": DATE, "Content-Length": "0", **more})


def entries(headers: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix(META_PREFIX): v for name, v in headers.items() if name.startswith(META_PREFIX)}


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_metadata_comes_back_exactly_and_within_the_limits(metadata: dict[str, str]) -> None:
    try:
        check_metadata(metadata)
    except InvalidMetadataError:
        return
    headers = attribute_headers(ObjectAttributes(metadata=metadata), "n" * 24)
    sent = entries(headers)
    assert all(0 < len(value) <= MAX_VALUE_BYTES for value in sent.values())
    assert len(sent) <= MAX_ENTRIES
    assert sum(len(name) + len(value) for name, value in sent.items()) <= MAX_OVERALL_BYTES
    assert object_metadata(answered(headers)).attributes.metadata == metadata


@pytest.mark.parametrize(
    "metadata",
    [
        {"empty": ""},
        {"long": "x" * 2000},
        {"spaces": " " * 600},
        {"a": "=%;b=c", "l": "%;" * 300},
        {f"n{n}": "v" for n in range(200)},
        {"umlaut": "ü" * 330},
    ],
)
def test_what_swift_does_not_take_as_it_is_goes_packed(metadata: dict[str, str]) -> None:
    headers = attribute_headers(ObjectAttributes(metadata=metadata), "nonce")
    assert any(name.startswith(PACKED) for name in entries(headers))
    assert nonce_of(answered(headers)) == "nonce"
    assert object_metadata(answered(headers)).attributes.metadata == metadata


def test_what_fits_goes_as_it_is() -> None:
    headers = attribute_headers(ObjectAttributes(metadata={"colour": "blue 50%", "n": "1"}), "nonce")
    assert entries(headers) == {"colour": "blue 50%25", "n": "1", "stow-nonce": "nonce"}


def test_more_entries_than_swift_can_hold_are_refused() -> None:
    with pytest.raises(InvalidMetadataError, match="more entries"):
        attribute_headers(ObjectAttributes(metadata={f"{n:x}": "" for n in range(900)}), None)


@pytest.mark.parametrize("name", ["stow-nonce", "stow-packed-00", "stow-packed-"])
def test_reserved_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidMetadataError, match="reserved"):
        attribute_headers(ObjectAttributes(metadata={name: "x"}), "nonce")


def test_a_type_is_always_said_because_swift_would_guess() -> None:
    assert typed(ObjectAttributes(cache_control="no-store")) == ObjectAttributes(DEFAULT_TYPE, cache_control="no-store")
    assert typed(ObjectAttributes(content_type="text/csv")) == ObjectAttributes("text/csv")


def test_pieces_of_another_tool_are_passed_over() -> None:
    found = answered({META_PREFIX + "stow-packed-00": "x", META_PREFIX + "stow-packed-zz": '"no entry"'})
    assert object_metadata(found).attributes.metadata == {}


def test_the_version_is_the_etag_and_the_second() -> None:
    found = object_metadata(answered({}))
    assert found.etag == f"{MD5}-6b03d873"
    assert etag_of_version(found.etag) == MD5
    later = object_metadata(answered({}, **{"Last-Modified": DATE.replace("08:51", "08:52")}))
    assert later.etag != found.etag


@pytest.mark.parametrize("large", ["X-Static-Large-Object", "X-Object-Manifest"])
def test_the_etag_of_a_large_object_is_no_md5(large: str) -> None:
    assert object_metadata(answered({}, **{large: "True"})).md5 is None
    assert object_metadata(answered({}, Etag=f'"{MD5}"')).md5 == bytes.fromhex(MD5)


@pytest.mark.parametrize("header", ["Etag", "Last-Modified", "Content-Length"])
def test_an_answer_without_what_every_object_has_is_none(header: str) -> None:
    found = answered({})
    del found[header]
    with pytest.raises(BackendFailedError):
        object_metadata(found)
