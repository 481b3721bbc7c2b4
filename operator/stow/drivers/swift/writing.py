"""Writing one object: always one PUT, in chunks where its size is not known. A body that is cut off leaves no object.

A write is never sent twice. When its answer is lost after the whole body was handed over, the object is asked for the nonce that this
write put into its metadata: there, it was written; otherwise the outcome is unknown and said to be.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from stow.drivers.swift.backend import Backend
from stow.drivers.swift.headers import attribute_headers, md5_of, nonce_of, object_metadata, typed, version
from stow.drivers.swift.objects import head_answer
from stow.drivers.swift.translate import answer_error, may_have_happened
from stow.errors import BackendFailedError, ChecksumMismatchError, LimitExceededError, StowError, UnsupportedError
from stow.storage.checksums import RunningHash, new_md5
from stow.storage.model import ObjectAttributes, ObjectMetadata, WriteOptions
from stow.transport import commit as committing
from stow.transport.commit import LostAnswerError, Settling, commit
from stow.transport.connections import Answer
from stow.transport.faults import DIGEST, AnswerError
from stow.transport.headers import etag_of, http_date
from stow.transport.upload import Upload
from stow.transport.wire import Request

SMALL_BYTES: Final = 64 * 1024
"""Up to here a body is held in memory and goes up with its MD5, which Swift verifies before the object is there."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be written where. ``headers`` are those of the object's attributes, the nonce among them."""

    container: str
    key: str
    headers: Mapping[str, str]
    nonce: str


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
    limit = backend.traits.capabilities.max_object_bytes
    if size_bytes is not None and size_bytes > limit:
        raise LimitExceededError(f"An object of this backend has at most {limit} bytes.")
    check_unconditional(if_match=options.if_match, if_none_match=options.if_none_match)
    nonce, attributes = backend.new_nonce(), typed(options.attributes)
    target = Target(container, key, headers=attribute_headers(attributes, nonce), nonce=nonce)
    headers = dict(target.headers)
    if options.content_md5 is not None:
        headers["etag"] = options.content_md5.hex()
    body = aiter(body)
    held: list[bytes] = []
    if size_bytes is None or size_bytes <= SMALL_BYTES:
        held = await _beginning(body)
    md5 = new_md5()
    sent = _Sent(md5)
    if sum(map(len, held)) <= SMALL_BYTES and (size_bytes is None or size_bytes <= SMALL_BYTES):
        whole = b"".join(held)
        sent.count(whole)
        headers["etag"] = md5.digest().hex()
        request = Request("PUT", container, key, headers=headers, body=whole)
    else:
        upload = Upload(_counted(held, body, sent), size_bytes)
        request = Request("PUT", container, key, headers=headers, body=upload)

    async def send() -> ObjectMetadata:
        return stored(await commit(backend.wire, request), sent.size_bytes)

    written = await settled(backend, target, attributes, send)
    if written.md5 is not None and written.md5 != md5.digest():
        await _remove_damaged(backend, target)
        raise ChecksumMismatchError(DIGEST[1])
    return written


def check_unconditional(*, if_match: str | None, if_none_match: bool) -> None:
    """Raises:
    UnsupportedError: the write has a condition.
    """
    if if_match is not None or if_none_match:
        raise UnsupportedError("This backend has no conditional write.")


async def settled(
    backend: Backend, target: Target, attributes: ObjectAttributes, send: Callable[[], Awaitable[ObjectMetadata]]
) -> ObjectMetadata:
    """See :func:`stow.transport.commit.settled`."""

    async def look() -> tuple[str | None, ObjectMetadata]:
        headers = (await head_answer(backend, target.container, target.key, newest=True)).headers
        return nonce_of(headers), object_metadata(headers)

    settling = Settling(
        nonce=target.nonce,
        look=look,
        judge=lambda answer: answer_error(answer, container_only=True),
        may_have_happened=may_have_happened,
    )
    return await committing.settled(settling, attributes, send)


def stored(answer: Answer, size_bytes: int) -> ObjectMetadata:
    """What the answer of a PUT says about the object.

    Raises:
        LostAnswerError: it lacks what every such answer has.
    """
    try:
        etag = etag_of(answer.headers)
        modified = http_date(answer.headers.get("last-modified", ""))
        return ObjectMetadata(
            exists=True,
            size_bytes=size_bytes,
            etag=version(etag, modified),
            last_modified=modified,
            md5=md5_of(etag, answer.headers),
        )
    except BackendFailedError as exc:
        raise LostAnswerError(exc) from exc


class _Sent:
    """What went out."""

    def __init__(self, md5: RunningHash) -> None:
        self.size_bytes = 0
        self.md5 = md5

    def count(self, chunk: bytes) -> None:
        self.size_bytes += len(chunk)
        self.md5.update(chunk)


async def _beginning(body: AsyncIterator[bytes]) -> list[bytes]:
    """Chunks up to the end, or until they are more than is held."""
    held: list[bytes] = []
    size_bytes = 0
    async for chunk in body:
        held.append(chunk)
        size_bytes += len(chunk)
        if size_bytes > SMALL_BYTES:
            break
    return held


async def _counted(held: list[bytes], rest: AsyncIterator[bytes], sent: _Sent) -> AsyncIterator[bytes]:
    for chunk in held:
        sent.count(chunk)
        yield chunk
    held.clear()
    async for chunk in rest:
        sent.count(chunk)
        yield chunk


async def _remove_damaged(backend: Backend, target: Target) -> None:
    """The body was damaged on its way and replaced the object: it must not be read. Only if it is still this write's."""
    try:
        found = (await head_answer(backend, target.container, target.key, newest=True)).headers
        if nonce_of(found) == target.nonce:
            await backend.wire.call(Request("DELETE", target.container, target.key))
    except (AnswerError, StowError) as exc:
        # The damage is what the caller hears.
        _log.warning("A damaged object could not be removed.", extra={"cause": type(exc).__name__})
