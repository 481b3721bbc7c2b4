"""Sending what makes a write visible, exactly once, and finding out what became of it when the answer is lost.

Each write carries a nonce in its object's metadata. When all of it went out and nothing sensible came back, one look at the object tells
whether it is the one that was being written; otherwise the outcome is unknown and said to be.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from stow.errors import BackendError, StowError, WriteOutcomeUnknownError
from stow.storage.model import ObjectAttributes, ObjectMetadata
from stow.transport.connections import Answer
from stow.transport.faults import AnswerError, nothing_was_sent
from stow.transport.upload import Upload
from stow.transport.wire import Request, Wire


class LostAnswerError(Exception):
    """All of a write went out and nothing came back. Stays inside the driver."""

    def __init__(self, error: StowError) -> None:
        super().__init__()
        self.error = error


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be written where, of kinds whose objects' attributes are headers: ``headers`` are those, the nonce among them."""

    container: str
    key: str
    headers: Mapping[str, str]
    conditions: Mapping[str, str]
    nonce: str

    @property
    def must_match(self) -> bool:
        """Whether an absent object fails the condition."""
        return "if-match" in self.conditions


@dataclass(frozen=True, slots=True)
class Settling:
    """How a kind finds out. ``look`` gives the nonce and the metadata of the object that is there, or raises StowError."""

    nonce: str
    look: Callable[[], Awaitable[tuple[str | None, ObjectMetadata]]]
    judge: Callable[[AnswerError], StowError]
    may_have_happened: Callable[[AnswerError], bool]


async def commit(wire: Wire, request: Request) -> Answer:
    """Send the request that makes a write visible, once. What was refused because a token had ended was not done: it goes out again, but
    for a stream, whose source is used up; the next one has another token.

    Raises:
        AnswerError, StowError: it did not happen, or (``may_have_happened``) it may have.
        LostAnswerError: it may have happened.
    """
    try:
        return await _once(wire, request)
    except AnswerError as exc:
        # Asked for a stream too: the next one would go out with the same token, and so on until its end.
        renewed = await wire.renewed(exc)
        if isinstance(request.body, Upload) or not renewed:
            raise
    return await _once(wire, request)


async def _once(wire: Wire, request: Request) -> Answer:
    try:
        return await wire.exchange(request)
    except BackendError as exc:
        incomplete = isinstance(request.body, Upload) and not request.body.complete
        if incomplete or nothing_was_sent(exc):
            raise
        raise LostAnswerError(exc) from exc


async def settled(
    settling: Settling, attributes: ObjectAttributes, send: Callable[[], Awaitable[ObjectMetadata]]
) -> ObjectMetadata:
    """Run a write and find out what became of it where the answer was lost; what was written has ``attributes``.

    Raises:
        StowError: it did not happen.
        WriteOutcomeUnknownError: it cannot be found out.
    """
    try:
        written = await send()
    except AnswerError as exc:
        if exc.before_body or not settling.may_have_happened(exc):
            raise settling.judge(exc) from exc
        return await _after_lost_answer(settling, exc)
    except LostAnswerError as exc:
        return await _after_lost_answer(settling, exc.error)
    return replace(written, exists=True, attributes=attributes)


async def _after_lost_answer(settling: Settling, lost: Exception) -> ObjectMetadata:
    try:
        nonce, metadata = await settling.look()
    except StowError:
        nonce, metadata = None, ObjectMetadata(exists=False)
    if nonce and nonce == settling.nonce:  # a write without one settles nothing, whatever stands there
        return metadata
    raise WriteOutcomeUnknownError(
        "The backend's answer to the write was lost, and the object does not show whether it happened. Read it before you write again."
    ) from lost
