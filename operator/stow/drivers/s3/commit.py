"""S3's way to find out what became of a write, and the headers of a streamed checksum."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from stow.drivers.s3.backend import Backend
from stow.drivers.s3.headers import CHECKSUM, nonce_of, object_metadata
from stow.drivers.s3.objects import head_answer
from stow.drivers.s3.translate import answer_error, may_have_happened
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
        return nonce_of(headers), object_metadata(headers, backend.traits)

    settling = Settling(
        nonce=target.nonce,
        look=look,
        judge=lambda answer: answer_error(answer, conditional=target.must_match),
        may_have_happened=may_have_happened,
    )
    return await committing.settled(settling, attributes, send)


def trailer_headers(headers: dict[str, str], size_bytes: int) -> dict[str, str]:
    """What announces a body in ``aws-chunked`` framing with a CRC32C trailer. The object's own Content-Encoding stays in front."""
    own = headers.get("content-encoding")
    return {
        "content-encoding": f"{own},aws-chunked" if own else "aws-chunked",
        "x-amz-decoded-content-length": str(size_bytes),
        "x-amz-trailer": CHECKSUM,
    }
