"""One signed HTTP request to the backend, and the only place that sends one twice.

It refuses redirects, proxies, cookies, decompression and denied addresses (at every connect). aiohttp's own resending of idempotent
requests is off: a PUT that is sent twice makes the winner of a create-once see a 412. :meth:`Wire.call` repeats only requests that are
idempotent and unconditional, a bounded number of times, within one deadline. Cancellation closes the connection at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import aiohttp
from aiohttp import AddrInfoType
from multidict import CIMultiDictProxy
from yarl import URL

from stow.drivers.s3.answers import MAX_XML_BYTES, error_code, error_size
from stow.drivers.s3.config import Deadlines
from stow.drivers.s3.endpoint import Endpoint
from stow.drivers.s3.sigv4 import EMPTY_SHA256, UNSIGNED_PAYLOAD, Keys, Signer, encode_path, encode_query
from stow.drivers.s3.translate import AnswerError, answer_error, transport_error
from stow.errors import BackendFailedError, BackendThrottledError, BackendUnreachableError, StowError
from stow.storage.clock import Clock
from stow.storage.egress import EgressPolicy, EgressResolver, Resolve, system_resolve
from stow.storage.model import EMPTY

CHUNK_BYTES: Final = 64 * 1024
_MAX_ERROR_BYTES: Final = 64 * 1024
_ATTEMPTS: Final = 3
_BACKOFF_S: Final = 0.1
_STOP_S: Final = 1.0
"""For a source that ignores its cancellation."""
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "DELETE"})
_REPEATABLE: Final = (BackendUnreachableError, BackendThrottledError, BackendFailedError)

T = TypeVar("T")
KeySource = Callable[[], Awaitable[Keys | None]]
"""Gives the present keys; None for anonymous requests."""


class Upload:
    """A body of known length on its way. Says afterwards whether all of it was handed over, and what its source raised."""

    def __init__(self, source: AsyncIterator[bytes], size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.sent_bytes = 0
        self.failure: Exception | None = None
        self._source = aiter(source)
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def complete(self) -> bool:
        return self.sent_bytes == self.size_bytes

    async def chunks(self, idle: _Idle) -> AsyncIterator[bytes]:
        """The chunks, for aiohttp. ``idle`` runs while the backend takes one, and stands still while the source is asked."""
        try:
            idle.pause()
            while chunk := await self._next():
                self.sent_bytes += len(chunk)
                if self.sent_bytes > self.size_bytes:
                    raise BackendFailedError("The body is longer than was announced.")
                idle.start()
                yield chunk
                idle.pause()
            if not self.complete:
                raise BackendFailedError("The body is shorter than was announced.")
            idle.start()
        except Exception as exc:
            # aiohttp wraps or swallows what a body raises; the sender wants the original. (GeneratorExit and CancelledError are aiohttp's
            # own way to stop asking: then the connection's failure is what counts.)
            self.failure = exc
            raise

    async def stopped(self) -> None:
        """Wait until the source is no longer being asked, after the request ended: only then may its owner close it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await self._quiet.wait()

    async def _next(self) -> bytes:
        self._quiet.clear()
        try:
            return await anext(self._source, b"")
        finally:
            self._quiet.set()


class _Idle:
    """The idle deadline of a request, restarted by each step forward."""

    def __init__(self, timeout: asyncio.Timeout, idle_s: float) -> None:
        self._timeout = timeout
        self._idle_s = idle_s
        self.over = False

    def start(self) -> None:
        if not self.over and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._idle_s)

    def pause(self) -> None:
        if not self.over and not self._timeout.expired():
            self._timeout.reschedule(None)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, not yet signed. ``headers`` have names in lower case; all of them are signed."""

    method: str
    bucket: str
    key: str = ""
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY)
    body: bytes | Upload = b""
    payload: str | None = None
    """``x-amz-content-sha256``; None chooses it from the body."""

    @property
    def conditional(self) -> bool:
        return "if-match" in self.headers or "if-none-match" in self.headers


@dataclass(frozen=True, slots=True)
class Answer:
    """A success, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes = field(repr=False)


