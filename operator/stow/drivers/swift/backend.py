"""What the parts of the driver share: the wire, what was learnt of the backend's limits, and a source of nonces."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stow.drivers.swift.capabilities import Traits
from stow.transport.commit import commit
from stow.transport.connections import Answer
from stow.transport.faults import AnswerError
from stow.transport.upload import Upload
from stow.transport.wire import Request, Wire


def random_nonce() -> str:
    """96 bits: no two writes ever share one."""
    return secrets.token_hex(12)


@dataclass(slots=True)
class Backend:
    """One account of one Swift. ``traits`` changes when the probe reads the limits."""

    wire: Wire
    traits: Traits
    renewed: Callable[[AnswerError], Awaitable[bool]]
    """Whether a refusal was a token's end, and there is another one."""
    new_nonce: Callable[[], str] = random_nonce

    async def commit(self, request: Request) -> Answer:
        """See :func:`stow.transport.commit.commit`. What a token's end refused was not done: it goes out again, but for a stream, whose
        source is used up."""
        try:
            return await commit(self.wire, request)
        except AnswerError as exc:
            if isinstance(request.body, Upload) or not await self.renewed(exc):
                raise
        return await commit(self.wire, request)
