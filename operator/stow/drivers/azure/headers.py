"""Azure's headers: an object's attributes, metadata under names that Azure takes, checksums and conditions.

Metadata names are C# identifiers there: letters, digits and underscores, no digit first, and case does not count. Ours are
``[a-z0-9-]``. A hyphen becomes an underscore, and a name that begins with a digit or a hyphen gets an underscore in front: no two names
fall together, and each comes back. Names that no such rule gives (another tool's ``_x``) are shown and kept as they are.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

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

META_PREFIX: Final = "x-ms-meta-"
STORED_HEADERS: Final = {
    "content_type": "x-ms-blob-content-type",
    "content_encoding": "x-ms-blob-content-encoding",
    "content_language": "x-ms-blob-content-language",
    "content_disposition": "x-ms-blob-content-disposition",
    "cache_control": "x-ms-blob-cache-control",
}
BLOCK_BLOB: Final = {"x-ms-blob-type": "BlockBlob"}


def encode_name(name: str) -> str:
    """One of our metadata names as Azure takes it."""
    if "_" in name:
        return name  # another tool's: ours never have one
    encoded = name.replace("-", "_")
    return encoded if name[0].isalpha() else f"_{encoded}"


def decode_name(name: str) -> str:
    """The inverse; of another tool's name as much as can be told."""
    lower = name.lower()
    plain = lower[1:] if lower[:1] == "_" and lower[1:2] and not lower[1:2].isalpha() else lower
    decoded = plain.replace("_", "-")
    return decoded if decoded and encode_name(decoded) == lower else lower


def attribute_headers(attributes: ObjectAttributes, nonce: str | None) -> dict[str, str]:
    """Names in lower case, values as they go out. Errors of :func:`content_headers` and :func:`metadata_entries`."""
    entries = metadata_entries(attributes.metadata, nonce)
    return content_headers(attributes, STORED_HEADERS) | {
        META_PREFIX + encode_name(name): value for name, value in entries.items()
    }


def condition_headers(*, if_match: str | None, if_none_match: bool) -> dict[str, str]:
    """Conditions of a write."""
    if if_none_match:
        return {"if-none-match": "*"}
    if if_match is not None:
        return {"if-match": "*" if if_match == "*" else quoted(if_match)}
    return {}


def nonce_of(headers: Mapping[str, str]) -> str | None:
    return headers.get(META_PREFIX + encode_name(NONCE))


def object_metadata(headers: Mapping[str, str], *, size_bytes: int | None = None) -> ObjectMetadata:
    """What the headers of a HEAD or GET say. ``size_bytes`` where Content-Length is that of a range.

    Raises:
        BackendFailedError: no length, or no ETag.
    """
    # In the answer to a range Content-MD5 would be the range's.
    md5 = headers.get("content-md5" if size_bytes is None else "x-ms-blob-content-md5")
    return ObjectMetadata(
        exists=True,
        size_bytes=length_of(headers) if size_bytes is None else size_bytes,
        etag=etag_of(headers),
        last_modified=http_date(headers.get("last-modified", "")),
        attributes=attributes_of(headers, prefix=META_PREFIX, name_of=decode_name),
        md5=decode_md5(md5),
    )


def encode_md5(md5: bytes) -> str:
    return base64.b64encode(md5).decode()


def decode_md5(text: str | None) -> bytes | None:
    """None where there is none, or another tool stored something that is none."""
    if text is None:
        return None
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == 16 else None
