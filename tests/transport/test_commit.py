"""What a lost answer is taken for: only the write's own nonce says that it happened."""

from __future__ import annotations

import pytest

from stow.errors import BackendFailedError, BackendUnreachableError, StowError, WriteOutcomeUnknownError
from stow.storage.model import ObjectAttributes, ObjectMetadata
from stow.transport.commit import LostAnswerError, Settling, settled
from stow.transport.faults import AnswerError

THERE = ObjectMetadata(exists=True, size_bytes=1, etag="e")


async def _after_loss(nonce: str, found: str | StowError | None) -> ObjectMetadata:
    async def look() -> tuple[str | None, ObjectMetadata]:
        if isinstance(found, StowError):
            raise found
        return found, THERE

    async def send() -> ObjectMetadata:
        raise LostAnswerError(BackendUnreachableError("lost"))

    def judge(_: AnswerError) -> StowError:
        return BackendFailedError("refused")

    return await settled(Settling(nonce, look, judge, lambda _: True), ObjectAttributes(), send)


async def test_the_writes_own_nonce_says_that_it_happened() -> None:
    assert await _after_loss("n-1", "n-1") is THERE


@pytest.mark.parametrize(
    ("nonce", "found"),
    [("n-1", None), ("n-1", "n-2"), ("n-1", ""), ("", ""), ("", None), ("n-1", BackendUnreachableError("down"))],
)
async def test_anything_else_leaves_it_unknown(nonce: str, found: str | StowError | None) -> None:
    """A copy that keeps its source's attributes has no nonce, and an object may have an empty one."""
    with pytest.raises(WriteOutcomeUnknownError):
        await _after_loss(nonce, found)
