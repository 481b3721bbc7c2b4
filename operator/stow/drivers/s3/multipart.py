"""Multipart uploads: parts, completion, and undoing what failed.

Invariants: nothing is visible before CompleteMultipartUpload, which carries the write's condition and the checksum of the whole; a 200
counts only after its body parsed as success; on any failure or cancellation the upload is aborted, shielded and with its own deadline.
Parts of a body of known size are streamed one after the other and need no memory; those of a body of unknown size are buffered, and the
buffers of all uploads of the process come out of one byte budget. Who waits for the budget holds only parts that are being sent, which
need nothing more from it: so there is no deadlock.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from xml.sax.saxutils import escape

from stow.drivers.s3.answers import etag_of, key_decoder
from stow.drivers.s3.backend import Backend
from stow.drivers.s3.commit import trailer_headers
from stow.drivers.s3.framing import framed, framed_bytes
from stow.drivers.s3.headers import CHECKSUM, checksum_header
from stow.drivers.s3.sigv4 import STREAMING_TRAILER
from stow.drivers.s3.translate import answer_error
from stow.errors import BackendError, BackendFailedError, BodyTooLongError, LimitExceededError, StowError
from stow.storage.checksums import new_crc32c, new_md5
from stow.storage.model import ObjectMetadata
from stow.transport.buffering import send_buffered
from stow.transport.commit import LostAnswerError, Target, commit
from stow.transport.connections import Answer
from stow.transport.cutting import Cutter, even_part_bytes, growing_part_bytes
from stow.transport.faults import AnswerError
from stow.transport.headers import quoted
from stow.transport.upload import Upload, each
from stow.transport.wire import Request
from stow.transport.xml import error_code, expect, parse, timestamp

_log: Final = logging.getLogger(__name__)

_CREATE_GRACE_S = 0.9
"""For the answer to a create whose caller has left: a client that goes away is seen at the backend within a second."""
_PART_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Part:
    """A part that is stored."""

    number: int
    etag: str
    crc32c: str | None


SendParts = Callable[[str], Awaitable[tuple[list[Part], ObjectMetadata]]]
"""Sends all parts of the upload with that id; gives them and what is known of the whole (size, crc32c)."""


async def upload_known(backend: Backend, target: Target, body: AsyncIterator[bytes], size_bytes: int) -> ObjectMetadata:
    """A body of known size, in even parts that are streamed in turn. Errors of ``commit.settled``'s sender."""
    settings = backend.multipart
    part_bytes = even_part_bytes(size_bytes, wanted_bytes=settings.streamed_part_bytes, max_parts=settings.max_parts)
    cutter = Cutter(body, new_crc32c())

    async def send(upload_id: str) -> tuple[list[Part], ObjectMetadata]:
        parts = []
        for number, start in enumerate(range(0, size_bytes, part_bytes), start=1):
            length = min(part_bytes, size_bytes - start)
            parts.append(await _stream_part(backend, target, upload_id, number, cutter.take(length), length))
        if not await cutter.at_end():  # also where the body says that the object must not come to be
            raise BodyTooLongError("The body is longer than was announced.")
        return parts, _whole(cutter)

    return await run_upload(backend, target, send)


async def upload_unknown(
    backend: Backend, target: Target, cutter: Cutter, first: list[bytes], first_bytes: int
) -> ObjectMetadata:
    """A body of unknown size, whose first part is in memory with its share of the budget, which is given back here."""
    held = [first_bytes]

    async def send(upload_id: str) -> tuple[list[Part], ObjectMetadata]:
        held.clear()  # the task of the first part gives it back now
        return await _send_buffered(backend, target, upload_id, cutter, first, first_bytes)

    try:
        return await run_upload(backend, target, send)
    finally:
        for size_bytes in held:
            backend.budget.release(size_bytes)


async def run_upload(backend: Backend, target: Target, send: SendParts, *, checksums: bool = True) -> ObjectMetadata:
    """Create the upload, send its parts, complete it; abort it where any of that fails. ``checksums``: parts carry CRC32C."""
    upload_id = await _created(backend, target, checksums=checksums and backend.traits.checksums)
    try:
        parts, whole = await send(upload_id)
        etag = await _complete(backend, target, upload_id, parts, whole)
    except BaseException:
        await _undo(backend, target.container, target.key, upload_id)
        raise
    return ObjectMetadata(exists=True, size_bytes=whole.size_bytes, etag=etag, crc32c=whole.crc32c)


