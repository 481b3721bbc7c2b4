"""Head, list, read and delete: one request each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import aiohttp

from stow.drivers.s3.answers import listing
from stow.drivers.s3.backend import Backend
from stow.drivers.s3.headers import content_range, object_metadata, quoted
from stow.drivers.s3.translate import AnswerError, answer_error, transport_error
from stow.drivers.s3.wire import Answer, Request
from stow.errors import (
    BackendFailedError,
    BackendUnreachableError,
    ObjectNotFoundError,
    RangeNotSatisfiableError,
    UnsupportedError,
)
from stow.storage.model import ByteRange, Listing, ObjectMetadata

_AFTER: Final = "after:"
"""Begins a token of ours; tokens of MinIO are base64, which has no colon."""
_CHECKSUM_MODE: Final = {"x-amz-checksum-mode": "ENABLED"}


async def head_answer(backend: Backend, bucket: str, key: str) -> Answer:
    """The raw answer of a HEAD: its headers hold the nonce too. Errors of ``Driver.head``."""
    try:
        return await backend.wire.call(Request("HEAD", bucket, key, headers=_mode(backend)))
    except AnswerError as exc:
        raise answer_error(exc) from exc


async def head(backend: Backend, bucket: str, key: str) -> ObjectMetadata:
    return object_metadata((await head_answer(backend, bucket, key)).headers, backend.traits)


async def list_page(
    backend: Backend, bucket: str, *, prefix: str, delimiter: str | None, limit: int, token: str | None
) -> Listing:
    query = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(limit)), ("prefix", prefix)]
    if delimiter is not None:
        query.append(("delimiter", delimiter))
    if token is not None and token.startswith(_AFTER):
        query.append(("start-after", token.removeprefix(_AFTER)))
    elif token is not None:
        query.append(("continuation-token", token))
    try:
        answer = await backend.wire.call(Request("GET", bucket, query=query))
    except AnswerError as exc:
        raise answer_error(exc, container_only=True) from exc
    page = listing(answer.body)
    if backend.traits.lists_key_alone and limit == 1 and token is None and [o.key for o in page.objects] == [prefix]:
        # Perhaps not the end: the next page looks behind the key, and may be empty.
        return replace(page, token=page.token or _AFTER + prefix)
    return page


async def delete(backend: Backend, bucket: str, key: str, *, if_match: str | None) -> None:
    headers: dict[str, str] = {}
    if if_match is not None:
        if not backend.traits.capabilities.delete_if_match:
            raise UnsupportedError("This backend has no conditional delete.")
        headers["if-match"] = "*" if if_match == "*" else quoted(if_match)
    try:
        await backend.wire.call(Request("DELETE", bucket, key, headers=headers))
    except AnswerError as exc:
        error = answer_error(exc, conditional=if_match is not None)
        if isinstance(error, ObjectNotFoundError):
            return
        raise error from exc


async def read(backend: Backend, bucket: str, key: str, byte_range: ByteRange | None) -> Stream:
    headers = _mode(backend) if byte_range is None else {"range": byte_range.header()}
    try:
        response = await backend.wire.open_read(Request("GET", bucket, key, headers=headers))
    except AnswerError as exc:
        raise answer_error(exc) from exc
    try:
        return _opened(backend, response, byte_range)
    except BaseException:
        response.close()
        raise


def _mode(backend: Backend) -> dict[str, str]:
    return dict(_CHECKSUM_MODE) if backend.traits.checksums else {}


def _opened(backend: Backend, response: aiohttp.ClientResponse, byte_range: ByteRange | None) -> Stream:
    if response.status == 206 and response.headers.get("content-length") == "0":
        # MinIO's answer to a suffix range of an empty object: a 206 of nothing, with a Content-Range that is none.
        raise RangeNotSatisfiableError("No byte of the object is in the range.", size_bytes=0)
    if response.status != 206:
        metadata = object_metadata(response.headers, backend.traits)
        served = (0, metadata.size_bytes)
    else:
        found = content_range(response.headers)
        metadata = object_metadata(response.headers, backend.traits, size_bytes=found.size_bytes)
        served = (found.start, found.end)
    wanted = (0, metadata.size_bytes) if byte_range is None else byte_range.resolve(metadata.size_bytes)
    if wanted is None:
        raise RangeNotSatisfiableError("No byte of the object is in the range.", size_bytes=metadata.size_bytes)
    if served != wanted or response.headers.get("content-length") != str(served[1] - served[0]):
        raise BackendFailedError("The backend serves another range than was asked for.", status=response.status)
    return Stream(response, metadata, *served)


READ_BYTES: Final = 128 * 1024
"""The most that a chunk of a read has."""


class Stream:
    """An open GET. Chunks are what the socket gave, at most 128 KiB; aiohttp stops reading ahead at about as much."""

    def __init__(self, response: aiohttp.ClientResponse, metadata: ObjectMetadata, start: int, end: int) -> None:
        self._response = response
        self.metadata = metadata
        self.start = start
        self.end = end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self.end - self.start
        try:
            async for chunk in self._response.content.iter_chunked(READ_BYTES):
                left -= len(chunk)
                if left < 0:
                    raise BackendFailedError("The backend sent more than it announced.")
                yield chunk
        except (aiohttp.ClientError, OSError) as exc:
            error = transport_error(exc)
            raise error if error is not None else exc from exc
        if left:
            raise BackendUnreachableError("The backend's answer broke off. Try again.")

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        # A response that was read to its end gave its connection back already; then this does nothing.
        self._response.close()
