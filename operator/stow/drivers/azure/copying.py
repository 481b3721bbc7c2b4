"""Server-side copy: Put Block From URL for each block, and one Put Block List.

The service reads the source by itself, of any size, and the destination changes in one step, with the list: under its condition, with all
attributes that are sent, old or new. Copy Blob is not used: it may stay pending with the old destination gone, and it cannot give the copy
other attributes. Nor is Put Blob From URL, which does the same as one block and its list, and no emulator has it.
The source is asked first, for its size and attributes, and the version that was seen is the one that is copied.

Where the service cannot read the source by itself (an older API or an emulator without these requests, a firewall that keeps the account
from itself, a URL over 2 KiB), the bytes pass through this process, pinned to that version: slower, and the same promise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Final

from stow.drivers.azure.backend import Backend
from stow.drivers.azure.blocks import Whole, block_request, put_list, repeating, upload_known
from stow.drivers.azure.commit import settled
from stow.drivers.azure.headers import attribute_headers, condition_headers
from stow.drivers.azure.objects import head, open_read
from stow.drivers.azure.writing import SMALL_BYTES, put_bytes, put_stream
from stow.errors import NotFoundError, PreconditionFailedError
from stow.storage.model import CopyOptions, ObjectMetadata, WriteOptions
from stow.transport.commit import Target
from stow.transport.copying import SourceChangedError, copy_seen
from stow.transport.cutting import even_part_bytes
from stow.transport.faults import AnswerError
from stow.transport.headers import quoted
from stow.transport.several import several
from stow.transport.stream import Stream

_SOURCE_LIFETIME: Final = timedelta(hours=1)
"""Of the permission to read the source; it is checked when a request begins."""
_MAX_URL: Final = 2048
"""Of ``x-ms-copy-source``."""
_UNREADABLE: Final = "CannotVerifyCopySource"
_LACKING: Final = frozenset({"APINotImplemented", "NotImplemented", "UnsupportedHeader", "FeatureNotSupported"})


class _UnreadableError(Exception):
    """The service cannot read the source by itself; nothing happened."""


async def copy(
    backend: Backend, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions
) -> ObjectMetadata:
    """See ``Driver.copy``."""
    return await copy_seen(
        lambda: head(backend, *source),
        lambda seen: _copy_version(backend, source, seen, destination, options),
        source_if_match=options.source_if_match,
    )


async def _copy_version(
    backend: Backend, source: tuple[str, str], seen: ObjectMetadata, destination: tuple[str, str], options: CopyOptions
) -> ObjectMetadata:
    nonce = backend.new_nonce()
    attributes = options.attributes if options.attributes is not None else seen.attributes
    target = Target(
        *destination,
        headers=attribute_headers(attributes, nonce),
        conditions=condition_headers(if_match=options.if_match, if_none_match=options.if_none_match),
        nonce=nonce,
    )
    if seen.size_bytes == 0:
        return await put_bytes(backend, target, [], WriteOptions(attributes=attributes))
    if backend.copies_from_urls:
        try:
            headers = await _source_headers(backend, source, seen)
            return await settled(backend, target, attributes, lambda: _from_url(backend, target, seen, headers))
        except _UnreadableError:
            pass
    return await _relay(backend, source, seen, target, WriteOptions(attributes=attributes))


async def _source_headers(backend: Backend, source: tuple[str, str], seen: ObjectMetadata) -> dict[str, str]:
    endpoint = backend.endpoint
    query, headers = await backend.access.source(endpoint, *source, until=backend.clock() + _SOURCE_LIFETIME)
    path = endpoint.path_of(*source)
    url = f"{endpoint.scheme}://{endpoint.netloc}{path}{'?' + query if query else ''}"
    if len(url) > _MAX_URL:
        raise _UnreadableError
    return {**headers, "x-ms-copy-source": url, "x-ms-source-if-match": quoted(seen.etag)}


async def _from_url(
    backend: Backend, target: Target, seen: ObjectMetadata, source: Mapping[str, str]
) -> ObjectMetadata:
    settings = backend.blocks
    block_bytes = even_part_bytes(
        seen.size_bytes, wanted_bytes=settings.copy_block_bytes, max_parts=settings.max_blocks
    )
    starts = range(0, seen.size_bytes, block_bytes)

    async def copy_block(numbered: tuple[int, int]) -> None:
        number, start = numbered
        end = min(start + block_bytes, seen.size_bytes)
        headers = {**source, "x-ms-source-range": f"bytes={start}-{end - 1}"}

        async def send() -> None:
            try:
                await backend.wire.exchange(block_request(target, number, headers=headers, body=b""))
            except AnswerError as exc:
                _check_source(backend, exc)
                raise

        await repeating(backend, send)

    await several(enumerate(starts, start=1), copy_block, at_once=settings.concurrency)
    return await put_list(backend, target, len(starts), Whole(seen.size_bytes, seen.md5))


def _check_source(backend: Backend, answer: AnswerError) -> None:
    """Tell what went wrong with the source from what went wrong with the destination.

    Raises:
        SourceChangedError, _UnreadableError.
    """
    if answer.code == "SourceConditionNotMet" or (answer.code == _UNREADABLE and answer.status == 412):
        raise SourceChangedError from answer
    if answer.code == _UNREADABLE:
        raise _UnreadableError from answer
    if answer.status == 501 or answer.code in _LACKING:
        backend.copies_from_urls = False
        raise _UnreadableError from answer


async def _relay(
    backend: Backend, source: tuple[str, str], seen: ObjectMetadata, target: Target, options: WriteOptions
) -> ObjectMetadata:
    try:
        stream = await open_read(backend, *source, None, {"if-match": quoted(seen.etag)})
    except (PreconditionFailedError, NotFoundError) as exc:
        raise SourceChangedError from exc
    async with stream:
        size_bytes = seen.size_bytes
        if size_bytes <= min(SMALL_BYTES, backend.blocks.single_bytes):
            return await put_bytes(backend, target, [chunk async for chunk in stream], options)
        if size_bytes <= backend.blocks.single_bytes:
            return await put_stream(backend, target, _chunks(stream), size_bytes, options)
        return await settled(
            backend, target, options.attributes, lambda: upload_known(backend, target, _chunks(stream), size_bytes)
        )


async def _chunks(stream: Stream) -> AsyncIterator[bytes]:
    async for chunk in stream:
        yield chunk
