"""The life of containers: create, exists, marker, contents, delete; one request each.

The marker is metadata of the container under ``Stowstore-``; a POST sets it at once and leaves all other metadata as it is. A container is
created private: no ACL is sent. What decides about ownership and destruction asks all copies of the container.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stow.drivers.swift.backend import Backend
from stow.drivers.swift.headers import MAX_VALUE_BYTES, NEWEST
from stow.drivers.swift.objects import MAX_LISTING_BYTES, page
from stow.drivers.swift.translate import answer_error
from stow.errors import ContainerNotEmptyError, ContainerNotFoundError, ContainerTakenError
from stow.storage.model import ContainerContents, Marker
from stow.storage.names import decode_metadata_value, encode_metadata_value
from stow.transport.connections import Answer
from stow.transport.faults import AnswerError
from stow.transport.wire import Request

META: Final = "x-container-meta-"
VERSIONS: Final = "x-versions-enabled"
"""Absent where versions were never switched on; they stay when they are switched off."""
MARKER: Final = META + "stowstore-"
_FIELDS: Final = ("installation", "namespace", "name", "uid", "nonce")
_PIECES: Final = 2
"""A Kubernetes name of 253 characters with something before it is longer than Swift takes in one value."""
_PAGE: Final = 1000


async def call(backend: Backend, request: Request, *, limit_bytes: int = MAX_LISTING_BYTES) -> Answer:
    """A request about a container. Errors are ours."""
    try:
        return await backend.wire.call(request, limit_bytes=limit_bytes)
    except AnswerError as exc:
        raise answer_error(exc, container_only=True) from exc


async def create(backend: Backend, name: str) -> None:
    """Raises:
    ContainerTakenError: it exists. Swift creates and finds by the same request, and tells them apart by 201 and 202.
    """
    if (await call(backend, Request("PUT", name))).status != 201:
        raise ContainerTakenError(
            "A container of this name exists already. Choose another name, or load it.", status=202
        )


async def exists(backend: Backend, name: str) -> bool:
    """Only a success or a 404 decides."""
    try:
        await head(backend, name)
    except ContainerNotFoundError:
        return False
    return True


async def head(backend: Backend, name: str) -> Mapping[str, str]:
    """The container's headers. Raises: ContainerNotFoundError."""
    return (await call(backend, Request("HEAD", name, headers=NEWEST))).headers


async def read_marker(backend: Backend, name: str) -> Marker | None:
    """Raises:
    ContainerNotFoundError
    """
    headers = await head(backend, name)
    found = {
        field: decode_metadata_value("".join(headers.get(piece, "") for piece in _pieces(field))) for field in _FIELDS
    }
    return Marker(**found) if found["uid"] else None


async def write_marker(backend: Backend, name: str, marker: Marker | None) -> None:
    """Raises:
    ContainerNotFoundError
    """
    headers: dict[str, str] = {}
    for field in _FIELDS:
        value = "" if marker is None else encode_metadata_value(getattr(marker, field))
        for number, piece in enumerate(_pieces(field)):
            # An empty value removes the entry.
            headers[piece] = value[number * MAX_VALUE_BYTES : (number + 1) * MAX_VALUE_BYTES]
    await call(backend, Request("POST", name, headers=headers))


async def contents(backend: Backend, name: str) -> ContainerContents:
    """One page of objects; one of all their versions, where they were ever switched on."""
    limit = min(_PAGE, backend.traits.listing_limit)
    query = [("format", "json"), ("limit", str(limit))]
    answer = await call(backend, Request("GET", name, query=query, headers=NEWEST))
    found = page(answer.body, limit=limit, asked=limit)
    objects, truncated, versions = len(found.objects), found.token is not None, 0
    if VERSIONS in answer.headers:
        answer = await call(backend, Request("GET", name, query=[*query, ("versions", "true")], headers=NEWEST))
        kept = page(answer.body, limit=limit, asked=limit)
        versions = max(0, len(kept.objects) - objects)
        truncated = truncated or kept.token is not None
    return ContainerContents(objects=objects, versions=versions, truncated=truncated)


async def delete(backend: Backend, name: str) -> None:
    """Raises:
    ContainerNotEmptyError
    """
    try:
        await backend.wire.call(Request("DELETE", name))
    except AnswerError as exc:
        if exc.status == 404:
            return
        if exc.status == 409:
            raise ContainerNotEmptyError("The container still holds something.", status=409) from exc
        raise answer_error(exc) from exc


def _pieces(field: str) -> list[str]:
    return [MARKER + field + (f"-{number}" if number else "") for number in range(_PIECES)]