async def _send_buffered(
    backend: Backend, target: Target, upload_id: str, cutter: Cutter, first: list[bytes], first_bytes: int
) -> tuple[list[Part], ObjectMetadata]:
    parts = await send_buffered(
        cutter,
        first,
        first_bytes,
        budget=backend.budget,
        at_once=backend.multipart.concurrency,
        part_bytes=lambda number: _next_part_bytes(backend, number, first_bytes),
        send=lambda number, chunks: _buffered_part(backend, target, upload_id, number, chunks),
    )
    return parts, _whole(cutter)


def _next_part_bytes(backend: Backend, number: int, first_bytes: int) -> int:
    settings = backend.multipart
    if number > settings.max_parts:
        raise LimitExceededError("The body has more parts than the backend takes. Announce its size.")
    if backend.traits.uniform_parts:
        return first_bytes
    return growing_part_bytes(
        number, first_bytes=first_bytes, max_parts=settings.max_parts, ceiling_bytes=backend.budget.total_bytes
    )


async def _buffered_part(backend: Backend, target: Target, upload_id: str, number: int, chunks: list[bytes]) -> Part:
    """A part that is in memory; sending it again replaces it, so a few attempts are safe."""
    crc32c = new_crc32c()
    for chunk in chunks:
        crc32c.update(chunk)
    size_bytes = sum(map(len, chunks))
    headers: dict[str, str] = {}
    if backend.traits.checksums:
        headers[CHECKSUM] = checksum_header(crc32c.digest())
    else:
        md5 = new_md5()
        for chunk in chunks:
            md5.update(chunk)
        headers["content-md5"] = base64.b64encode(md5.digest()).decode()
    for attempt in range(1, _PART_ATTEMPTS + 1):
        request = _part_request(target, upload_id, number, headers=headers, body=Upload(each(chunks), size_bytes))
        try:
            return _part(await backend.wire.exchange(request), number, checksum_header(crc32c.digest()))
        except (AnswerError, BackendError) as exc:
            error = answer_error(exc) if isinstance(exc, AnswerError) else exc
            if not error.retryable or attempt == _PART_ATTEMPTS:
                raise error from exc
        await backend.wire.pause_before_repeating(attempt)
    raise AssertionError("the loop above returns or raises")


async def _stream_part(
    backend: Backend, target: Target, upload_id: str, number: int, body: AsyncIterator[bytes], size_bytes: int
) -> Part:
    crc32c = new_crc32c()
    if backend.traits.checksums:
        upload = Upload(framed(body, crc32c), framed_bytes(size_bytes))
        headers, payload = trailer_headers({}, size_bytes), STREAMING_TRAILER
    else:
        upload, headers, payload = Upload(body, size_bytes), {}, None
    request = _part_request(target, upload_id, number, headers=headers, body=upload, payload=payload)
    try:
        answer = await backend.wire.exchange(request)
    except AnswerError as exc:
        raise answer_error(exc) from exc
    return _part(answer, number, checksum_header(crc32c.digest()) if backend.traits.checksums else None)


def _part_request(
    target: Target,
    upload_id: str,
    number: int,
    *,
    headers: Mapping[str, str],
    body: bytes | Upload,
    payload: str | None = None,
) -> Request:
    query = [("partNumber", str(number)), ("uploadId", upload_id)]
    return Request("PUT", target.container, target.key, query=query, headers=headers, body=body, payload=payload)


def _part(answer: Answer, number: int, crc32c: str | None) -> Part:
    etag = answer.headers.get("etag", "").strip('"')
    if not etag:
        raise BackendFailedError("The backend's answer lacks an ETag.", status=answer.status)
    return Part(number, etag, crc32c)


def _whole(cutter: Cutter) -> ObjectMetadata:
    return ObjectMetadata(exists=True, size_bytes=cutter.taken_bytes, crc32c=cutter.summed.digest())


async def _created(backend: Backend, target: Target, *, checksums: bool) -> str:
    """The new upload's id. A caller that is cancelled meanwhile leaves at once; an upload that comes to be all the same is aborted."""
    creating = asyncio.create_task(_create(backend, target, checksums=checksums))
    try:
        return await asyncio.shield(creating)
    except asyncio.CancelledError:
        undoing = asyncio.create_task(_undo_created(backend, target, creating))
        backend.undoing.add(undoing)
        undoing.add_done_callback(backend.undoing.discard)
        raise


async def _undo_created(backend: Backend, target: Target, creating: asyncio.Task[str]) -> None:
    try:
        async with asyncio.timeout(_CREATE_GRACE_S):
            upload_id = await creating
    except (StowError, TimeoutError):
        return  # there is none, or nobody will ever know its id: that one is for the sweep
    await _abort(backend, target.container, target.key, upload_id)


