"""Writing one object: in one Put Blob up to the service's limit, streamed; else in blocks.

A write is never sent twice. When its answer is lost after the whole body was handed over, the object is asked for the nonce that this
write put into its metadata: there, it was written; otherwise the outcome is unknown and said to be.

A body that is in memory travels with its MD5, which the service checks before it stores anything. Of a streamed one the MD5 is known
only behind its last byte: the service tells which it stored, and an object that was damaged on the way is taken out again.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Final

from stow.drivers.azure.backend import Backend
from stow.drivers.azure.blocks import upload_known, upload_unknown
from stow.drivers.azure.commit import settled
from stow.drivers.azure.headers import BLOCK_BLOB, attribute_headers, condition_headers, decode_md5, encode_md5
from stow.drivers.azure.objects import delete
from stow.errors import BackendFailedError, ChecksumMismatchError, LimitExceededError, StowError
from stow.storage.checksums import RunningHash, new_md5
from stow.storage.model import ObjectMetadata, WriteOptions
from stow.transport.commit import LostAnswerError, Target, commit
from stow.transport.connections import Answer
from stow.transport.cutting import Cutter
from stow.transport.faults import DIGEST
from stow.transport.headers import http_date
from stow.transport.upload import Upload, each
from stow.transport.wire import Request

SMALL_BYTES: Final = 64 * 1024
"""Up to here a body is held in memory, so that its MD5 can go in front of it."""
_log = logging.getLogger(__name__)


async def write(
    backend: Backend,
    container: str,
    key: str,
    body: AsyncIterator[bytes],
    *,
    size_bytes: int | None,
    options: WriteOptions,
) -> ObjectMetadata:
    """See ``Driver.write``."""
    if size_bytes is not None and size_bytes > backend.capabilities.max_object_bytes:
        raise LimitExceededError(
            f"An object of this backend has at most {backend.capabilities.max_object_bytes} bytes."
        )
    nonce = backend.new_nonce()
    target = Target(
        container,
        key,
        headers=attribute_headers(options.attributes, nonce),
        conditions=condition_headers(if_match=options.if_match, if_none_match=options.if_none_match),
        nonce=nonce,
    )
    if size_bytes is None:
        return await _write_unknown(backend, target, body, options)
    if size_bytes <= min(SMALL_BYTES, backend.blocks.single_bytes):
        return await put_bytes(backend, target, [chunk async for chunk in body], options)
    if size_bytes <= backend.blocks.single_bytes:
        return await put_stream(backend, target, body, size_bytes, options)
    return await settled(backend, target, options.attributes, lambda: upload_known(backend, target, body, size_bytes))


async def put_bytes(backend: Backend, target: Target, chunks: list[bytes], options: WriteOptions) -> ObjectMetadata:
    """A body that is in memory, with its MD5 as a header."""
    md5 = new_md5()
    for chunk in chunks:
        md5.update(chunk)
    size_bytes = sum(map(len, chunks))
    body: bytes | Upload = b"".join(chunks) if size_bytes <= SMALL_BYTES else Upload(each(chunks), size_bytes)
    checked = options.content_md5 if options.content_md5 is not None else md5.digest()
    return await _put(backend, target, body, size_bytes, md5, options, {"content-md5": encode_md5(checked)})


async def put_stream(
    backend: Backend, target: Target, body: AsyncIterator[bytes], size_bytes: int, options: WriteOptions
) -> ObjectMetadata:
    """A body that comes as it is sent."""
    md5 = new_md5()
    upload = Upload(_summed(body, md5), size_bytes)
    checked = {} if options.content_md5 is None else {"content-md5": encode_md5(options.content_md5)}
    return await _put(backend, target, upload, size_bytes, md5, options, checked)


async def _put(
    backend: Backend,
    target: Target,
    body: bytes | Upload,
    size_bytes: int,
    md5: RunningHash,
    options: WriteOptions,
    checked: dict[str, str],
) -> ObjectMetadata:
    headers = {**target.headers, **target.conditions, **BLOCK_BLOB, **checked}
    request = Request("PUT", target.container, target.key, headers=headers, body=body)

    async def send() -> ObjectMetadata:
        return _put_result(await commit(backend.wire, request), size_bytes)

    written = await settled(backend, target, options.attributes, send)
    if written.md5 is not None and written.md5 != md5.digest():
        await _remove_damaged(backend, target, written.etag)
        raise ChecksumMismatchError(DIGEST[1])
    return written


def _put_result(answer: Answer, size_bytes: int) -> ObjectMetadata:
    """What Put Blob says of what it stored. Raises: LostAnswerError: no ETag."""
    etag = answer.headers.get("etag", "").strip('"')
    if not etag:
        raise LostAnswerError(BackendFailedError("The backend's answer lacks an ETag.", status=answer.status))
    return ObjectMetadata(
        exists=True,
        size_bytes=size_bytes,
        etag=etag,
        last_modified=http_date(answer.headers.get("last-modified", "")),
        md5=decode_md5(answer.headers.get("content-md5")),
    )


async def _remove_damaged(backend: Backend, target: Target, etag: str) -> None:
    """It replaced the object and must not be read. Another one that is there by now stays."""
    try:
        await delete(backend, target.container, target.key, if_match=etag)
    except StowError as exc:
        # The damage is what the caller hears.
        _log.warning("A damaged object could not be removed.", extra={"cause": type(exc).__name__})


async def _write_unknown(
    backend: Backend, target: Target, body: AsyncIterator[bytes], options: WriteOptions
) -> ObjectMetadata:
    """Buffer up to the first block; a body that ends in it goes up in one Put Blob."""
    cutter = Cutter(body, new_md5())
    first_bytes = min(backend.blocks.first_block_bytes, backend.budget.total_bytes)
    await backend.budget.acquire(first_bytes)
    held = True
    try:
        first = [chunk async for chunk in cutter.take(first_bytes)]
        if await cutter.at_end():
            return await put_bytes(backend, target, first, options)

        async def send() -> ObjectMetadata:
            nonlocal held
            held = False  # upload_unknown gives the share back when the first block is sent
            return await upload_unknown(backend, target, cutter, first, first_bytes)

        return await settled(backend, target, options.attributes, send)
    finally:
        if held:
            backend.budget.release(first_bytes)


async def _summed(body: AsyncIterator[bytes], md5: RunningHash) -> AsyncIterator[bytes]:
    async for chunk in body:
        md5.update(chunk)
        yield chunk
