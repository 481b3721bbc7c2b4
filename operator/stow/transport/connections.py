"""The connections to one backend: the only place that opens a socket to it.

It refuses redirects, proxies, cookies, decompression and denied addresses (at every connect). aiohttp's own resending of idempotent
requests is off: a PUT that is sent twice makes the winner of a create-once see a 412. Cancellation closes the connection at once.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp import AddrInfoType
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from stow.errors import BackendFailedError, BackendUnreachableError, StowError
from stow.storage.egress import EgressPolicy, EgressResolver, Resolve, system_resolve
from stow.transport.deadlines import Deadlines
from stow.transport.faults import ours
from stow.transport.upload import Idle, Upload
from stow.transport.xml import MAX_XML_BYTES

MAX_ERROR_BYTES: Final = 64 * 1024
_KEEPALIVE_S: Final = 4.0
"""A connection that idled longer is not used again. Servers on Node (Azurite, some gateways) close theirs after 5 s, and a write that meets
the closing end is not sent twice: it fails."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What only the composition and tests give: how names resolve, chance, and aiohttp's tracing."""

    resolve: Resolve = system_resolve
    jitter: Callable[[], float] = random.random
    trace_configs: Sequence[aiohttp.TraceConfig] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes = field(repr=False)


def _forget_request(exc: aiohttp.ClientResponseError) -> None:
    """What is raised for an answer that is no HTTP has the request's URL and headers, tokens and signatures among them, and quotes the
    backend; errors keep it as their cause."""
    exc.request_info = aiohttp.RequestInfo(URL(), "", CIMultiDictProxy(CIMultiDict()), URL())
    exc.args, exc.message, exc.headers = (), "", None
    exc.__cause__ = exc.__context__ = None


class Connections:
    """Made inside a running event loop or before it; the session opens with the first request.

    ``ssl_context=None`` is the system's trust.
    """

    def __init__(
        self,
        *,
        deadlines: Deadlines,
        egress: EgressPolicy,
        ssl_context: ssl.SSLContext | None = None,
        limit: int = 100,
        outside: Outside | None = None,
    ) -> None:
        self.deadlines = deadlines
        self._egress = egress
        self._ssl_context = ssl_context
        self._limit = limit
        self._outside = outside or Outside()
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def send(
        self, method: str, url: URL, *, headers: Mapping[str, str], body: bytes | Upload = b""
    ) -> aiohttp.ClientResponse:
        """Send once, as it is, whatever the answer is; its body is unread, and the caller closes it.

        Raises:
            EndpointForbiddenError: the host's address is denied.
            BackendError: no answer.
            BaseException: what the body's source raised.
        """
        self._egress.check_host(url.raw_host or "")
        upload = body if isinstance(body, Upload) else None
        sent = dict(headers)
        if upload is not None:
            if upload.size_bytes is not None:  # else aiohttp sends it in chunks
                sent["content-length"] = str(upload.size_bytes)
        elif method in {"PUT", "POST"}:
            sent["content-length"] = str(len(body)) if isinstance(body, bytes) else "0"
        try:
            async with asyncio.timeout(None) as timeout:
                idle = Idle(timeout, self.deadlines.idle_s)
                try:
                    return await self._open_session().request(
                        method,
                        url,
                        data=upload.chunks(idle) if upload is not None else (body or None),
                        headers=sent,
                        skip_auto_headers=("Content-Type", "Accept"),
                        allow_redirects=False,
                    )
                finally:
                    idle.over = True
        except (aiohttp.ClientError, OSError, StowError, ValueError) as exc:
            if upload is not None and upload.failure is not None and upload.failure is not exc:
                raise upload.failure from None
            if isinstance(exc, aiohttp.ClientResponseError):
                _forget_request(exc)
            error = ours(exc)
            if error is exc:
                raise
            raise error from exc

    async def carry(self, method: str, url: URL, *, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Send once and read the answer, whatever it is: for requests of an SDK, which judges and repeats by itself or not at all.

        Raises:
            StowError: no answer, or none within ``request_s``.
        """
        try:
            async with asyncio.timeout(self.deadlines.request_s):
                return await self.whole(await self.send(method, url, headers=headers, body=body))
        except TimeoutError as exc:
            raise ours(exc) from exc

    async def whole(self, response: aiohttp.ClientResponse, limit_bytes: int = MAX_XML_BYTES) -> Answer:
        """Read an answer to its end. Raises: BackendError: it breaks off, or is longer than ``limit_bytes``."""
        try:
            body = await self.read(response, limit_bytes)
        except BaseException:
            response.close()
            raise
        return Answer(response.status, response.headers, body)

    async def read(self, response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
        body = bytearray()
        try:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > limit_bytes:
                    raise BackendFailedError("The backend's answer is longer than it can sensibly be.")
        except (aiohttp.ClientError, OSError) as exc:
            raise ours(exc) from exc
        return bytes(body)

    async def aclose(self) -> None:
        """End all connections. Later calls fail."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise BackendUnreachableError("The connection to the backend is closed.")
        if self._session is None:
            deadlines = self.deadlines
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=EgressResolver(self._egress, resolve=self._outside.resolve),
                    use_dns_cache=False,  # so that the policy is asked at every connect
                    socket_factory=self._new_socket,
                    limit=self._limit,
                    keepalive_timeout=_KEEPALIVE_S,
                    ssl=self._ssl_context if self._ssl_context is not None else True,
                ),
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    connect=deadlines.connect_s,
                    sock_connect=deadlines.connect_s,
                    sock_read=deadlines.idle_s,
                ),
                headers={"Accept-Encoding": "identity", "User-Agent": "stow-operator"},
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                trace_configs=list(self._outside.trace_configs),
            )
            # There is no public switch; a test proves that this one still works.
            self._session._retry_connection = False  # noqa: SLF001 (see above)
        return self._session

    def _new_socket(self, address: AddrInfoType) -> socket.socket:
        """A socket whose unsent data does not outlive the idle deadline: asyncio flushes before it closes, so a backend that reads
        nothing would hold a given-up upload's connection for ever."""
        made = socket.socket(address[0], address[1], address[2])
        if sys.platform == "linux":
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(self.deadlines.idle_s * 1000)))
        return made
