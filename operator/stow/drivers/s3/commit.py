"""Sending what makes a write visible, exactly once, and finding out what became of it when the answer is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from stow.drivers.s3.backend import Backend
from stow.drivers.s3.headers import CHECKSUM, nonce_of, object_metadata
from stow.drivers.s3.objects import head_answer
from stow.drivers.s3.translate import AnswerError, answer_error, may_have_happened
from stow.drivers.s3.wire import Answer, Request, Upload, nothing_was_sent
from stow.errors import BackendError, StowError, WriteOutcomeUnknownError
from stow.storage.model import ObjectAttributes, ObjectMetadata


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be written where. ``headers`` are those of the object's attributes, the nonce among them."""

    bucket: str
    key: str
    headers: Mapping[str, str]
    conditions: Mapping[str, str]
    nonce: str


async def settled(
    backend: Backend,
    target: Target,
    attributes: ObjectAttributes,
    send: Callable[[], Awaitable[ObjectMetadata]],
) -> ObjectMetadata:
    """Run a write and find out what became of it where the answer was lost.

    Raises:
        WriteOutcomeUnknownError: it cannot be found out.
    """
    try:
        written = await send()
    except AnswerError as exc:
        if not may_have_happened(exc):
            raise answer_error(exc, conditional="if-match" in target.conditions) from exc
        return await _after_lost_answer(backend, target, exc)
    except LostAnswerError as exc:
        return await _after_lost_answer(backend, target, exc.error)
    return ObjectMetadata(
        exists=True,
        size_bytes=written.size_bytes,
        etag=written.etag,
        last_modified=written.last_modified,
        attributes=attributes,
        md5=written.md5,
        crc32c=written.crc32c,
    )


async def _after_lost_answer(backend: Backend, target: Target, lost: Exception) -> ObjectMetadata:
    try:
        answer = await head_answer(backend, target.bucket, target.key)
    except StowError:
        answer = None
    if answer is not None and nonce_of(answer.headers) == target.nonce:
        return object_metadata(answer.headers, backend.traits)
    raise WriteOutcomeUnknownError(
        "The backend's answer to the write was lost, and the object does not show whether it happened. Read it before you write again."
    ) from lost


class LostAnswerError(Exception):
    """All of a write went out and nothing came back. Stays inside the driver."""

    def __init__(self, error: StowError) -> None:
        super().__init__()
        self.error = error


async def commit(backend: Backend, request: Request) -> Answer:
    """Send the request that makes a write visible, once.

    Raises:
        AnswerError, StowError: it did not happen, or (``may_have_happened``) it may have.
        LostAnswerError: it may have happened.
    """
    try:
        return await backend.wire.exchange(request)
    except BackendError as exc:
        incomplete = isinstance(request.body, Upload) and not request.body.complete
        if incomplete or nothing_was_sent(exc):
            raise
        raise LostAnswerError(exc) from exc


def trailer_headers(headers: dict[str, str], size_bytes: int) -> dict[str, str]:
    """What announces a body in ``aws-chunked`` framing with a CRC32C trailer. The object's own Content-Encoding stays in front."""
    own = headers.get("content-encoding")
    return {
        "content-encoding": f"{own},aws-chunked" if own else "aws-chunked",
        "x-amz-decoded-content-length": str(size_bytes),
        "x-amz-trailer": CHECKSUM,
    }


async def each(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
