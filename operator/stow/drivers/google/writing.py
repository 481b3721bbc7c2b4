"""Writing one object: in one multipart request where the size is known and moderate, else as a resumable upload.

The request's first part holds all attributes, the nonce and what checksums are known. A small body carries its CRC32C there, so Google
refuses what arrived damaged. Of a body that is streamed in one request the checksum is known only behind it, where Google takes none: it
is compared with the one in the answer, and where they differ that very generation is deleted again. (A client's MD5 is known before and
always sent.) A resumable upload ends with its checksum in a header, which Google verifies before the object comes to be.

A write is never sent twice, but for a small one whose token was refused. When its answer is lost after the whole body was handed over,
the object is asked for the nonce that this write put into its metadata: there, it was written; otherwise the outcome is unknown.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from stow.drivers.google.answers import document
from stow.drivers.google.backend import Backend
from stow.drivers.google.endpoint import Located
from stow.drivers.google.headers import (
    FIELDS,
    checksum,
    nonce_of,
    object_metadata,
    resource,
    written_metadata,
)
from stow.drivers.google.objects import head_answer, pinned
from stow.drivers.google.translate import answer_error, may_have_happened
from stow.errors import BackendFailedError, ChecksumMismatchError, LimitExceededError, StowError
from stow.storage.checksums import RunningHash, new_crc32c
from stow.storage.model import ObjectAttributes, ObjectMetadata, WriteOptions
from stow.transport import commit as committing
from stow.transport.commit import LostAnswerError, Settling, commit
from stow.transport.connections import Answer
from stow.transport.faults import AnswerError
from stow.transport.upload import Upload, each

SMALL_BYTES: Final = 64 * 1024
"""Up to here a body is held in memory and carries its checksum in front."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be written where. ``resource`` holds the attributes, the nonce among them, and the client's MD5."""

    bucket: str
    key: str
    resource: Mapping[str, Any]
    conditions: tuple[tuple[str, str], ...]
    nonce: str


async def target_of(backend: Backend, bucket: str, key: str, options: WriteOptions) -> Target:
    """Raises:
    PreconditionFailedError: the condition cannot hold.
    """
    nonce = backend.new_nonce()
    fields = {"name": key, **resource(options.attributes, nonce)}
    if options.content_md5 is not None:
        fields["md5Hash"] = checksum(options.content_md5)
    conditions = await conditions_for(
        backend, bucket, key, if_match=options.if_match, if_none_match=options.if_none_match
    )
    return Target(bucket, key, resource=fields, conditions=conditions, nonce=nonce)


async def conditions_for(
    backend: Backend, bucket: str, key: str, *, if_match: str | None, if_none_match: bool
) -> tuple[tuple[str, str], ...]:
    """The parameters of a write's condition; generation 0 is "no object".

    Raises:
        PreconditionFailedError: ``if_match="*"`` and there is no object, or an ETag that is no generation.
    """
    if if_none_match:
        return (("ifGenerationMatch", "0"),)
    if if_match is not None:
        return (("ifGenerationMatch", await pinned(backend, bucket, key, if_match)),)
    return ()


async def settled(
    backend: Backend, target: Target, attributes: ObjectAttributes, send: Callable[[], Awaitable[ObjectMetadata]]
) -> ObjectMetadata:
    """See :func:`stow.transport.commit.settled`."""

    async def look() -> tuple[str | None, ObjectMetadata]:
        headers = (await head_answer(backend, target.bucket, target.key)).headers
        return nonce_of(headers), object_metadata(headers)

    conditional = any(value != "0" for _, value in target.conditions)
    settling = Settling(
        nonce=target.nonce,
        look=look,
        judge=lambda answer: answer_error(answer, conditional=conditional),
        may_have_happened=may_have_happened,
    )
    return await committing.settled(settling, attributes, send)


