"""Objects' attributes and metadata as S3's headers, and back.

A hidden metadata entry, the nonce, tells after a lost answer whether the object that is there is the one that was being written. It is
left out where it would push the metadata over S3's 2 KiB. No header with a control character goes out or comes in.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from stow.drivers.s3.capabilities import Traits
from stow.errors import BackendFailedError, InvalidArgumentError, InvalidMetadataError
from stow.storage.model import ObjectAttributes, ObjectMetadata
from stow.storage.names import MAX_METADATA_BYTES, decode_metadata_value, encode_metadata_value

META_PREFIX: Final = "x-amz-meta-"
NONCE: Final = "stow-nonce"
CHECKSUM: Final = "x-amz-checksum-crc32c"
_CONTENT_HEADERS: Final = {
    "content_type": "content-type",
    "content_encoding": "content-encoding",
    "content_language": "content-language",
    "content_disposition": "content-disposition",
    "cache_control": "cache-control",
}
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_FOREIGN_KEYS: Final = ("aws:kms", "aws:kms:dsse")


def attribute_headers(attributes: ObjectAttributes, nonce: str | None) -> dict[str, str]:
    """Names in lower case, values as they go out.

    Raises:
        InvalidArgumentError: an attribute holds a control character.
        InvalidMetadataError: the metadata uses the reserved name.
    """
    headers: dict[str, str] = {}
    for attribute, header in _CONTENT_HEADERS.items():
        value: str | None = getattr(attributes, attribute)
        if value is None:
            continue
        if _CONTROL.search(value):
            raise InvalidArgumentError(f"The value of {header} holds a control character.")
        headers[header] = value
    total = 0
    for name, value in attributes.metadata.items():
        if name == NONCE:
            raise InvalidMetadataError(f"The metadata name {NONCE!r} is reserved.")
        encoded = encode_metadata_value(value)
        total += len(name) + len(encoded)
        headers[META_PREFIX + name] = encoded
    if nonce is not None and total + len(NONCE) + len(nonce) <= MAX_METADATA_BYTES:
        headers[META_PREFIX + NONCE] = nonce
    return headers


def condition_headers(*, if_match: str | None, if_none_match: bool) -> dict[str, str]:
    """Conditions of a write."""
    if if_none_match:
        return {"if-none-match": "*"}
    if if_match is not None:
        return {"if-match": "*" if if_match == "*" else quoted(if_match)}
    return {}


def quoted(etag: str) -> str:
    """An ETag as HTTP has it.

    Raises:
        InvalidArgumentError: a quote or a control character is in it.
    """
    if '"' in etag or _CONTROL.search(etag):
        raise InvalidArgumentError("The ETag is malformed.")
    return f'"{etag}"'


def checksum_header(crc32c: bytes) -> str:
    """CRC32C as S3's headers and documents have it."""
    return base64.b64encode(crc32c).decode()


def nonce_of(headers: Mapping[str, str]) -> str | None:
    return headers.get(META_PREFIX + NONCE)


def object_metadata(headers: Mapping[str, str], traits: Traits, *, size_bytes: int | None = None) -> ObjectMetadata:
    """What the headers of a HEAD or GET say. ``size_bytes`` where Content-Length is that of a range.

    Raises:
        BackendFailedError: no length, or no ETag.
    """
    length = headers.get("content-length", "")
    etag = headers.get("etag", "").removeprefix("W/").strip('"')
    if size_bytes is None:
        if not (length.isascii() and length.isdigit()):
            raise BackendFailedError("The backend's answer lacks the object's length.")
        size_bytes = int(length)
    if not etag:
        raise BackendFailedError("The backend's answer lacks an ETag.")
    return ObjectMetadata(
        exists=True,
        size_bytes=size_bytes,
        etag=etag,
        last_modified=_http_date(headers.get("last-modified", "")),
        attributes=_attributes(headers),
        md5=md5_of_etag(etag, headers, traits),
        crc32c=_crc32c(headers),
    )


def md5_of_etag(etag: str, headers: Mapping[str, str], traits: Traits) -> bytes | None:
    """The MD5 that the ETag is, where it is one: one piece, and not encrypted with keys that are not the service's own."""
    if not traits.etag_is_md5 or not _MD5.fullmatch(etag):
        return None
    if headers.get("x-amz-server-side-encryption") in _FOREIGN_KEYS:
        return None
    if "x-amz-server-side-encryption-customer-algorithm" in headers:
        return None
    return bytes.fromhex(etag)


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


def _attributes(headers: Mapping[str, str]) -> ObjectAttributes:
    content = {name: _text(headers[header]) for name, header in _CONTENT_HEADERS.items() if header in headers}
    metadata = {
        name: decode_metadata_value(_text(value))
        for header, value in headers.items()
        if (lowered := header.lower()).startswith(META_PREFIX) and (name := lowered.removeprefix(META_PREFIX)) != NONCE
    }
    return ObjectAttributes(
        content_type=content.get("content_type"),
        content_encoding=_without_framing(content.get("content_encoding")),
        content_language=content.get("content_language"),
        content_disposition=content.get("content_disposition"),
        cache_control=content.get("cache_control"),
        metadata=metadata,
    )


def _without_framing(encoding: str | None) -> str | None:
    """Some servers store the ``aws-chunked`` of the upload; it says nothing about the object."""
    if encoding is None or "aws-chunked" not in encoding:
        return encoding
    return ",".join(part for part in (p.strip() for p in encoding.split(",")) if part and part != "aws-chunked") or None


def _text(value: str) -> str:
    """aiohttp keeps bytes that are no UTF-8 as lone surrogates, which nothing further on can encode."""
    return _CONTROL.sub("", value.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def _crc32c(headers: Mapping[str, str]) -> bytes | None:
    """Only of the whole object: a composite checksum (``-N``) covers the parts' checksums."""
    text = headers.get(CHECKSUM)
    if text is None or "-" in text or headers.get("x-amz-checksum-type", "FULL_OBJECT") != "FULL_OBJECT":
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return raw if len(raw) == 4 else None


def _http_date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, TypeError):
        return None
