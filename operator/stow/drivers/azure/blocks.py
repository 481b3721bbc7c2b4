"""Writes in blocks: Put Block for each, and one Put Block List, which makes them the object.

Invariants: nothing is visible before the list, which carries the write's condition, attributes and MD5. A write that fails leaves blocks
that no list names; the service collects them after a week, or with the next write of the same key, and there is no request that deletes
them. The names of a write's blocks share a random beginning, so that two writers of one key never mix. Blocks of a body of known size are
streamed one after the other and need no memory; those of a body of unknown size are buffered, each with its MD5.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from stow.drivers.azure.backend import Backend
from stow.drivers.azure.headers import decode_md5, encode_md5
from stow.drivers.azure.translate import answer_error
from stow.errors import BackendError, BodyTooLongError, ChecksumMismatchError, LimitExceededError
from stow.storage.checksums import new_md5
from stow.storage.model import ObjectMetadata
from stow.transport.buffering import send_buffered
from stow.transport.commit import LostAnswerError, Target, commit
from stow.transport.cutting import Cutter, even_part_bytes, growing_part_bytes
from stow.transport.faults import DIGEST, AnswerError
from stow.transport.headers import http_date
from stow.transport.upload import Upload, each
from stow.transport.wire import Request

_BLOCK_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Whole:
    """What the blocks come to."""

    size_bytes: int
    md5: bytes | None


def block_id(target: Target, number: int) -> str:
    """All of one length, as the service wants it."""
    return base64.b64encode(f"{target.nonce}-{number:05d}".encode()).decode()


async def upload_known(backend: Backend, target: Target, body: AsyncIterator[bytes], size_bytes: int) -> ObjectMetadata:
    """A body of known size, in even blocks that are streamed in turn. Errors of ``commit.settled``'s sender."""
    settings = backend.blocks
    wanted = min(settings.streamed_block_bytes, settings.max_block_bytes)
    block_bytes = even_part_bytes(size_bytes, wanted_bytes=wanted, max_parts=settings.max_blocks)
    cutter = Cutter(body, new_md5())
    number = 0
    for number, start in enumerate(range(0, size_bytes, block_bytes), start=1):
        length = min(block_bytes, size_bytes - start)
        await _stream_block(backend, target, number, cutter.take(length), length)
    if not await cutter.at_end():  # also where the body says that the object must not come to be
        raise BodyTooLongError("The body is longer than was announced.")
    return await put_list(backend, target, number, Whole(cutter.taken_bytes, cutter.summed.digest()))


async def upload_unknown(
    backend: Backend, target: Target, cutter: Cutter, first: list[bytes], first_bytes: int
) -> ObjectMetadata:
    """A body of unknown size, whose first block is in memory with its share of the budget, which is given back here."""
    sent = await send_buffered(
        cutter,
        first,
        first_bytes,
        budget=backend.budget,
        at_once=backend.blocks.concurrency,
        part_bytes=lambda number: _next_block_bytes(backend, number, first_bytes),
        send=lambda number, chunks: _buffered_block(backend, target, number, chunks),
    )
    return await put_list(backend, target, len(sent), Whole(cutter.taken_bytes, cutter.summed.digest()))


async def put_list(backend: Backend, target: Target, blocks: int, whole: Whole) -> ObjectMetadata:
    """Make the blocks the object."""
    headers = {**target.headers, **target.conditions, "content-type": "application/xml"}
    if whole.md5 is not None:
        headers["x-ms-blob-content-md5"] = encode_md5(whole.md5)
    listed = "".join(f"<Latest>{block_id(target, number)}</Latest>" for number in range(1, blocks + 1))
    body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
    request = Request("PUT", target.container, target.key, query=[("comp", "blocklist")], headers=headers, body=body)
    answer = await commit(backend.wire, request)
    etag = answer.headers.get("etag", "").strip('"')
    if not etag:
        raise LostAnswerError(BackendError("The backend's answer lacks an ETag.", status=answer.status))
    return ObjectMetadata(
        exists=True,
        size_bytes=whole.size_bytes,
        etag=etag,
        last_modified=http_date(answer.headers.get("last-modified", "")),
        md5=whole.md5,
    )


def _next_block_bytes(backend: Backend, number: int, first_bytes: int) -> int:
    settings = backend.blocks
    if number > settings.max_blocks:
        raise LimitExceededError("The body has more blocks than the backend takes. Announce its size.")
    return growing_part_bytes(
        number,
        first_bytes=first_bytes,
        max_parts=settings.max_blocks,
        ceiling_bytes=min(settings.max_block_bytes, backend.budget.total_bytes),
    )


async def _buffered_block(backend: Backend, target: Target, number: int, chunks: list[bytes]) -> None:
    """A block that is in memory."""
    md5 = new_md5()
    for chunk in chunks:
        md5.update(chunk)
    headers = {"content-md5": encode_md5(md5.digest())}
    size_bytes = sum(map(len, chunks))

    async def send() -> None:
        await backend.wire.exchange(
            block_request(target, number, headers=headers, body=Upload(each(chunks), size_bytes))
        )

    await repeating(backend, send)


async def repeating(backend: Backend, send: Callable[[], Awaitable[None]]) -> None:
    """Send a block that can be sent anew. Sending it again replaces it, so a few attempts are safe."""
    for attempt in range(1, _BLOCK_ATTEMPTS + 1):
        try:
            await send()
            return
        except (AnswerError, BackendError) as exc:
            error = answer_error(exc) if isinstance(exc, AnswerError) else exc
            renewed = isinstance(exc, AnswerError) and await backend.wire.renewed(exc)
            if attempt == _BLOCK_ATTEMPTS or not (error.retryable or renewed):
                raise error from exc
        await backend.wire.pause_before_repeating(attempt)


async def _stream_block(
    backend: Backend, target: Target, number: int, body: AsyncIterator[bytes], size_bytes: int
) -> None:
    md5 = new_md5()

    async def summed() -> AsyncIterator[bytes]:
        async for chunk in body:
            md5.update(chunk)
            yield chunk

    try:
        answer = await backend.wire.exchange(
            block_request(target, number, headers={}, body=Upload(summed(), size_bytes))
        )
    except AnswerError as exc:
        raise answer_error(exc) from exc
    stored = decode_md5(answer.headers.get("content-md5"))
    if stored is not None and stored != md5.digest():
        raise ChecksumMismatchError(DIGEST[1])


def block_request(target: Target, number: int, *, headers: Mapping[str, str], body: bytes | Upload) -> Request:
    query = [("comp", "block"), ("blockid", block_id(target, number))]
    return Request("PUT", target.container, target.key, query=query, headers=headers, body=body)
