"""What may be stored beside an object's bytes: nothing that could break a later answer that gives it back."""

from __future__ import annotations

from typing import Final

from stow.errors import InvalidMetadataError
from stow.storage.model import ObjectAttributes
from stow.storage.names import MAX_METADATA_BYTES, check_metadata

MAX_HEADER_CHARS: Final = 1024
"""More than any media type or disposition in use; all of them together stay below common header limits."""


def check_attributes(
    attributes: ObjectAttributes, *, metadata_bytes: int = MAX_METADATA_BYTES, overhead_bytes: int = 0
) -> None:
    """Header-like attributes are visible ASCII (a control character in one would kill every later answer); metadata are what
    :func:`check_metadata` takes, with this limit and overhead.

    Raises:
        InvalidMetadataError
    """
    for name in ("content_type", "content_encoding", "content_language", "content_disposition", "cache_control"):
        value = getattr(attributes, name)
        if value is not None and (len(value) > MAX_HEADER_CHARS or not (value.isascii() and value.isprintable())):
            header = name.replace("_", "-").title()
            raise InvalidMetadataError(f"{header} must be printable ASCII of at most {MAX_HEADER_CHARS} characters.")
    check_metadata(attributes.metadata, limit_bytes=metadata_bytes, overhead_bytes=overhead_bytes)