async def put_bytes(
    backend: Backend, target: Target, chunks: list[bytes], attributes: ObjectAttributes
) -> ObjectMetadata:
    """A body that is in memory, with its checksum in front."""
    crc32c = new_crc32c()
    for chunk in chunks:
        crc32c.update(chunk)
    size_bytes = sum(map(len, chunks))
    framing = _Framing(target, {"crc32c": checksum(crc32c.digest())})
    if size_bytes <= SMALL_BYTES:
        request = _request(backend, target, framing, b"".join((framing.before, *chunks, framing.after)))
    else:
        body = Upload(each([framing.before, *chunks, framing.after]), framing.around(size_bytes))
        request = _request(backend, target, framing, body)

    async def send() -> ObjectMetadata:
        return await written(backend, target, await commit(backend.wire, request), size_bytes, crc32c.digest())

    return await settled(backend, target, attributes, send)


async def put_stream(
    backend: Backend, target: Target, body: AsyncIterator[bytes], size_bytes: int, attributes: ObjectAttributes
) -> ObjectMetadata:
    """A body of known size, streamed in one request."""
    crc32c = new_crc32c()
    framing = _Framing(target, {})
    upload = Upload(_framed(framing, body, crc32c), framing.around(size_bytes))
    request = _request(backend, target, framing, upload)

    async def send() -> ObjectMetadata:
        return await written(backend, target, await commit(backend.wire, request), size_bytes, crc32c.digest())

    return await settled(backend, target, attributes, send)


async def written(backend: Backend, target: Target, answer: Answer, size_bytes: int, crc32c: bytes) -> ObjectMetadata:
    """What the answer to the last request of a write says.

    Raises:
        LostAnswerError: it makes no sense.
        ChecksumMismatchError: other bytes arrived; that generation is deleted again.
    """
    try:
        found = written_metadata(document(answer.body))
    except StowError as exc:
        raise LostAnswerError(exc) from exc
    if found.size_bytes == size_bytes and found.crc32c in {None, crc32c}:
        return found
    generation = [("generation", found.etag)]
    try:
        await backend.wire.call(
            Located("DELETE", url=backend.endpoint.xml(target.bucket, target.key), query=generation)
        )
    except (AnswerError, StowError) as exc:
        raise BackendFailedError(
            "The body that arrived at the backend does not have its checksum, and the damaged object could not be deleted again."
        ) from exc
    raise ChecksumMismatchError("The body that arrived at the backend does not have its checksum. Send it again.")


def check_size(backend: Backend, size_bytes: int | None) -> None:
    """Raises: LimitExceededError."""
    limit = backend.capabilities.max_object_bytes
    if size_bytes is not None and size_bytes > limit:
        raise LimitExceededError(f"An object of this backend has at most {limit} bytes.")


class _Framing:
    """The parts of a multipart/related body around the object's bytes. The boundary is random: no body can foresee it."""

    def __init__(self, target: Target, sums: Mapping[str, str]) -> None:
        boundary = f"stow-{secrets.token_hex(24)}"
        fields = json.dumps({**target.resource, **sums}, ensure_ascii=True)
        kind = target.resource["contentType"]
        self.content_type = f"multipart/related; boundary={boundary}"
        self.before = (
            f"--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{fields}\r\n"
            f"--{boundary}\r\ncontent-type: {kind}\r\n\r\n"
        ).encode()
        self.after = f"\r\n--{boundary}--\r\n".encode()

    def around(self, size_bytes: int) -> int:
        return len(self.before) + size_bytes + len(self.after)


def _request(backend: Backend, target: Target, framing: _Framing, body: bytes | Upload) -> Located:
    return Located(
        "POST",
        url=backend.endpoint.uploads(target.bucket),
        query=[("uploadType", "multipart"), ("fields", FIELDS), *target.conditions],
        headers={"content-type": framing.content_type},
        body=body,
    )


async def _framed(framing: _Framing, body: AsyncIterator[bytes], crc32c: RunningHash) -> AsyncIterator[bytes]:
    yield framing.before
    async for chunk in body:
        crc32c.update(chunk)
        yield chunk
    yield framing.after
