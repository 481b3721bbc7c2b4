"""An open GET as a stream that is pinned to one version: checked against what was asked for, and cut short only with an error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import aiohttp

from stow.errors import BackendFailedError, BackendUnreachableError, RangeNotSatisfiableError
from stow.storage.model import ByteRange, ObjectMetadata
from stow.transport.faults import transport_error
from stow.transport.headers import content_range

READ_BYTES: Final = 128 * 1024
"""The most that a chunk of a read has."""

Described = Callable[[Mapping[str, str], int | None], ObjectMetadata]
"""Gives what headers say of an object; the second argument is its size where Content-Length is that of a range."""


class Stream:
    """Chunks are what the socket gave, at most 128 KiB; aiohttp stops reading ahead at about as much."""

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


def opened(response: aiohttp.ClientResponse, byte_range: ByteRange | None, described: Described) -> Stream:
    """The stream of a 200 or 206; the response is closed where this raises.

    Raises:
        RangeNotSatisfiableError: no byte of the object is in the range.
        BackendFailedError: another range than was asked for, or headers that make no sense.
    """
    try:
        return _opened(response, byte_range, described)
    except BaseException:
        response.close()
        raise


def _opened(response: aiohttp.ClientResponse, byte_range: ByteRange | None, described: Described) -> Stream:
    if response.status == 206 and response.headers.get("content-length") == "0":
        # MinIO's answer to a suffix range of an empty object: a 206 of nothing, with a Content-Range that is none.
        raise RangeNotSatisfiableError("No byte of the object is in the range.", size_bytes=0)
    if response.status != 206:
        metadata = described(response.headers, None)
        served = (0, metadata.size_bytes)
    else:
        found = content_range(response.headers)
        metadata = described(response.headers, found.size_bytes)
        served = (found.start, found.end)
    wanted = (0, metadata.size_bytes) if byte_range is None else byte_range.resolve(metadata.size_bytes)
    if wanted is None:
        raise RangeNotSatisfiableError("No byte of the object is in the range.", size_bytes=metadata.size_bytes)
    if served != wanted or response.headers.get("content-length") != str(served[1] - served[0]):
        raise BackendFailedError("The backend serves another range than was asked for.", status=response.status)
    return Stream(response, metadata, *served)
