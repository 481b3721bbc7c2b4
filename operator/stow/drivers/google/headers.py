"""What Google says of an object, in the headers of the XML API and in the resources of the JSON API, and what it is told there.

The ETag that the rest of the program sees is the object's generation: it changes with every write, never comes again, and is what
conditions take. Where no Cache-Control is stored, the XML API answers one of its own; so the two values that it makes up read as none.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from multidict import CIMultiDictProxy

from stow.errors import BackendFailedError, PreconditionFailedError
from stow.storage.model import ObjectAttributes, ObjectMetadata
from stow.transport.headers import NONCE, attributes_of, content_headers, http_date, length_of, metadata_entries
from stow.transport.xml import timestamp

META_PREFIX: Final = "x-goog-meta-"
GENERATION: Final = "x-goog-generation"
IF_GENERATION: Final = "x-goog-if-generation-match"
HASH: Final = "x-goog-hash"
MEDIA: Final = {"accept-encoding": "gzip"}
"""Of every request for an object's bytes: without it Google inflates what is stored with Content-Encoding: gzip, and the length, the
checksum and the range are those of other bytes."""
FIELDS: Final = "generation,size,md5Hash,crc32c,updated"
"""What an answer to a write has to say."""
_MADE_UP: Final = frozenset({"private, max-age=0", "public, max-age=3600"})
_GENERATION: Final = re.compile(r"[1-9][0-9]{0,18}")
_RESOURCE: Final = {
    "content_type": "contentType",
    "content_encoding": "contentEncoding",
    "content_language": "contentLanguage",
    "content_disposition": "contentDisposition",
    "cache_control": "cacheControl",
}
"""Attributes by their field, and the name that the JSON API has for each."""
DEFAULT_TYPE: Final = "application/octet-stream"
"""Google's own default, said aloud: a part of a multipart body without a type has another one by its standard."""


def resource(attributes: ObjectAttributes, nonce: str | None) -> dict[str, Any]:
    """An object's attributes and metadata as JSON. Errors of :func:`content_headers` and :func:`metadata_entries`."""
    fields: dict[str, Any] = {"contentType": DEFAULT_TYPE, **content_headers(attributes, _RESOURCE)}
    fields["metadata"] = metadata_entries(attributes.metadata, nonce)
    return fields


def checksum(digest: bytes) -> str:
    """As Google writes checksums."""
    return base64.b64encode(digest).decode()


def generation_of(etag: str) -> str:
    """The generation that an ETag of ours is.

    Raises:
        PreconditionFailedError: it is none, so no object has it; ``0`` would even mean "no object".
    """
    if not _GENERATION.fullmatch(etag):
        raise PreconditionFailedError("The object is not in the state that the condition asks for.")
    return etag


def nonce_of(headers: Mapping[str, str]) -> str | None:
    return headers.get(META_PREFIX + NONCE)


def object_metadata(headers: CIMultiDictProxy[str], *, size_bytes: int | None = None) -> ObjectMetadata:
    """What the headers of a HEAD or GET of the XML API say. ``size_bytes`` where Content-Length is that of a range.

    Raises:
        BackendFailedError: no length, no generation, or other bytes than the stored ones.
    """
    size_bytes = length_of(headers) if size_bytes is None else size_bytes
    if headers.get("x-goog-stored-content-length", str(size_bytes)) != str(size_bytes):
        raise BackendFailedError("The backend serves other bytes than it stores. Check what stands before it.")
    generation = headers.get(GENERATION, "")
    if not _GENERATION.fullmatch(generation):
        raise BackendFailedError("The backend's answer lacks the object's generation.")
    attributes = attributes_of(headers, prefix=META_PREFIX)
    if attributes.cache_control in _MADE_UP:
        attributes = replace(attributes, cache_control=None)
    sums = _sums(headers)
    return ObjectMetadata(
        exists=True,
        size_bytes=size_bytes,
        etag=generation,
        last_modified=http_date(headers.get("last-modified", "")),
        attributes=attributes,
        md5=_digest(sums.get("md5"), length=16),
        crc32c=_digest(sums.get("crc32c"), length=4),
    )


def written_metadata(found: Mapping[str, Any]) -> ObjectMetadata:
    """What the resource that answers a write says; without attributes.

    Raises:
        BackendFailedError: it makes no sense.
    """
    generation, size = found.get("generation"), found.get("size", "0")
    if not isinstance(generation, str) or not _GENERATION.fullmatch(generation) or not str(size).isdigit():
        raise BackendFailedError("The backend's answer lacks the object's generation or size.")
    return ObjectMetadata(
        exists=True,
        size_bytes=int(size),
        etag=generation,
        last_modified=updated(found),
        md5=_digest(found.get("md5Hash"), length=16),
        crc32c=_digest(found.get("crc32c"), length=4),
    )


def updated(found: Mapping[str, Any]) -> datetime | None:
    text = found.get("updated")
    return timestamp(text) if isinstance(text, str) else None


def _sums(headers: CIMultiDictProxy[str]) -> dict[str, str]:
    """Of ``x-goog-hash: crc32c=...,md5=...``, which may come in one header or in two."""
    pairs = (item.strip().partition("=") for value in headers.getall(HASH, []) for item in value.split(","))
    return {name: value for name, _, value in pairs}


def _digest(text: object, *, length: int) -> bytes | None:
    if not isinstance(text, str):
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == length else None
