"""The Azure SDK, held in check: it builds requests and reads answers, and opens no socket of its own.

Its transports are these. Requests of containers and delegation keys become requests of our own wire: authorized, repeated and refused as
those of objects are, so the SDK is given no credentials. Requests for tokens go out as they are, over connections that ask an egress
policy. Neither follows a redirect nor reads a proxy setting.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from azure.core.pipeline.transport import AsyncHttpResponse, AsyncHttpTransport
from yarl import URL

from stow.drivers.azure.endpoint import Endpoint
from stow.transport.connections import Answer, Connections
from stow.transport.faults import AnswerError, judged
from stow.transport.wire import Request, Wire

QUIET: Final[Mapping[str, Any]] = {
    "retry_total": 0,  # the wire repeats
    "retry_connect": 0,
    "retry_read": 0,
    "retry_status": 0,
    "permit_redirects": False,
    "redirect_max": 0,
    "logging_enable": False,
    "use_env_settings": False,
}
"""Settings of every client and credential of the SDK."""
_CARRIED: Final = frozenset({"content-type"})


def quieten() -> None:
    """At DEBUG the SDK logs signatures and tokens, at INFO URLs, and at WARNING what an authority answered."""
    for name in ("azure", "azure.core", "azure.identity", "azure.storage", "msal"):
        logging.getLogger(name).setLevel(logging.ERROR)


class _Reply(AsyncHttpResponse):
    """An answer that is here already, as the SDK reads one."""

    def __init__(self, request: Any, answer: Answer) -> None:
        super().__init__(request, answer)
        self.status_code = answer.status
        self.headers = answer.headers.copy()
        self.reason = ""
        self.content_type = answer.headers.get("content-type")
        self._body = answer.body

    def body(self) -> bytes:
        return self._body

    async def load_body(self) -> None:
        """It is here."""

    async def read(self) -> bytes:
        return self._body


class _Transport(AsyncHttpTransport[Any, Any]):
    async def send(self, request: Any, **_: Any) -> _Reply:
        return _Reply(request, await self._answer(request))

    @abstractmethod
    async def _answer(self, request: Any) -> Answer: ...

    async def open(self) -> None:
        """The connections belong to the driver."""

    async def close(self) -> None:
        """Likewise."""

    async def __aenter__(self) -> _Transport:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Likewise."""


class WireTransport(_Transport):
    """Requests to the account. An answer that is no success leaves the SDK as :class:`AnswerError`."""

    def __init__(self, wire: Wire, endpoint: Endpoint) -> None:
        self._wire = wire
        self._endpoint = endpoint

    async def _answer(self, request: Any) -> Answer:
        parts = urlsplit(request.url)
        container = unquote(parts.path.removeprefix(self._endpoint.path)).strip("/")
        sent = {name.lower(): str(value) for name, value in request.headers.items()}
        return await self._wire.call(
            Request(
                request.method,
                container,
                query=parse_qsl(parts.query, keep_blank_values=True),
                headers={
                    name: value
                    for name, value in sent.items()
                    if name in _CARRIED or (name.startswith("x-ms-") and name != "x-ms-client-request-id")
                },
                body=_body_of(request),
            )
        )


class TokenTransport(_Transport):
    """Requests to an authority or a metadata service, within the deadline of a request. Their failures are no refused credentials."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def _answer(self, request: Any) -> Answer:
        headers = {
            name.lower(): str(value)
            for name, value in request.headers.items()
            if name.lower() not in {"content-length", "user-agent", "accept-encoding"}
        }
        body = _body_of(request)
        if body:
            headers.setdefault("content-type", "application/x-www-form-urlencoded")
        answer = await self._connections.carry(
            request.method, URL(request.url, encoded=True), headers=headers, body=body
        )
        if answer.status in {408, 429} or answer.status >= 500 or 300 <= answer.status < 400:
            raise judged(AnswerError(answer.status), {})
        return answer


def _body_of(request: Any) -> bytes:
    body = getattr(request, "content", None)
    if body is None:
        body = getattr(request, "data", None)
    if isinstance(body, Mapping):
        return urlencode(body).encode()
    if isinstance(body, str):
        return body.encode()
    return bytes(body) if body else b""
