"""Google's form of a request: authorized by a bearer token, and refused in XML or JSON."""

from __future__ import annotations

import re
from typing import Final

import aiohttp

from stow.drivers.google.endpoint import Endpoint, Located, with_query
from stow.drivers.google.tokens import Tokens
from stow.drivers.google.translate import ANONYMOUS, answer_error, code_of
from stow.errors import StowError
from stow.transport.faults import AnswerError
from stow.transport.wire import Prepared, Request

RESUME: Final = 308
"""What a chunk of an upload that goes on is answered with; no redirect here."""
_PERSISTED: Final = re.compile(r"bytes=0-(\d{1,18})")
_UNSATISFIABLE: Final = re.compile(r"bytes \*/(\d{1,18})")


class GoogleApi:
    """Implements :class:`stow.transport.wire.HttpApi`. ``tokens=None`` is anonymous. A token goes to the endpoint's own host alone."""

    def __init__(self, endpoint: Endpoint, *, tokens: Tokens | None) -> None:
        self.endpoint = endpoint
        self._tokens = tokens

    async def prepare(self, request: Request) -> Prepared:
        if not isinstance(request, Located):
            raise TypeError("requests of this kind are located")
        url = with_query(request.url, request.query)
        headers = dict(request.headers)
        if self._tokens is not None and url.origin() == self.endpoint.base:
            headers["authorization"] = await self._tokens.authorization()
        return Prepared(url, headers)

    async def renewed(self, answer: AnswerError) -> bool:
        if answer.status != 401 or self._tokens is None:
            return False
        await self._tokens.renew()
        return True

    def refusal(self, response: aiohttp.ClientResponse, body: bytes) -> AnswerError:
        """Of a 308 ``size_bytes`` is how much of the upload is kept."""
        size_bytes = None
        if response.status == RESUME:
            kept = _PERSISTED.fullmatch(response.headers.get("range", ""))
            size_bytes = int(kept[1]) + 1 if kept is not None else 0
        elif response.status == 416:
            whole = _UNSATISFIABLE.fullmatch(response.headers.get("content-range", ""))
            size_bytes = int(whole[1]) if whole is not None else None
        code = code_of(body)
        if response.status == 401 and self._tokens is None:
            code = ANONYMOUS
        return AnswerError(status=response.status, code=code, size_bytes=size_bytes)

    def error(self, answer: AnswerError) -> StowError:
        return answer_error(answer)
