"""Azure's way to find out what became of a write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from stow.drivers.azure.backend import Backend
from stow.drivers.azure.headers import nonce_of, object_metadata
from stow.drivers.azure.objects import head_answer
from stow.drivers.azure.translate import answer_error, may_have_happened
from stow.storage.model import ObjectAttributes, ObjectMetadata
from stow.transport import commit as committing
from stow.transport.commit import Settling, Target


async def settled(
    backend: Backend,
    target: Target,
    attributes: ObjectAttributes,
    send: Callable[[], Awaitable[ObjectMetadata]],
) -> ObjectMetadata:
    """See :func:`stow.transport.commit.settled`."""

    async def look() -> tuple[str | None, ObjectMetadata]:
        headers = (await head_answer(backend, target.container, target.key)).headers
        return nonce_of(headers), object_metadata(headers)

    settling = Settling(
        nonce=target.nonce,
        look=look,
        judge=lambda answer: answer_error(answer, conditional=target.must_match),
        may_have_happened=may_have_happened,
    )
    return await committing.settled(settling, attributes, send)
