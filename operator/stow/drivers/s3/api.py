"""S3's form of a request: where it goes, how it is signed, and how it is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
from yarl import URL

from stow.drivers.s3.answers import error_size
from stow.drivers.s3.endpoint import Endpoint
from stow.drivers.s3.sigv4 import EMPTY_SHA256, UNSIGNED_PAYLOAD, Keys, Signer, encode_query
from stow.drivers.s3.translate import answer_error
from stow.errors import StowError
from stow.storage.clock import Clock
from stow.transport.faults import AnswerError
from stow.transport.urls import encode_key
from stow.transport.wire import Prepared, Request
from stow.transport.xml import error_code

KeySource = Callable[[], Awaitable[Keys | None]]
"""Gives the present keys; None for anonymous requests."""
_BAD_REQUEST: Final = 400
_ENDED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})


class S3Api:
    """Implements :class:`stow.transport.wire.HttpApi`. Every header of a request is signed."""

    def __init__(
        self, endpoint: Endpoint, *, keys: KeySource, renew: Callable[[], Awaitable[bool]], clock: Clock
    ) -> None:
        self.endpoint = endpoint
        self._keys = keys
        self._renew = renew
        self._clock = clock
        self._signer = Signer(endpoint.region)

    async def prepare(self, request: Request) -> Prepared:
        host, path = self.endpoint.locate(request.container, encode_key(request.key))
        query = encode_query(request.query)
        headers = self._signer.sign(
            request.method,
            host=host,
            path=path,
            query=query,
            headers=request.headers,
            payload=request.payload or (EMPTY_SHA256 if request.body == b"" else UNSIGNED_PAYLOAD),
            keys=await self._keys(),
            now=self._clock(),
        )
        url = URL(f"{self.endpoint.scheme}://{host}{path}{'?' + query if query else ''}", encoded=True)
        return Prepared(url, headers)

    async def renewed(self, answer: AnswerError) -> bool:
        """Keys are renewed in time; these ended early, or the clocks differ. A HEAD's answer has no code: there a mere 400 may mean it."""
        unnamed = answer.status == _BAD_REQUEST and answer.code is None and not answer.wrong_region
        return (unnamed or answer.code in _ENDED) and await self._renew()

    def refusal(self, response: aiohttp.ClientResponse, body: bytes) -> AnswerError:
        region = response.headers.get("x-amz-bucket-region")
        return AnswerError(
            status=response.status,
            # MinIO names the code of a HEAD, which has no body, in a header.
            code=error_code(body) or response.headers.get("x-minio-error-code"),
            wrong_region=region is not None and region != self.endpoint.region and response.status in {301, 307, 400},
            size_bytes=error_size(body) if response.status == 416 else None,
            server=response.headers.get("server", ""),
        )

    def error(self, answer: AnswerError) -> StowError:
        return answer_error(answer)
