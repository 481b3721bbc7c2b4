"""S3's headers: an object's attributes and metadata, conditions and checksums."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from stow.drivers.s3.capabilities import Traits
from stow.errors import InvalidMetadataError
from stow.storage.model import ObjectAttributes, ObjectMetadata
from stow.transport.headers import (
    NONCE,
    attributes_of,
    content_headers,
    etag_of,
    http_date,
    length_of,
    metadata_entries,
    quoted,
)

META_PREFIX: Final = "x-amz-meta-"
CHECKSUM: Final = "x-amz-checksum-crc32c"
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_INSTRUCTIONS: Final = frozenset({"snowball-auto-extract"})
_FOREIGN_KEYS: Final = ("aws:kms", "aws:kms:dsse")


def attribute_headers(attributes: ObjectAttributes, nonce: str | None, *, overhead_bytes: int = 0) -> dict[str, str]:
    """Names in lower case, values as they go out. Errors of :func:`content_headers` and :func:`metadata_entries`."""
    entries = metadata_entries(attributes.metadata, nonce, overhead_bytes=overhead_bytes)
    for name in entries:
        check_metadata_name(name)
    return content_headers(attributes) | {META_PREFIX + name: value for name, value in entries.items()}


def check_metadata_name(name: str) -> None:
    """Refuse metadata that some backends (MinIO, Snowball) take for an instruction: the body is unpacked into objects of other keys.

    Raises:
        InvalidMetadataError
    """
    if name in _INSTRUCTIONS:
        raise InvalidMetadataError(f"The metadata name {name} is an instruction to some backends. Choose another one.")


def condition_headers(*, if_match: str | None, if_none_match: bool) -> dict[str, str]:
    """Conditions of a write."""
    if if_none_match:
        return {"if-none-match": "*"}
    if if_match is not None:
        return {"if-match": "*" if if_match == "*" else quoted(if_match)}
    return {}


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
    size_bytes = length_of(headers) if size_bytes is None else size_bytes
    etag = etag_of(headers)
    attributes = attributes_of(headers, prefix=META_PREFIX)
    return ObjectMetadata(
        exists=True,
        size_bytes=size_bytes,
        etag=etag,
        last_modified=http_date(headers.get("last-modified", "")),
        attributes=replace(attributes, content_encoding=_without_framing(attributes.content_encoding)),
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


def _without_framing(encoding: str | None) -> str | None:
    """Some servers store the ``aws-chunked`` of the upload; it says nothing about the object."""
    if encoding is None or "aws-chunked" not in encoding:
        return encoding
    return ",".join(part for part in (p.strip() for p in encoding.split(",")) if part and part != "aws-chunked") or None


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
