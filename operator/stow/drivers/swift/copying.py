"""Server-side copy: a PUT that names its source. The source is asked first, and the bytes that were seen are the ones that are copied.

Swift reads the source under the request's ``If-Match``, and verifies its MD5 while it copies. The attributes go up with the copy, as they
were seen or as they are wanted, so that a source which changes meanwhile gives no mixture.
"""

from __future__ import annotations

from stow.drivers.swift.backend import Backend
from stow.drivers.swift.containers import exists
from stow.drivers.swift.endpoint import encoded
from stow.drivers.swift.headers import attribute_headers, etag_of_version, typed
from stow.drivers.swift.objects import head
from stow.drivers.swift.writing import Target, check_unconditional, settled, stored
from stow.errors import ContainerNotFoundError, ObjectNotFoundError
from stow.storage.model import CopyOptions, ObjectMetadata
from stow.transport.commit import commit
from stow.transport.copying import SourceChangedError, copy_seen
from stow.transport.faults import AnswerError
from stow.transport.wire import Request


async def copy(
    backend: Backend, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions
) -> ObjectMetadata:
    """See ``Driver.copy``."""
    check_unconditional(if_match=options.if_match, if_none_match=options.if_none_match)
    return await copy_seen(
        lambda: head(backend, *source, newest=True),
        lambda seen: _copy_version(backend, source, seen, destination, options),
        source_if_match=options.source_if_match,
    )


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
                raise SourceChangedError from exc
            if exc.status == 404:
                await _explain(backend, destination[0])
            raise

    return await settled(backend, target, attributes, send)


async def _explain(backend: Backend, container: str) -> None:
    """A 404 is the destination's container, or the source that was there a moment ago."""
    if not await exists(backend, container):
        raise ContainerNotFoundError("The container of the destination does not exist.", status=404)
    raise ObjectNotFoundError("The source does not exist any more.", status=404)
