"""Azure's form of a request: where it goes, how it is authorized, and how it is refused."""

from __future__ import annotations

import re
from typing import Final

import aiohttp
from yarl import URL

from stow.drivers.azure.authorizing import VERSION, Authorizer, Draft, http_date
from stow.drivers.azure.endpoint import Endpoint, encode_query
from stow.drivers.azure.translate import answer_error
from stow.errors import StowError
from stow.storage.clock import Clock
from stow.transport.faults import AnswerError
from stow.transport.upload import Upload
from stow.transport.wire import Prepared, Request
from stow.transport.xml import error_code

_CODE: Final = re.compile(r"[A-Za-z0-9]{1,64}")
_WHOLE: Final = re.compile(r"bytes \*/(\d{1,19})")


class AzureApi:
    """Implements :class:`stow.transport.wire.HttpApi`."""

    def __init__(self, endpoint: Endpoint, *, authorizer: Authorizer, clock: Clock) -> None:
        self.endpoint = endpoint
        self._authorizer = authorizer
        self._clock = clock

    async def prepare(self, request: Request) -> Prepared:
        path = self.endpoint.path_of(request.container, request.key)
        headers = {**request.headers, "x-ms-version": VERSION, "x-ms-date": http_date(self._clock())}
        size_bytes = request.body.size_bytes if isinstance(request.body, Upload) else len(request.body)
        signed = {**headers, "content-length": str(size_bytes)} if size_bytes else headers
        headers |= await self._authorizer.headers(Draft(request.method, path, request.query, signed))
        query = "&".join(part for part in (encode_query(request.query), self._authorizer.query) if part)
        netloc = f"{self.endpoint.scheme}://{self.endpoint.netloc}"
        return Prepared(URL(f"{netloc}{path}{'?' + query if query else ''}", encoded=True), headers)

    async def renewed(self, answer: AnswerError) -> bool:
        return answer.status == 401 and self._authorizer.renewable

    def refusal(self, response: aiohttp.ClientResponse, body: bytes) -> AnswerError:
        if response.status == 401:
            self._authorizer.refused(response.request_info.headers.get("authorization"))
        # The header is there for HEAD too, which has no body.
        code = response.headers.get("x-ms-error-code") or error_code(body)
        whole = _WHOLE.fullmatch(response.headers.get("content-range", ""))
        return AnswerError(
            status=response.status,
            code=code if code is not None and _CODE.fullmatch(code) else None,
            size_bytes=int(whole[1]) if whole is not None else None,
            server=response.headers.get("server", ""),
        )

    def error(self, answer: AnswerError) -> StowError:
        return answer_error(answer)
