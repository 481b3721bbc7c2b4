"""Server-side copy: a PUT that names its source. The source is asked first, and the bytes that were seen are the ones that are copied.

Swift reads the source under the request's ``If-Match``, and verifies its MD5 while it copies. The attributes go up with the copy, as they
were seen or as they are wanted, so that a source which changes meanwhile gives no mixture.
"""

from __future__ import annotations

from typing import Final

from stow.drivers.swift.backend import Backend
from stow.drivers.swift.containers import exists
from stow.drivers.swift.endpoint import encoded
from stow.drivers.swift.headers import attribute_headers, etag_of_version, typed
from stow.drivers.swift.objects import head
from stow.drivers.swift.writing import Target, check_unconditional, settled, stored
from stow.errors import BackendFailedError, ContainerNotFoundError, ObjectNotFoundError, PreconditionFailedError
from stow.storage.model import CopyOptions, ObjectMetadata
from stow.transport.commit import commit
from stow.transport.faults import AnswerError
from stow.transport.wire import Request

_ATTEMPTS: Final = 3
"""How often a source that changes under the copy is tried again."""


async def copy(
    backend: Backend, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions
) -> ObjectMetadata:
    """See ``Driver.copy``."""
    check_unconditional(if_match=options.if_match, if_none_match=options.if_none_match)
    pinned = options.source_if_match not in {None, "*"}
    for _ in range(_ATTEMPTS):
        seen = await head(backend, *source, newest=True)
        if pinned and options.source_if_match != seen.etag:
            raise PreconditionFailedError("The source is not in the state that the condition asks for.")
        try:
            return await _copy_version(backend, source, seen, destination, options)
        except _SourceChangedError as exc:
            if pinned:
                raise PreconditionFailedError("The source is not in the state that the condition asks for.") from exc
    raise BackendFailedError("The source changed under the copy again and again. Try again later.")


class _SourceChangedError(Exception):
    """The version that was seen is gone."""


async def _copy_version(
    backend: Backend, source: tuple[str, str], seen: ObjectMetadata, destination: tuple[str, str], options: CopyOptions
) -> ObjectMetadata:
    attributes = typed(options.attributes if options.attributes is not None else seen.attributes)
    nonce = backend.new_nonce()
    target = Target(*destination, headers=attribute_headers(attributes, nonce), nonce=nonce)
    headers = {
        **target.headers,
        "x-copy-from": encoded(*source),
        "x-fresh-metadata": "true",
        "if-match": etag_of_version(seen.etag),
    }
    request = Request("PUT", *destination, headers=headers)

    async def send() -> ObjectMetadata:
        try:
            return stored(await commit(backend.wire, request), seen.size_bytes)
        except AnswerError as exc:
            if exc.status == 412:
                raise _SourceChangedError from exc
            if exc.status == 404:
                await _explain(backend, destination[0])
            raise

    return await settled(backend, target, attributes, send)


async def _explain(backend: Backend, container: str) -> None:
    """A 404 is the destination's container, or the source that was there a moment ago."""
    if not await exists(backend, container):
        raise ContainerNotFoundError("The container of the destination does not exist.", status=404)
    raise ObjectNotFoundError("The source does not exist any more.", status=404)
