"""Swift's headers: an object's attributes and metadata, and the version that they are of.

Swift takes 90 entries of metadata, each value of 1 to 256 bytes. What fits goes up as it is; else all of it goes up packed into numbered
entries, in an order and a form that give it back exactly. (Source: the limits of Swift's ``/info``, which clusters hardly ever change.)

The version token is the ETag and the second of Last-Modified: answers and listings say both. It changes with the bytes, and with the
metadata alone unless that is rewritten within the same second.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from stow.errors import BackendFailedError, InvalidMetadataError
from stow.storage.model import ObjectAttributes, ObjectMetadata
from stow.storage.names import decode_metadata_value
from stow.transport.headers import (
    NONCE,
    attributes_of,
    clean,
    content_headers,
    etag_of,
    http_date,
    length_of,
    metadata_entries,
)

META_PREFIX: Final = "x-object-meta-"
PACKED: Final = "stow-packed-"
NEWEST: Final = {"x-newest": "true"}
"""Asks all copies, not the nearest one: for what decides something."""
DEFAULT_TYPE: Final = "application/octet-stream"
"""Without one Swift guesses by the key's ending."""
MAX_VALUE_BYTES: Final = 256
MAX_ENTRIES: Final = 90
MAX_OVERALL_BYTES: Final = 4096
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_END: Final = "%;"
"""Between packed entries; no encoded value holds it, because a percent sign there begins a byte."""


def attribute_headers(attributes: ObjectAttributes, nonce: str | None) -> dict[str, str]:
    """Names in lower case, values as they go out.

    Raises:
        InvalidMetadataError: a reserved name, or more than Swift can hold.
        InvalidArgumentError: an attribute holds a control character.
    """
    if any(name.startswith(PACKED) for name in attributes.metadata):
        raise InvalidMetadataError(f"Metadata names that begin with {PACKED!r} are reserved.")
    entries = metadata_entries(attributes.metadata, nonce)
    if len(entries) > MAX_ENTRIES or any(not 0 < len(value) <= MAX_VALUE_BYTES for value in entries.values()):
        entries = _packed(entries)
    return content_headers(attributes) | {META_PREFIX + name: value for name, value in entries.items()}


def typed(attributes: ObjectAttributes) -> ObjectAttributes:
    """As they are stored: with a type."""
    return attributes if attributes.content_type is not None else replace(attributes, content_type=DEFAULT_TYPE)


def nonce_of(headers: Mapping[str, str]) -> str | None:
    return headers.get(META_PREFIX + NONCE)


def object_metadata(headers: Mapping[str, str], *, size_bytes: int | None = None) -> ObjectMetadata:
    """What the headers of a HEAD or GET say. ``size_bytes`` where Content-Length is that of a range.

    Raises:
        BackendFailedError: no length, no ETag or no Last-Modified.
    """
    etag = etag_of(headers)
    modified = http_date(headers.get("last-modified", ""))
    found = attributes_of(headers, prefix=META_PREFIX)
    return ObjectMetadata(
        exists=True,
        size_bytes=length_of(headers) if size_bytes is None else size_bytes,
        etag=version(etag, modified),
        last_modified=modified,
        attributes=replace(found, metadata=_unpacked(found.metadata, headers)),
        md5=md5_of(etag, headers),
    )


def version(etag: str, modified: datetime | None) -> str:
    """The version token.

    Raises:
        BackendFailedError: there is no date.
    """
    if modified is None:
        raise BackendFailedError("The backend's answer lacks the object's date.")
    return f"{etag}-{int(modified.timestamp()):x}"


def etag_of_version(token: str) -> str:
    """Swift's own ETag."""
    return token.rpartition("-")[0]


def md5_of(etag: str, headers: Mapping[str, str]) -> bytes | None:
    """The MD5 that the ETag is; that of a large object is one of its segments' ETags."""
    if not _MD5.fullmatch(etag) or "x-static-large-object" in headers or "x-object-manifest" in headers:
        return None
    return bytes.fromhex(etag)


def _packed(entries: Mapping[str, str]) -> dict[str, str]:
    """In quotes, because HTTP strips spaces at the ends of a value."""
    text = _END.join(f"{name}={value}" for name, value in entries.items() if name != NONCE)
    room = MAX_VALUE_BYTES - 2
    pieces = {f"{PACKED}{at // room:02}": f'"{text[at : at + room]}"' for at in range(0, len(text), room)}
    if NONCE in entries:
        pieces[NONCE] = entries[NONCE]
    if sum(len(name) + len(value) for name, value in pieces.items()) > MAX_OVERALL_BYTES:
        raise InvalidMetadataError("The metadata has more entries than the backend can hold; use fewer or longer ones.")
    return pieces


def _unpacked(metadata: Mapping[str, str], headers: Mapping[str, str]) -> Mapping[str, str]:
    """Pieces put together again. What another tool left of them makes no sense and is passed over."""
    names = sorted(name for name in metadata if name.startswith(PACKED))
    if not names:
        return metadata
    text = "".join(clean(headers[META_PREFIX + name])[1:-1] for name in names)
    entries = (entry.partition("=") for entry in text.split(_END))
    plain = {name: value for name, value in metadata.items() if name not in names}
    return plain | {name: decode_metadata_value(value) for name, equals, value in entries if equals}
