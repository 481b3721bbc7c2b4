"""Server-side copy of any size: rewrites that go on until Google says that all is done.

The source is asked first, and the generation that was seen is the one that is copied. A rewrite takes the destination's condition; what
of the source cannot be found any more is told apart by asking again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from stow.drivers.google.answers import document
from stow.drivers.google.backend import Backend
from stow.drivers.google.endpoint import Located
from stow.drivers.google.headers import FIELDS, resource, written_metadata
from stow.drivers.google.objects import head
from stow.drivers.google.writing import Target, conditions_for, settled
from stow.errors import BackendFailedError, ContainerNotFoundError, PreconditionFailedError, StowError
from stow.storage.model import CopyOptions, ObjectMetadata
from stow.transport.commit import LostAnswerError, commit
from stow.transport.faults import AnswerError

_ATTEMPTS: Final = 3
"""How often a source that changes under the copy is tried again."""
_ROUNDS: Final = 100_000
"""A rewrite copies at least a MiB each time; 5 TiB take far fewer, because Google copies for about 30 s."""
_FIELDS: Final = f"done,rewriteToken,resource({FIELDS})"


async def copy(
    backend: Backend, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions
) -> ObjectMetadata:
    """See ``Driver.copy``."""
    last = ""
    for _ in range(_ATTEMPTS):
        seen = await head(backend, *source)
        if options.source_if_match not in {None, "*", seen.etag}:
            raise PreconditionFailedError("The source is not in the state that the condition asks for.")
        if seen.etag == last:
            raise ContainerNotFoundError("The destination's container does not exist.", status=404)
        try:
            return await _copy_version(backend, source, seen, destination, options)
        except _NotFoundError:
            last = seen.etag
    raise BackendFailedError("The source changed under the copy again and again. Try again later.")


class _NotFoundError(Exception):
    """The generation that was seen is gone, or the destination's bucket is."""


async def _copy_version(
    backend: Backend, source: tuple[str, str], seen: ObjectMetadata, destination: tuple[str, str], options: CopyOptions
) -> ObjectMetadata:
    conditions = await conditions_for(
        backend, *destination, if_match=options.if_match, if_none_match=options.if_none_match
    )
    target = Target(*destination, resource={}, conditions=conditions, nonce="")
    if options.attributes is not None:
        nonce = backend.new_nonce()
        target = replace(target, resource=resource(options.attributes, nonce), nonce=nonce)
    # Without attributes of its own the copy keeps the source's, whose nonce is among them: then a lost answer stays unknown.
    attributes = options.attributes if options.attributes is not None else seen.attributes
    copied = await settled(backend, target, attributes, lambda: _rewrite(backend, source, seen, target))
    return replace(copied, size_bytes=seen.size_bytes, crc32c=copied.crc32c or seen.crc32c)


async def _rewrite(backend: Backend, source: tuple[str, str], seen: ObjectMetadata, target: Target) -> ObjectMetadata:
    body = json.dumps(target.resource).encode() if target.resource else b""
    token = ""
    for _ in range(_ROUNDS):
        query = [("sourceGeneration", seen.etag), ("fields", _FIELDS), *target.conditions]
        if token:
            query.append(("rewriteToken", token))
        request = Located(
            "POST",
            url=backend.endpoint.rewrite(source, (target.bucket, target.key)),
            query=query,
            headers={"content-type": "application/json; charset=UTF-8"} if body else {},
            body=body,
        )
        try:
            answer = await commit(backend.wire, request)
        except AnswerError as exc:
            if exc.status == 404:
                raise _NotFoundError from exc
            raise
        try:
            found = document(answer.body)
            if found.get("done") is True:
                return written_metadata(_object(found, "resource"))
        except StowError as exc:
            raise LostAnswerError(exc) from exc
        token = str(found.get("rewriteToken") or "")
        if not token:
            raise BackendFailedError("The backend left a copy unfinished without saying how to go on.")
    raise BackendFailedError("The backend does not come to the end of a copy.")


def _object(found: Any, name: str) -> Any:
    inner = found.get(name)
    if not isinstance(inner, dict):
        raise BackendFailedError("The backend's answer lacks the copied object.")
    return inner