class Wire:
    """The connections to one backend. Made inside a running event loop or before it; the session opens with the first request."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        keys: KeySource,
        clock: Clock,
        deadlines: Deadlines,
        egress: EgressPolicy,
        connector_options: Mapping[str, object] = EMPTY,
        resolve: Resolve = system_resolve,
        jitter: Callable[[], float] = random.random,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
    ) -> None:
        egress.check_host(endpoint.host)
        self.endpoint = endpoint
        self.deadlines = deadlines
        self.repeated = 0
        """How many requests were sent again."""
        self._keys = keys
        self._clock = clock
        self._egress = egress
        self._resolve = resolve
        self._jitter = jitter
        self._signer = Signer(endpoint.region)
        self._connector_options = connector_options
        self._trace_configs = list(trace_configs)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def call(self, request: Request, *, limit_bytes: int = MAX_XML_BYTES) -> Answer:
        """Send, read the whole answer, within ``request_s``. Repeats what may be repeated: no body, no condition, not POST.

        Raises:
            AnswerError: an answer that is no success.
            StowError: no answer.
        """
        repeatable = request.method in _IDEMPOTENT and not request.conditional
        return await self._repeating(lambda: self.exchange(request, limit_bytes=limit_bytes), repeatable=repeatable)

    async def carry(self, method: str, url: URL, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """Like :meth:`call`, for a request that is signed already."""

        async def once() -> Answer:
            return await self._whole(
                await self._judged(await self.send_signed(method, url, headers=headers, body=body))
            )

        return await self._repeating(once, repeatable=method in _IDEMPOTENT)

    async def open_read(self, request: Request) -> aiohttp.ClientResponse:
        """Send a GET until it is answered, as in :meth:`call`: ``request_s`` bounds the time to the answer's headers, not its body."""
        return await self._repeating(lambda: self.open(request), repeatable=True)

    async def _repeating(self, send: Callable[[], Awaitable[T]], *, repeatable: bool) -> T:
        try:
            async with asyncio.timeout(self.deadlines.request_s):
                for attempt in range(1, _ATTEMPTS + 1):
                    try:
                        return await send()
                    except (StowError, AnswerError) as exc:
                        error = answer_error(exc) if isinstance(exc, AnswerError) else exc
                        if not repeatable or attempt == _ATTEMPTS or not isinstance(error, _REPEATABLE):
                            raise
                    await self.pause_before_repeating(attempt)
        except TimeoutError as exc:
            raise _ours(exc) from exc
        raise AssertionError("the loop above returns or raises")

    async def pause_before_repeating(self, attempt: int) -> None:
        """Count a repetition and wait a little, longer after each ``attempt`` (from 1)."""
        self.repeated += 1
        await asyncio.sleep(_BACKOFF_S * 2**attempt * self._jitter())

    async def exchange(self, request: Request, *, limit_bytes: int = MAX_XML_BYTES) -> Answer:
        """Send once and read the whole answer; only ``idle_s`` bounds it. Errors as in :meth:`call`."""
        return await self._whole(await self.open(request), limit_bytes)

    async def open(self, request: Request) -> aiohttp.ClientResponse:
        """Send once; the answer's body is unread, and the caller closes it. Errors as in :meth:`call`.

        When it raises, a body's source is no longer being asked.
        """
        try:
            response = await self._judged(await self._send(request))
            if isinstance(request.body, Upload) and not request.body.complete:
                response.close()
                raise BackendFailedError("The backend answered before it had the whole body.", status=response.status)
        except BaseException:
            if isinstance(request.body, Upload):
                await request.body.stopped()
            raise
        return response

    async def _judged(self, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
        if 200 <= response.status < 300:
            return response
        try:
            error = await self._refusal(response)
        finally:
            response.close()
        raise error

    async def _whole(self, response: aiohttp.ClientResponse, limit_bytes: int = MAX_XML_BYTES) -> Answer:
        try:
            body = await self._read(response, limit_bytes)
        except BaseException:
            response.close()
            raise
        return Answer(response.status, response.headers, body)

    async def aclose(self) -> None:
        """End all connections. Later calls fail."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        host, path = self.endpoint.locate(request.bucket, encode_path(request.key))
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
        return await self.send_signed(request.method, url, headers=headers, body=request.body)

    async def send_signed(
        self, method: str, url: URL, *, headers: Mapping[str, str], body: bytes | Upload
    ) -> aiohttp.ClientResponse:
        """Send what is signed already, whatever the answer is. Also carries the SDK's requests (sdk.py).

        Raises:
            EndpointForbiddenError: the host's address is denied.
            BackendError: no answer.
            BaseException: what the body's source raised.
        """
        self._egress.check_host(url.raw_host or "")
        upload = body if isinstance(body, Upload) else None
        sent = dict(headers)
        if upload is not None:
            sent["content-length"] = str(upload.size_bytes)
        elif method in {"PUT", "POST"}:
            sent["content-length"] = str(len(body)) if isinstance(body, bytes) else "0"
        try:
            async with asyncio.timeout(None) as timeout:
                idle = _Idle(timeout, self.deadlines.idle_s)
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
            error = _ours(exc)
            if error is exc:
                raise
            raise error from exc

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise BackendUnreachableError("The connection to the backend is closed.")
        if self._session is None:
            deadlines = self.deadlines
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=EgressResolver(self._egress, resolve=self._resolve),
                    use_dns_cache=False,  # so that the policy is asked at every connect
                    socket_factory=self._new_socket,
                    **self._connector_options,  # type: ignore[arg-type]  # a mapping of keyword arguments
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
                trace_configs=self._trace_configs,
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

    async def _read(self, response: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
        body = bytearray()
        try:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > limit_bytes:
                    raise BackendFailedError("The backend's answer is longer than it can sensibly be.")
        except (aiohttp.ClientError, OSError) as exc:
            raise _ours(exc) from exc
        return bytes(body)

    async def _refusal(self, response: aiohttp.ClientResponse) -> AnswerError:
        body = b""
        if response.headers.get("content-length") != "0":
            try:
                body = await self._read(response, _MAX_ERROR_BYTES)
            except StowError:
                body = b""  # the status says enough
        region = response.headers.get("x-amz-bucket-region")
        return AnswerError(
            status=response.status,
            # MinIO names the code of a HEAD, which has no body, in a header.
            code=error_code(body) or response.headers.get("x-minio-error-code"),
            wrong_region=region is not None and region != self.endpoint.region and response.status in {301, 307, 400},
            size_bytes=error_size(body) if response.status == 416 else None,
            server=response.headers.get("server", ""),
        )


def nothing_was_sent(error: BaseException) -> bool:
    """Whether the connection never came to be, so that the backend cannot have acted."""
    return isinstance(error.__cause__, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def _ours(exc: BaseException) -> StowError:
    error = transport_error(exc)
    if error is None:
        raise exc
    return error
