"""Resumable uploads: bodies of unknown size, and those that are too big for one request.

A session is begun with all attributes and conditions, takes the body in chunks one after the other, and makes the object with the last
one, whose header carries the CRC32C of the whole: Google refuses a damaged body before it replaces anything. A body of known size is
streamed in one long chunk and needs no memory but for its last 256 KiB; chunks of unknown size are buffered, out of the process's byte
budget, one at a time. On any failure the session is cancelled, shielded and with its own deadline.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from yarl import URL

from stow.drivers.google.api import RESUME
from stow.drivers.google.backend import Backend
from stow.drivers.google.endpoint import Located
from stow.drivers.google.headers import FIELDS, HASH, checksum
from stow.drivers.google.translate import answer_error
from stow.drivers.google.writing import (
    SMALL_BYTES,
    Target,
    check_size,
    put_bytes,
    put_stream,
    settled,
    target_of,
    written,
)
from stow.errors import BackendFailedError, BodyTooLongError, StowError
from stow.storage.checksums import new_crc32c
from stow.storage.model import ObjectMetadata, WriteOptions
from stow.transport.commit import commit
from stow.transport.connections import Answer
from stow.transport.cutting import Cutter
from stow.transport.faults import AnswerError
from stow.transport.upload import Upload, each

_log: Final = logging.getLogger(__name__)
GRAIN_BYTES: Final = 256 * 1024
"""Every chunk but the last is a multiple of it."""
_CANCELLED: Final = frozenset({499, 404, 410})
"""Google says "client closed request" to what was cancelled, and the others to what is gone."""
Send = Callable[[URL], Awaitable[ObjectMetadata]]
"""Sends a body in a session, whose URI it is given."""


async def write(
    backend: Backend,
    bucket: str,
    key: str,
    body: AsyncIterator[bytes],
    *,
    size_bytes: int | None,
    options: WriteOptions,
) -> ObjectMetadata:
    """See ``Driver.write``."""
    check_size(backend, size_bytes)
    target = await target_of(backend, bucket, key, options)
    attributes = options.attributes
    if size_bytes is None:
        return await _write_unknown(backend, target, body, options)
    if size_bytes <= min(SMALL_BYTES, backend.uploads.single_bytes):
        return await put_bytes(backend, target, [chunk async for chunk in body], attributes)
    if size_bytes <= backend.uploads.single_bytes:
        return await put_stream(backend, target, body, size_bytes, attributes)
    return await settled(
        backend, target, attributes, lambda: _upload_known(backend, target, Cutter(body, new_crc32c()), size_bytes)
    )


async def _upload_known(backend: Backend, target: Target, cutter: Cutter, size_bytes: int) -> ObjectMetadata:
    """All but the last bytes in one streamed chunk; the last ones with the checksum of the whole."""
    first_bytes = (size_bytes - 1) // GRAIN_BYTES * GRAIN_BYTES

    async def send(session: URL) -> ObjectMetadata:
        if first_bytes:
            await _send_chunk(backend, session, cutter.take(first_bytes), 0, first_bytes, str(size_bytes))
        last = [chunk async for chunk in cutter.take(size_bytes - first_bytes)]
        if not await cutter.at_end():  # also where the body says that the object must not come to be
            raise BodyTooLongError("The body is longer than was announced.")
        return await _finish(backend, target, session, cutter, last)

    return await _in_session(backend, target, send, size_bytes=size_bytes)


async def _write_unknown(
    backend: Backend, target: Target, body: AsyncIterator[bytes], options: WriteOptions
) -> ObjectMetadata:
    """Buffer up to the first chunk; a body that ends in it goes up in one request."""
    cutter = Cutter(body, new_crc32c())
    chunk_bytes = max(GRAIN_BYTES, min(backend.uploads.chunk_bytes, backend.budget.total_bytes))
    chunk_bytes -= chunk_bytes % GRAIN_BYTES
    async with backend.budget.share(chunk_bytes):
        first = [chunk async for chunk in cutter.take(chunk_bytes)]
        if await cutter.at_end():
            return await put_bytes(backend, target, first, options.attributes)

        async def send(session: URL) -> ObjectMetadata:
            return await _send_buffered(backend, target, session, cutter, first)

        return await settled(
            backend, target, options.attributes, lambda: _in_session(backend, target, send, size_bytes=None)
        )


async def _send_buffered(
    backend: Backend, target: Target, session: URL, cutter: Cutter, chunk: list[bytes]
) -> ObjectMetadata:
    """One chunk after the other in the share of the budget that the first one has."""
    chunk_bytes, start = sum(map(len, chunk)), 0
    while not await cutter.at_end():
        check_size(backend, cutter.taken_bytes + 1)
        end = start + chunk_bytes
        await _send_chunk(backend, session, each(chunk), start, end, "*")
        start = end
        chunk.clear()
        chunk.extend([piece async for piece in cutter.take(chunk_bytes)])
    return await _finish(backend, target, session, cutter, chunk)


async def _in_session(backend: Backend, target: Target, send: Send, *, size_bytes: int | None) -> ObjectMetadata:
    """Begin a session, send the body, cancel the session where any of that fails."""
    session = await _begun(backend, target, size_bytes)
    try:
        return await send(session)
    except BaseException:
        await _undo(backend, session)
        raise


async def _begun(backend: Backend, target: Target, size_bytes: int | None) -> URL:
    """The session's URI, which is a credential of its own.

    Raises:
        BackendFailedError: there is none, or it leads to another host.
    """
    headers = {
        "content-type": "application/json; charset=UTF-8",
        "x-upload-content-type": str(target.resource["contentType"]),
    }
    if size_bytes is not None:
        headers["x-upload-content-length"] = str(size_bytes)
    request = Located(
        "POST",
        url=backend.endpoint.uploads(target.bucket),
        query=[("uploadType", "resumable"), ("fields", FIELDS), *target.conditions],
        headers=headers,
        body=json.dumps(target.resource).encode(),
    )
    try:
        answer = await backend.wire.call(request)
    except AnswerError as exc:
        if exc.status >= 500:
            raise answer_error(exc) from exc  # nothing is unknown: no object comes of a beginning
        raise
    try:
        session = URL(answer.headers.get("location", ""), encoded=True)
        ours = session.origin() == backend.endpoint.base
    except ValueError:
        ours = False
    if not ours:
        raise BackendFailedError("The backend begins an upload at another place, which is never followed.")
    return session


async def _send_chunk(
    backend: Backend, session: URL, body: AsyncIterator[bytes], start: int, end: int, total: str
) -> None:
    """The bytes ``[start, end)``.

    Raises:
        AnswerError, StowError: the chunk is not there, or not all of it.
    """
    headers = {"content-range": f"bytes {start}-{end - 1}/{total}"}
    try:
        answer = await backend.wire.exchange(
            Located("PUT", url=session, headers=headers, body=Upload(body, end - start))
        )
    except AnswerError as exc:
        if exc.status == RESUME and exc.size_bytes == end:
            return
        if exc.status == RESUME:
            raise BackendFailedError("The backend did not keep all of a chunk. Send the object again.") from exc
        if exc.status >= 500:
            raise answer_error(exc) from exc  # no object comes of a chunk that is not the last, so nothing is unknown
        raise
    raise BackendFailedError("The backend ended an upload before its last chunk.", status=answer.status)


async def _finish(backend: Backend, target: Target, session: URL, cutter: Cutter, chunk: list[bytes]) -> ObjectMetadata:
    size_bytes, crc32c = cutter.taken_bytes, cutter.summed.digest()
    length = sum(map(len, chunk))
    headers = {
        "content-range": f"bytes {size_bytes - length}-{size_bytes - 1}/{size_bytes}",
        HASH: f"crc32c={checksum(crc32c)}",
    }
    request = Located("PUT", url=session, headers=headers, body=Upload(each(chunk), length))
    try:
        answer: Answer = await commit(backend.wire, request)
    except AnswerError as exc:
        if exc.status == RESUME:  # no redirect: not all of the chunk was kept, so there is no object
            raise BackendFailedError("The backend did not keep all of a chunk. Send the object again.") from exc
        raise
    return await written(backend, target, answer, size_bytes, crc32c)


async def _undo(backend: Backend, session: URL) -> None:
    """Cancel the session; waits for it, unless the caller is cancelled: then it goes on by itself."""
    task = asyncio.create_task(_cancel(backend, session))
    backend.undoing.add(task)
    task.add_done_callback(backend.undoing.discard)
    await asyncio.shield(task)


async def _cancel(backend: Backend, session: URL) -> None:
    try:
        async with asyncio.timeout(backend.wire.deadlines.abort_s):
            await backend.wire.call(Located("DELETE", url=session, headers={"content-length": "0"}))
    except AnswerError as exc:
        if exc.status not in _CANCELLED:
            _log.warning(
                "An upload could not be cancelled; Google drops it after a week.", extra={"status": exc.status}
            )
    except (StowError, TimeoutError):
        _log.warning("An upload could not be cancelled; Google drops it after a week.")
