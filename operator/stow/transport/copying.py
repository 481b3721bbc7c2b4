"""A copy of the version that was seen, where asking for the source and copying it are two requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from stow.errors import BackendFailedError, PreconditionFailedError
from stow.storage.model import ObjectMetadata

_ATTEMPTS: Final = 3
"""How often a source that changes under the copy is tried again."""


class SourceChangedError(Exception):
    """The version that was seen is gone. Stays inside the driver."""


async def copy_seen(
    look: Callable[[], Awaitable[ObjectMetadata]],
    copy: Callable[[ObjectMetadata], Awaitable[ObjectMetadata]],
    *,
    source_if_match: str | None,
) -> ObjectMetadata:
    """Look at the source and copy what was seen; ``copy`` raises SourceChangedError where that is no longer there.

    Raises:
        PreconditionFailedError: the source is not what ``source_if_match`` says, or no longer.
        BackendFailedError: it never stands still.
    """
    pinned = source_if_match not in {None, "*"}
    for _ in range(_ATTEMPTS):
        seen = await look()
        if pinned and source_if_match != seen.etag:
            raise _condition()
        try:
            return await copy(seen)
        except SourceChangedError as exc:
            if pinned:
                raise _condition() from exc
    raise BackendFailedError("The source changed under the copy again and again. Try again later.")


def _condition() -> PreconditionFailedError:
    return PreconditionFailedError("The source is not in the state that the condition asks for.")
