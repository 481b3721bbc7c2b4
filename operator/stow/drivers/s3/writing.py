"""Writing one object: in one PUT where the size is known and moderate, else as a multipart upload.

A write is never sent twice. When its answer is lost after the whole body was handed over, the object is asked for the nonce that this
write put into its metadata: there, it was written; otherwise the outcome is unknown and said to be.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Final

from stow.drivers.s3.backend import Backend
from stow.drivers.s3.commit import settled, trailer_headers
from stow.drivers.s3.framing import framed, framed_bytes
from stow.drivers.s3.headers import CHECKSUM, attribute_headers, checksum_header, condition_headers, md5_of_etag
from stow.drivers.s3.multipart import upload_known, upload_unknown
from stow.drivers.s3.objects import head
from stow.drivers.s3.sigv4 import STREAMING_TRAILER
from stow.errors import (
    BackendFailedError,
    LimitExceededError,
    NotFoundError,
    PreconditionFailedError,
    UnsupportedError,
)
from stow.storage.checksums import RunningHash, new_crc32c, new_md5
from stow.storage.model import ObjectMetadata, WriteOptions
from stow.transport.commit import LostAnswerError, Target, commit
from stow.transport.connections import Answer
from stow.transport.cutting import Cutter
from stow.transport.upload import Upload, each
from stow.transport.wire import Request

SMALL_BYTES: Final = 64 * 1024
"""Up to here a body is held in memory and carries its checksum as a header: one request without a trailer."""


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
    capabilities = backend.traits.capabilities
    if size_bytes is not None and size_bytes > capabilities.max_object_bytes:
        raise LimitExceededError(f"An object of this backend has at most {capabilities.max_object_bytes} bytes.")
    nonce = backend.new_nonce()
    headers = attribute_headers(options.attributes, nonce, overhead_bytes=capabilities.metadata_overhead_bytes)
    conditions = await conditions_for(
        backend, bucket, key, if_match=options.if_match, if_none_match=options.if_none_match
    )
    target = Target(bucket, key, headers=headers, conditions=conditions, nonce=nonce)
    if size_bytes is None:
        return await _write_unknown(backend, target, body, options)
    single_bytes = _single_limit(backend, conditional=bool(conditions))
    if size_bytes <= min(SMALL_BYTES, single_bytes):
        return await put_bytes(backend, target, [chunk async for chunk in body], options)
    if size_bytes <= single_bytes:
        return await _put_stream(backend, target, body, size_bytes, options)
    check_conditional_complete(backend, target)
    return await settled(backend, target, options.attributes, lambda: upload_known(backend, target, body, size_bytes))


async def conditions_for(
    backend: Backend, bucket: str, key: str, *, if_match: str | None, if_none_match: bool
) -> dict[str, str]:
    """The headers of a write's condition, where the dialect has it.

    Raises:
        UnsupportedError: it has not.
        PreconditionFailedError: ``if_match="*"`` and there is no object.
    """
    capabilities = backend.traits.capabilities
    if (if_none_match and not capabilities.create_once) or (if_match is not None and not capabilities.write_if_match):
        raise UnsupportedError("This backend has no such conditional write.")
    if if_match == "*" and not backend.traits.match_any:
        # The dialect has no `*`: pin the version that is there now. Who replaces it meanwhile makes this write fail, never lose.
        try:
            if_match = (await head(backend, bucket, key)).etag
        except NotFoundError as exc:
            raise PreconditionFailedError("The object does not exist.", status=exc.status) from exc
    return condition_headers(if_match=if_match, if_none_match=if_none_match)


async def put_bytes(backend: Backend, target: Target, chunks: list[bytes], options: WriteOptions) -> ObjectMetadata:
    """A body that is in memory, with its checksum as a header."""
    headers = {**target.headers, **target.conditions}
    crc32c = new_crc32c()
    md5 = new_md5()
    for chunk in chunks:
        crc32c.update(chunk)
    if backend.traits.checksums:
        headers[CHECKSUM] = checksum_header(crc32c.digest())
    elif options.content_md5 is None and backend.traits.capabilities.content_md5:
        for chunk in chunks:
            md5.update(chunk)
        headers["content-md5"] = base64.b64encode(md5.digest()).decode()
    if options.content_md5 is not None:
        headers["content-md5"] = base64.b64encode(options.content_md5).decode()
    size_bytes = sum(map(len, chunks))
    body: bytes | Upload = b"".join(chunks) if size_bytes <= SMALL_BYTES else Upload(each(chunks), size_bytes)
    request = Request("PUT", target.container, target.key, headers=headers, body=body)

    async def send() -> ObjectMetadata:
        return _put_result(backend, await commit(backend.wire, request), size_bytes, crc32c.digest())

    return await settled(backend, target, options.attributes, send)


async def _put_stream(
    backend: Backend, target: Target, body: AsyncIterator[bytes], size_bytes: int, options: WriteOptions
) -> ObjectMetadata:
    headers = {**target.headers, **target.conditions}
    crc32c = new_crc32c()
    payload = None
    if options.content_md5 is not None:
        headers["content-md5"] = base64.b64encode(options.content_md5).decode()
        upload = Upload(_summed(body, crc32c), size_bytes)
    elif backend.traits.checksums:
        headers |= trailer_headers(headers, size_bytes)
        payload = STREAMING_TRAILER
        upload = Upload(framed(body, crc32c), framed_bytes(size_bytes))
    else:
        upload = Upload(_summed(body, crc32c), size_bytes)
    request = Request("PUT", target.container, target.key, headers=headers, body=upload, payload=payload)

    async def send() -> ObjectMetadata:
        return _put_result(backend, await commit(backend.wire, request), size_bytes, crc32c.digest())

    return await settled(backend, target, options.attributes, send)


def _put_result(backend: Backend, answer: Answer, size_bytes: int, crc32c: bytes) -> ObjectMetadata:
    etag = answer.headers.get("etag", "").strip('"')
    if not etag:
        raise LostAnswerError(BackendFailedError("The backend's answer lacks an ETag.", status=answer.status))
    return ObjectMetadata(
        exists=True,
        size_bytes=size_bytes,
        etag=etag,
        md5=md5_of_etag(etag, answer.headers, backend.traits),
        crc32c=crc32c,
    )


async def _write_unknown(
    backend: Backend, target: Target, body: AsyncIterator[bytes], options: WriteOptions
) -> ObjectMetadata:
    """Buffer up to the first part; a body that ends in it goes up in one PUT."""
    cutter = Cutter(body, new_crc32c())
    first_bytes = min(backend.multipart.first_part_bytes, backend.budget.total_bytes)
    await backend.budget.acquire(first_bytes)
    held = True
    try:
        first = [chunk async for chunk in cutter.take(first_bytes)]
        if await cutter.at_end():
            return await put_bytes(backend, target, first, options)
        check_conditional_complete(backend, target)
        held = False  # upload_unknown gives the share back when the first part is sent

        async def send() -> ObjectMetadata:
            return await upload_unknown(backend, target, cutter, first, first_bytes)

        return await settled(backend, target, options.attributes, send)
    finally:
        if held:
            backend.budget.release(first_bytes)


def _single_limit(backend: Backend, *, conditional: bool) -> int:
    if conditional and not backend.traits.conditional_complete:
        return backend.traits.capabilities.max_single_write_bytes
    return min(backend.multipart.threshold_bytes, backend.traits.capabilities.max_single_write_bytes)


def check_conditional_complete(backend: Backend, target: Target) -> None:
    if target.conditions and not backend.traits.conditional_complete:
        raise UnsupportedError(
            "This backend has conditions only for writes in one piece: announce the size, of at most "
            f"{backend.traits.capabilities.max_single_write_bytes} bytes."
        )


async def _summed(body: AsyncIterator[bytes], crc32c: RunningHash) -> AsyncIterator[bytes]:
    async for chunk in body:
        crc32c.update(chunk)
        yield chunk
