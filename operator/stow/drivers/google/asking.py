"""Requests for tokens and signatures: outside Cloud Storage, authorized by themselves, harmless to send twice.

The wire does not repeat what could not be authorized, so these are repeated here: a bounded number of times, within one deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from yarl import URL

from stow.drivers.google.translate import answer_error
from stow.errors import BackendFailedError, BackendThrottledError, BackendUnreachableError
from stow.transport.connections import Answer, Connections, Outside
from stow.transport.faults import AnswerError, ours

_ATTEMPTS: Final = 3
_BACKOFF_S: Final = 0.1
_REPEATABLE: Final = (BackendUnreachableError, BackendThrottledError, BackendFailedError)
_SLOW_DOWN: Final = 429


@dataclass(frozen=True, slots=True)
class Asking:
    """Over these connections."""

    connections: Connections
    outside: Outside

    async def ask(self, method: str, url: URL, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """The answer, whatever it is but a failure of the service.

        Raises:
            StowError: no answer, or the service fails again and again; within ``request_s``.
        """
        try:
            async with asyncio.timeout(self.connections.deadlines.request_s):
                for attempt in range(1, _ATTEMPTS):
                    try:
                        return await self._once(method, url, headers, body)
                    except _REPEATABLE:
                        await asyncio.sleep(_BACKOFF_S * 2**attempt * self.outside.jitter())
                return await self._once(method, url, headers, body)
        except TimeoutError as exc:
            raise ours(exc) from exc

    async def _once(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        answer = await self.connections.carry(method, url, headers=headers, body=body)
        if answer.status == _SLOW_DOWN or answer.status >= 500:
            raise answer_error(AnswerError(status=answer.status))
        return answer
