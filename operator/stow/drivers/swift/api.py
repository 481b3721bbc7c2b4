"""Swift's form of a request: where it goes, the token that it carries, and how it is refused."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlencode

import aiohttp

from stow.drivers.swift.tokens import Tokens
from stow.drivers.swift.translate import answer_error
from stow.errors import StowError
from stow.transport.faults import AnswerError
from stow.transport.wire import Prepared, Request

TOKEN: Final = "x-auth-token"  # noqa: S105 - the name of a header, not a secret
_UNSATISFIED: Final = re.compile(r"bytes \*/(\d{1,19})")


class SwiftApi:
    """Implements :class:`stow.transport.wire.HttpApi`."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def prepare(self, request: Request) -> Prepared:
        access = await self._tokens.access()
        headers = dict(request.headers)
        if access.token is not None:
            headers[TOKEN] = access.token
        return Prepared(access.storage.url(request.container, request.key, urlencode(list(request.query))), headers)

    async def renewed(self, answer: AnswerError) -> bool:
        """A token that was revoked, or that the backend's memory lost. Without another one the reason why is raised."""
        if answer.status != 401 or self._tokens.anonymous:
            return False
        await self._tokens.access()
        return True

    def refusal(self, response: aiohttp.ClientResponse, body: bytes) -> AnswerError:
        del body  # text for people
        if response.status == 401:
            self._tokens.refused(response.request_info.headers.get(TOKEN))
        size = _UNSATISFIED.fullmatch(response.headers.get("content-range", "")) if response.status == 416 else None
        return AnswerError(status=response.status, size_bytes=int(size[1]) if size is not None else None)

    def error(self, answer: AnswerError) -> StowError:
        return answer_error(answer)
