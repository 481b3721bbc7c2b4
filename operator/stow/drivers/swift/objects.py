"""Head, list, read and delete: one request each.

Listings are sorted by the bytes of the keys. In a cluster they may lag behind writes by seconds, and where servers are down by more.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from stow.drivers.swift.backend import Backend
from stow.drivers.swift.headers import NEWEST, object_metadata, version
from stow.drivers.swift.translate import answer_error
from stow.errors import BackendFailedError, UnsupportedError
from stow.storage.model import ByteRange, ListedObject, Listing, ObjectMetadata
from stow.transport.connections import Answer
from stow.transport.faults import AnswerError
from stow.transport.stream import Stream, opened
from stow.transport.wire import Request

MAX_LISTING_BYTES: Final = 16 * 1024 * 1024
"""A page of 1,001 keys of 1,024 bytes, each escaped as six, takes 6 MiB; content types come on top."""


async def head_answer(backend: Backend, container: str, key: str, *, newest: bool = False) -> Answer:
    """The raw answer of a HEAD: its headers hold the nonce too. Errors of ``Driver.head``."""
    try:
        return await backend.wire.call(Request("HEAD", container, key, headers=NEWEST if newest else {}))
    except AnswerError as exc:
        raise answer_error(exc) from exc


async def head(backend: Backend, container: str, key: str, *, newest: bool = False) -> ObjectMetadata:
    return object_metadata((await head_answer(backend, container, key, newest=newest)).headers)


async def read(backend: Backend, container: str, key: str, byte_range: ByteRange | None) -> Stream:
    headers = {} if byte_range is None else {"range": byte_range.header()}
    try:
        response = await backend.wire.open_read(Request("GET", container, key, headers=headers))
    except AnswerError as exc:
        raise answer_error(exc) from exc
    return opened(response, byte_range, lambda found, size: object_metadata(found, size_bytes=size))


async def delete(backend: Backend, container: str, key: str, *, if_match: str | None) -> None:
    if if_match is not None:
        raise UnsupportedError("This backend has no conditional delete.")
    try:
        await backend.wire.call(Request("DELETE", container, key))
    except AnswerError as exc:
        # A 404 leaves open whether the container is there: StowStore asks.
        raise answer_error(exc) from exc


async def list_page(
    backend: Backend, container: str, *, prefix: str, delimiter: str | None, limit: int, token: str | None
) -> Listing:
    """One more is asked for than is wanted: it tells whether something follows."""
    asked = min(limit + 1, backend.traits.listing_limit)
    query = [("format", "json"), ("limit", str(asked)), ("prefix", prefix)]
    if delimiter is not None:
        query.append(("delimiter", delimiter))
    if token is not None:
        query.append(("marker", token))
    try:
        answer = await backend.wire.call(Request("GET", container, query=query), limit_bytes=MAX_LISTING_BYTES)
    except AnswerError as exc:
        raise answer_error(exc, container_only=True) from exc
    return page(answer.body, limit=limit, asked=asked)


def page(body: bytes, *, limit: int, asked: int) -> Listing:
    """A page of at most ``limit`` out of an answer that ``asked`` for so many.

    Raises:
        BackendFailedError: it makes no sense.
    """
    try:
        found = json.loads(body) if body else []
        entries = [_entry(item) for item in found]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise BackendFailedError("The backend's listing makes no sense.") from None
    more = len(entries) > limit or len(entries) >= asked
    entries = entries[:limit]
    objects = [entry for entry in entries if isinstance(entry, ListedObject)]
    prefixes = [entry for entry in entries if isinstance(entry, str)]
    last = entries[-1] if entries else ""
    return Listing(
        objects=tuple(sorted(objects, key=lambda each: each.key.encode())),
        prefixes=tuple(sorted(prefixes, key=str.encode)),
        token=(last if isinstance(last, str) else last.key) if more else None,
    )


def _entry(item: dict[str, Any]) -> ListedObject | str:
    if "subdir" in item:
        subdir: str = item["subdir"]
        subdir.encode()
        return subdir
    name: str = item["name"]
    name.encode()
    modified = _whole_second(item["last_modified"])
    # A large object has its own ETag beside the hash of its manifest.
    etag = str(item.get("slo_etag") or item["hash"]).strip('"')
    size_bytes = int(item["bytes"])
    if size_bytes < 0:
        raise ValueError("a negative size")
    return ListedObject(name, size_bytes, version(etag, modified), modified)


def _whole_second(text: str) -> datetime:
    """As Last-Modified has it: the next whole second."""
    exact = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return exact if exact.microsecond == 0 else exact.replace(microsecond=0) + timedelta(seconds=1)
