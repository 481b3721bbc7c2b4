"""Objects' attributes and metadata as HTTP headers, and back; dates, ranges and ETags.

No header with a control character goes out or comes in. A hidden metadata entry, the nonce, tells after a lost answer whether the object
that is there is the one that was being written; it is left out where it would push the metadata over 2 KiB.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from stow.errors import BackendFailedError, InvalidArgumentError, InvalidMetadataError
from stow.storage.model import ObjectAttributes
from stow.storage.names import MAX_METADATA_BYTES, decode_metadata_value, encode_metadata_value

NONCE: Final = "stow-nonce"
CONTENT_HEADERS: Final = {
    "content_type": "content-type",
    "content_encoding": "content-encoding",
    "content_language": "content-language",
    "content_disposition": "content-disposition",
    "cache_control": "cache-control",
}
"""Attributes by their field, and the header that HTTP has for each."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def content_headers(attributes: ObjectAttributes, names: Mapping[str, str] = CONTENT_HEADERS) -> dict[str, str]:
    """The attributes but for the metadata; ``names`` gives each field's header.

    Raises:
        InvalidArgumentError: an attribute holds a control character.
    """
    headers: dict[str, str] = {}
    for attribute, header in names.items():
        value: str | None = getattr(attributes, attribute)
        if value is None:
            continue
        if _CONTROL.search(value):
            raise InvalidArgumentError(f"The value of {header} holds a control character.")
        headers[header] = value
    return headers


def metadata_entries(metadata: Mapping[str, str], nonce: str | None, *, overhead_bytes: int = 0) -> dict[str, str]:
    """Names as they are given, values encoded for the wire, the nonce among them where there is room.

    ``overhead_bytes`` is what the backend counts beside each name: ``Capabilities.metadata_overhead_bytes``.

    Raises:
        InvalidMetadataError: the metadata uses the reserved name.
    """
    if NONCE in metadata:
        raise InvalidMetadataError(f"The metadata name {NONCE!r} is reserved.")
    entries = {name: encode_metadata_value(value) for name, value in metadata.items()}
    total = sum(len(name) + len(value) for name, value in entries.items())
    total += overhead_bytes * (len(entries) + 1)
    if nonce is not None and total + len(NONCE) + len(nonce) <= MAX_METADATA_BYTES:
        entries[NONCE] = nonce
    return entries


def attributes_of(
    headers: Mapping[str, str],
    *,
    prefix: str,
    names: Mapping[str, str] = CONTENT_HEADERS,
    name_of: Callable[[str], str] = str.lower,
) -> ObjectAttributes:
    """What an answer's headers say. ``prefix`` begins those of the metadata; ``name_of`` turns the rest of such a name into ours."""
    content = {field: clean(headers[header]) for field, header in names.items() if header in headers}
    metadata = {
        name: decode_metadata_value(clean(value))
        for header, value in headers.items()
        if header.lower().startswith(prefix) and (name := name_of(header[len(prefix) :])) != NONCE
    }
    return ObjectAttributes(
        content_type=content.get("content_type"),
        content_encoding=content.get("content_encoding"),
        content_language=content.get("content_language"),
        content_disposition=content.get("content_disposition"),
        cache_control=content.get("cache_control"),
        metadata=metadata,
    )


def quoted(etag: str) -> str:
    """An ETag as HTTP has it.

    Raises:
        InvalidArgumentError: a quote or a control character is in it.
    """
    if '"' in etag or _CONTROL.search(etag):
        raise InvalidArgumentError("The ETag is malformed.")
    return f'"{etag}"'


def etag_of(headers: Mapping[str, str]) -> str:
    """The ETag without quotes.

    Raises:
        BackendFailedError: there is none.
    """
    etag = headers.get("etag", "").removeprefix("W/").strip('"')
    if not etag:
        raise BackendFailedError("The backend's answer lacks an ETag.")
    return etag


def length_of(headers: Mapping[str, str]) -> int:
    """Content-Length.

    Raises:
        BackendFailedError: there is none.
    """
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        raise BackendFailedError("The backend's answer lacks the object's length.")
    return int(length)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """``[start, end)`` of an object of ``size_bytes``."""

    start: int
    end: int
    size_bytes: int


def content_range(headers: Mapping[str, str]) -> ContentRange:
    """Raises:
    BackendFailedError: missing or malformed.
    """
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if match is None:
        raise BackendFailedError("The backend's answer lacks a sensible Content-Range.")
    return ContentRange(int(match[1]), int(match[2]) + 1, int(match[3]))


def clean(value: str) -> str:
    """aiohttp keeps bytes that are no UTF-8 as lone surrogates, which nothing further on can encode."""
    return _CONTROL.sub("", value.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def http_date(text: str) -> datetime | None:
    """An HTTP date, None where it is absent or makes no sense."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):  # a year of twenty digits, or the end of time
        return None
