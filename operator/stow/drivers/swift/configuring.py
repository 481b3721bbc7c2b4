"""What a container is set to: whether old versions stay, and the user's tags, as metadata under a prefix of their own.

Swift folds the case of names and takes only what HTTP has for them, so they are encoded; other metadata of a container is configuration
(quotas, keys of TempURLs, which nobody must see) and stays out of the tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stow.drivers.swift.backend import Backend
from stow.drivers.swift.containers import META, VERSIONS, call, head
from stow.drivers.swift.headers import MAX_ENTRIES, MAX_OVERALL_BYTES, MAX_VALUE_BYTES
from stow.errors import LimitExceededError
from stow.storage.model import ContainerSettings
from stow.storage.names import decode_metadata_value, encode_metadata_value
from stow.transport.wire import Request

TAG: Final = META + "stow-tag-"
_MAX_NAME_BYTES: Final = 128
"""Of metadata, without ``X-Container-Meta-``."""
_ROOM: Final = MAX_ENTRIES - 20
"""The rest is for the marker and for what others set."""
_ROOM_BYTES: Final = MAX_OVERALL_BYTES - 1024
"""Likewise; of names, without ``X-Container-Meta-``, and values."""
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_EMPTY: Final = "%"
"""Stands for an empty value, which would remove the entry; no encoded value is a lone percent sign."""


async def read(backend: Backend, name: str) -> ContainerSettings:
    """See ``Driver.container_settings``; one request."""
    headers = await head(backend, name)
    tags = {
        _decoded_name(header.lower().removeprefix(TAG)): decode_metadata_value("" if value == _EMPTY else value)
        for header, value in headers.items()
        if header.lower().startswith(TAG)
    }
    versioning = headers.get(VERSIONS, "").lower() == "true" if backend.traits.capabilities.versioning else None
    return ContainerSettings(tags=tags, versioning=versioning)


async def write(backend: Backend, name: str, wanted: ContainerSettings) -> None:
    """See ``Driver.configure_container``."""
    headers: dict[str, str] = {}
    if wanted.tags is not None:
        headers |= _tag_headers(wanted.tags, await head(backend, name))
    if wanted.versioning is not None:
        headers[VERSIONS] = str(wanted.versioning).lower()
    if headers:
        await call(backend, Request("POST", name, headers=headers))


def _tag_headers(tags: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    given = {TAG + encoded_name(tag): encode_metadata_value(value) or _EMPTY for tag, value in tags.items()}
    if len(given) > _ROOM:
        raise LimitExceededError(f"A container of this backend has at most {_ROOM} tags.")
    for header, value in given.items():
        if len(header) - len(META) > _MAX_NAME_BYTES or len(value) > MAX_VALUE_BYTES:
            raise LimitExceededError(
                f"A tag's name or value is too long for this backend: {_MAX_NAME_BYTES - len(TAG) + len(META)} and "
                f"{MAX_VALUE_BYTES} bytes once encoded."
            )
    if sum(len(header) - len(META) + len(value) for header, value in given.items()) > _ROOM_BYTES:
        raise LimitExceededError(
            f"The tags are too large for this backend: their names, with {len(TAG) - len(META)} bytes more each, and values, once encoded, "
            f"have at most {_ROOM_BYTES} bytes together."
        )
    gone = {header.lower() for header in found if header.lower().startswith(TAG)} - given.keys()
    return dict.fromkeys(sorted(gone), "") | given


def encoded_name(name: str) -> str:
    """Lower-case letters, digits and hyphens as they are, every other byte as ``%xx``: survives the folding of case."""
    return "".join(c if c in _PLAIN else "".join(f"%{byte:02x}" for byte in c.encode()) for c in name)


def _decoded_name(name: str) -> str:
    return decode_metadata_value(name)