async def _create(backend: Backend, target: Target, *, checksums: bool) -> str:
    headers = dict(target.headers)
    if checksums:
        headers |= {"x-amz-checksum-algorithm": "CRC32C", "x-amz-checksum-type": "FULL_OBJECT"}
    try:
        answer = await backend.wire.call(
            Request("POST", target.container, target.key, query=[("uploads", "")], headers=headers)
        )
    except AnswerError as exc:
        raise answer_error(exc) from exc
    upload_id = expect(parse(answer.body), "InitiateMultipartUploadResult").get("UploadId")
    if not upload_id:
        raise BackendFailedError("The backend's answer lacks an upload id.")
    return upload_id


async def _complete(backend: Backend, target: Target, upload_id: str, parts: list[Part], whole: ObjectMetadata) -> str:
    headers = {**target.conditions, "content-type": "application/xml"}
    if backend.traits.checksums and whole.crc32c is not None:
        headers |= {
            CHECKSUM: base64.b64encode(whole.crc32c).decode(),
            "x-amz-checksum-type": "FULL_OBJECT",
            "x-amz-mp-object-size": str(whole.size_bytes),
        }
    listed = "".join(_part_xml(part) for part in parts)
    body = (
        f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{listed}</CompleteMultipartUpload>'
    )
    answer = await commit(
        backend.wire,
        Request(
            "POST", target.container, target.key, query=[("uploadId", upload_id)], headers=headers, body=body.encode()
        ),
    )
    return committed_etag(answer, "CompleteMultipartUploadResult")


def committed_etag(answer: Answer, result: str) -> str:
    """The ETag of a 200 whose body is the expected result. S3 may answer 200 and then fail: then the body is an ``<Error>``.

    Raises:
        AnswerError: the body is an error; what it says counts, and without a known code it is a 500.
        LostAnswerError: the body makes no sense, so nobody knows.
    """
    code = error_code(answer.body)
    if code is not None:
        raise AnswerError(status=500, code=code)
    try:
        return etag_of(answer.body, result)
    except BackendFailedError as exc:
        raise LostAnswerError(exc) from exc


def _part_xml(part: Part) -> str:
    checksum = "" if part.crc32c is None else f"<ChecksumCRC32C>{part.crc32c}</ChecksumCRC32C>"
    return f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(quoted(part.etag))}</ETag>{checksum}</Part>"


async def _undo(backend: Backend, bucket: str, key: str, upload_id: str) -> None:
    """Abort, to its end even when the caller is cancelled meanwhile."""
    task = asyncio.create_task(_abort(backend, bucket, key, upload_id))
    backend.undoing.add(task)
    task.add_done_callback(backend.undoing.discard)
    await asyncio.shield(task)


async def _abort(backend: Backend, bucket: str, key: str, upload_id: str) -> None:
    try:
        async with asyncio.timeout(backend.wire.deadlines.abort_s):
            await abort(backend, bucket, key, upload_id)
    except (StowError, TimeoutError) as exc:
        # The upload's own failure is what the caller hears; the parts stay until somebody sweeps.
        _log.warning(
            "An upload could not be aborted; sweeping will find it.",
            extra={"container": bucket, "cause": type(exc).__name__},
        )


async def abort(backend: Backend, bucket: str, key: str, upload_id: str) -> None:
    """Abort one upload; already gone is success."""
    try:
        await backend.wire.call(Request("DELETE", bucket, key, query=[("uploadId", upload_id)]))
    except AnswerError as exc:
        if exc.status != 404:
            raise answer_error(exc) from exc


async def sweep(backend: Backend, bucket: str, older_than: timedelta) -> int:
    """Abort the uploads of a container that began longer ago than that; gives their number."""
    latest = backend.clock() - older_than
    swept = 0
    marker: list[tuple[str, str]] = []
    while True:
        query = [("uploads", ""), ("encoding-type", "url"), *marker]
        try:
            answer = await backend.wire.call(Request("GET", bucket, query=query))
        except AnswerError as exc:
            raise answer_error(exc, container_only=True) from exc
        page = expect(parse(answer.body), "ListMultipartUploadsResult")
        decoded = key_decoder(page)
        for upload in page.all("Upload"):
            initiated = timestamp(upload.get("Initiated"))
            if initiated is not None and initiated <= latest:
                await abort(backend, bucket, decoded(upload.get("Key")), upload.get("UploadId"))
                swept += 1
        following = [
            ("key-marker", decoded(page.get("NextKeyMarker"))),
            ("upload-id-marker", page.get("NextUploadIdMarker")),
        ]
        if page.get("IsTruncated") != "true" or following == marker:
            return swept
        marker = following
