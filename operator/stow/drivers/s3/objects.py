"""Head, list, read and delete: one request each."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from stow.drivers.s3.answers import listing
from stow.drivers.s3.backend import Backend
from stow.drivers.s3.headers import object_metadata
from stow.drivers.s3.translate import answer_error
from stow.errors import ObjectNotFoundError, UnsupportedError
from stow.storage.model import ByteRange, Listing, ObjectMetadata
from stow.transport.connections import Answer
from stow.transport.faults import AnswerError
from stow.transport.headers import quoted
from stow.transport.stream import Stream, opened
from stow.transport.wire import Request

_AFTER: Final = "after:"
"""Begins a token of ours; tokens of MinIO are base64, which has no colon."""
_CHECKSUM_MODE: Final = {"x-amz-checksum-mode": "ENABLED"}


async def head_answer(backend: Backend, bucket: str, key: str) -> Answer:
    """The raw answer of a HEAD: its headers hold the nonce too. Errors of ``Driver.head``."""
    try:
        return await backend.wire.call(Request("HEAD", bucket, key, headers=_mode(backend)))
    except AnswerError as exc:
        raise answer_error(exc) from exc


async def head(backend: Backend, bucket: str, key: str) -> ObjectMetadata:
    return object_metadata((await head_answer(backend, bucket, key)).headers, backend.traits)


async def list_page(
    backend: Backend, bucket: str, *, prefix: str, delimiter: str | None, limit: int, token: str | None
) -> Listing:
    query = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(limit)), ("prefix", prefix)]
    if delimiter is not None:
        query.append(("delimiter", delimiter))
    if token is not None and token.startswith(_AFTER):
        query.append(("start-after", token.removeprefix(_AFTER)))
    elif token is not None:
        query.append(("continuation-token", token))
    try:
        answer = await backend.wire.call(Request("GET", bucket, query=query))
    except AnswerError as exc:
        raise answer_error(exc, container_only=True) from exc
    page = listing(answer.body)
    if backend.traits.lists_key_alone and limit == 1 and token is None and [o.key for o in page.objects] == [prefix]:
        # Perhaps not the end: the next page looks behind the key, and may be empty.
        return replace(page, token=page.token or _AFTER + prefix)
    return page


async def delete(backend: Backend, bucket: str, key: str, *, if_match: str | None) -> None:
    headers: dict[str, str] = {}
    if if_match is not None:
        if not backend.traits.capabilities.delete_if_match:
            raise UnsupportedError("This backend has no conditional delete.")
        headers["if-match"] = "*" if if_match == "*" else quoted(if_match)
    try:
        await backend.wire.call(Request("DELETE", bucket, key, headers=headers))
    except AnswerError as exc:
        error = answer_error(exc, conditional=if_match is not None)
        if isinstance(error, ObjectNotFoundError):
            return
        raise error from exc


async def read(backend: Backend, bucket: str, key: str, byte_range: ByteRange | None) -> Stream:
    headers = _mode(backend) if byte_range is None else {"range": byte_range.header()}
    try:
        response = await backend.wire.open_read(Request("GET", bucket, key, headers=headers))
    except AnswerError as exc:
        raise answer_error(exc) from exc
    return opened(response, byte_range, lambda found, size: object_metadata(found, backend.traits, size_bytes=size))


def _mode(backend: Backend) -> dict[str, str]:
    return dict(_CHECKSUM_MODE) if backend.traits.checksums else {}
