"""Head, list, read and delete: one request each."""

from __future__ import annotations

from stow.drivers.google.answers import LISTED, listing
from stow.drivers.google.backend import Backend
from stow.drivers.google.endpoint import Located
from stow.drivers.google.headers import IF_GENERATION, MEDIA, generation_of, object_metadata
from stow.drivers.google.translate import answer_error
from stow.errors import NotFoundError, ObjectNotFoundError, PreconditionFailedError
from stow.storage.model import ByteRange, Listing, ObjectMetadata
from stow.transport.connections import Answer
from stow.transport.faults import AnswerError
from stow.transport.stream import Stream, opened


async def head_answer(backend: Backend, bucket: str, key: str) -> Answer:
    """The raw answer of a HEAD: its headers hold the nonce too. Errors of ``Driver.head``."""
    try:
        return await backend.wire.call(Located("HEAD", url=backend.endpoint.xml(bucket, key), headers=MEDIA))
    except AnswerError as exc:
        raise answer_error(exc) from exc


async def head(backend: Backend, bucket: str, key: str) -> ObjectMetadata:
    return object_metadata((await head_answer(backend, bucket, key)).headers)


async def list_page(
    backend: Backend, bucket: str, *, prefix: str, delimiter: str | None, limit: int, token: str | None
) -> Listing:
    query = [("maxResults", str(limit)), ("prefix", prefix), ("fields", LISTED)]
    if delimiter is not None:
        query.append(("delimiter", delimiter))
    if token is not None:
        query.append(("pageToken", token))
    try:
        answer = await backend.wire.call(Located("GET", url=backend.endpoint.objects(bucket), query=query))
    except AnswerError as exc:
        raise answer_error(exc, container_only=True) from exc
    return listing(answer.body)


async def delete(backend: Backend, bucket: str, key: str, *, if_match: str | None) -> None:
    headers: dict[str, str] = {}
    if if_match is not None:
        headers[IF_GENERATION] = await pinned(backend, bucket, key, if_match)
    try:
        await backend.wire.call(Located("DELETE", url=backend.endpoint.xml(bucket, key), headers=headers))
    except AnswerError as exc:
        error = answer_error(exc, conditional=if_match is not None)
        if isinstance(error, ObjectNotFoundError):
            return
        raise error from exc


async def pinned(backend: Backend, bucket: str, key: str, if_match: str) -> str:
    """The generation that a condition asks for. Google has no ``*``: then it is the one that is there now, and who replaces it meanwhile
    makes the request fail, never lose.

    Raises:
        PreconditionFailedError: there is no object, or the ETag is none of ours.
    """
    if if_match != "*":
        return generation_of(if_match)
    try:
        return (await head(backend, bucket, key)).etag
    except NotFoundError as exc:
        raise PreconditionFailedError("The object does not exist.", status=exc.status) from exc


async def read(backend: Backend, bucket: str, key: str, byte_range: ByteRange | None) -> Stream:
    headers = MEDIA if byte_range is None else {**MEDIA, "range": byte_range.header()}
    try:
        response = await backend.wire.open_read(Located("GET", url=backend.endpoint.xml(bucket, key), headers=headers))
    except AnswerError as exc:
        raise answer_error(exc) from exc
    headers_of = response.headers
    return opened(response, byte_range, lambda _, size: object_metadata(headers_of, size_bytes=size))
