"""Head, list, read and delete: one request each, but for a suffix range, which needs the size first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stow.drivers.azure.answers import listing
from stow.drivers.azure.backend import Backend
from stow.drivers.azure.headers import condition_headers, object_metadata
from stow.drivers.azure.translate import answer_error
from stow.errors import BackendFailedError, ObjectNotFoundError, PreconditionFailedError, RangeNotSatisfiableError
from stow.storage.model import ByteRange, Listing, ObjectMetadata
from stow.transport.connections import Answer
from stow.transport.faults import NO_OBJECT, AnswerError
from stow.transport.headers import quoted
from stow.transport.stream import Stream, opened
from stow.transport.wire import Request

LIST: Final = (("restype", "container"), ("comp", "list"))
_ATTEMPTS: Final = 3
"""How often an object that changes between the two requests of a suffix range is asked anew."""


async def head_answer(backend: Backend, container: str, key: str) -> Answer:
    """The raw answer of a HEAD: its headers hold the nonce too. Errors of ``Driver.head``."""
    try:
        answer = await backend.wire.call(Request("HEAD", container, key))
    except AnswerError as exc:
        raise answer_error(exc) from exc
    _check_object(answer.headers)
    return answer


def _check_object(headers: Mapping[str, str]) -> None:
    """A hierarchical namespace answers for its folders too, which are no objects.

    Raises:
        ObjectNotFoundError
    """
    if headers.get("x-ms-resource-type") == "directory":
        raise ObjectNotFoundError(NO_OBJECT[1])


async def head(backend: Backend, container: str, key: str) -> ObjectMetadata:
    return object_metadata((await head_answer(backend, container, key)).headers)


async def list_page(
    backend: Backend, container: str, *, prefix: str, delimiter: str | None, limit: int, token: str | None
) -> Listing:
    """The service lists in the order of UTF-16, and a page is sorted by UTF-8 here. The two differ only where one key has a character
    beyond U+FFFF at the place where another has one of U+F900 to U+FFFD: such keys may come in the other order on two pages. A
    hierarchical namespace lists folder by folder."""
    query = [*LIST, ("maxresults", str(limit))]
    query += [
        (name, value) for name, value in (("prefix", prefix), ("delimiter", delimiter), ("marker", token)) if value
    ]
    try:
        answer = await backend.wire.call(Request("GET", container, query=query))
    except AnswerError as exc:
        raise answer_error(exc, container_only=True) from exc
    return listing(answer.body)


async def delete(backend: Backend, container: str, key: str, *, if_match: str | None) -> None:
    """The object goes with its snapshots: alone the service refuses to delete one that has some."""
    headers = {"x-ms-delete-snapshots": "include", **condition_headers(if_match=if_match, if_none_match=False)}
    try:
        await backend.wire.call(Request("DELETE", container, key, headers=headers))
    except AnswerError as exc:
        error = answer_error(exc, conditional=if_match is not None)
        if isinstance(error, ObjectNotFoundError):
            return
        raise error from exc


async def read(backend: Backend, container: str, key: str, byte_range: ByteRange | None) -> Stream:
    if byte_range is not None and byte_range.suffix is not None:
        return await _read_suffix(backend, container, key, byte_range)
    headers = {} if byte_range is None else {"range": byte_range.header()}
    return await open_read(backend, container, key, byte_range, headers)


async def _read_suffix(backend: Backend, container: str, key: str, byte_range: ByteRange) -> Stream:
    """The service has no suffix ranges: ask for the size, then for that range of that version."""
    for _ in range(_ATTEMPTS):
        seen = await head(backend, container, key)
        found = byte_range.resolve(seen.size_bytes)
        if found is None:
            raise RangeNotSatisfiableError("No byte of the object is in the range.", size_bytes=seen.size_bytes)
        exact = ByteRange(*found)
        try:
            return await open_read(
                backend, container, key, exact, {"range": exact.header(), "if-match": quoted(seen.etag)}
            )
        except PreconditionFailedError:
            continue  # another version is there now
    raise BackendFailedError("The object changed under the read again and again. Try again later.")


async def open_read(
    backend: Backend, container: str, key: str, byte_range: ByteRange | None, headers: dict[str, str]
) -> Stream:
    """``headers`` ask for what ``byte_range`` says, or pin a version. Errors of ``Driver.read``, and PreconditionFailedError."""
    try:
        response = await backend.wire.open_read(Request("GET", container, key, headers=headers))
    except AnswerError as exc:
        raise answer_error(exc) from exc
    try:
        _check_object(response.headers)
    except ObjectNotFoundError:
        response.close()
        raise
    if response.status == 206 and response.headers.get("content-length") == "0":
        # Azurite's answer to a range that begins right behind the end: a 206 of nothing, whose Content-Range is none.
        response.close()
        whole = response.headers.get("content-range", "").rpartition("/")[2]
        size_bytes = int(whole) if whole.isascii() and whole.isdigit() else None
        raise RangeNotSatisfiableError("No byte of the object is in the range.", size_bytes=size_bytes)
    return opened(response, byte_range, lambda found, size: object_metadata(found, size_bytes=size))
