"""One request to the backend in its kind's form, and the only place that sends one twice.

:meth:`Wire.call` repeats only requests that are idempotent and unconditional, a bounded number of times, within one deadline, never
sooner than the backend's ``Retry-After`` asks. A write goes out once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final, Protocol, TypeVar

import aiohttp
from yarl import URL

from stow.errors import (
    BackendFailedError,
    BackendThrottledError,
    BackendUnreachableError,
    StowError,
)
from stow.storage.clock import Clock
from stow.storage.model import EMPTY
from stow.transport.connections import MAX_ERROR_BYTES, Answer, Connections, Outside
from stow.transport.deadlines import Deadlines
from stow.transport.faults import AnswerError, UnauthorizedError, ours
from stow.transport.upload import Upload
from stow.transport.xml import MAX_XML_BYTES

_ATTEMPTS: Final = 3
_BACKOFF_S: Final = 0.1
_SAFE: Final = frozenset({"GET", "HEAD"})
_CONDITIONS: Final = frozenset({"if-match", "if-none-match", "x-goog-if-generation-match", "ifGenerationMatch"})
_REPEATABLE: Final = (BackendUnreachableError, BackendThrottledError, BackendFailedError)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, not yet authorized. ``headers`` have names in lower case. An empty key is the container itself, an empty container
    the account."""

    method: str
    container: str = ""
    key: str = ""
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: EMPTY, repr=False)
    """Those of a copy may hold what opens its source."""
    body: bytes | Upload = b""
    payload: str | None = None
    """S3's ``x-amz-content-sha256``; None chooses it from the body."""

    @property
    def repeatable(self) -> bool:
        """Whether doing it twice is doing it once. A conditional delete that is sent again sees its own work as a conflict."""
        conditional = not _CONDITIONS.isdisjoint((*self.headers, *(name for name, _ in self.query)))
        return self.method in _SAFE or (self.method == "DELETE" and not conditional)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What goes out: authorized, with a URL that is encoded already."""

    url: URL = field(repr=False)
    """May hold a signature."""
    headers: Mapping[str, str] = field(repr=False)


class HttpApi(Protocol):
    """How one kind writes requests and refuses them."""

    async def prepare(self, request: Request) -> Prepared:
        """Authorize it; asked anew for each attempt. Raises: StowError: no credentials."""
        ...

    async def renewed(self, answer: AnswerError) -> bool:
        """Whether this refusal means that a token ended early, and another one could be had: then the request may go out again."""
        ...

    def refusal(self, response: aiohttp.ClientResponse, body: bytes) -> AnswerError:
        """An answer that is no success, as data."""
        ...

    def error(self, answer: AnswerError) -> StowError:
        """Ours for it."""
        ...


class Wire:
    """Requests to one backend over its connections."""

    def __init__(self, api: HttpApi, connections: Connections, *, clock: Clock, outside: Outside | None = None) -> None:
        self.repeated = 0
        """How many requests were sent again."""
        self.connections = connections
        self._api = api
        self._clock = clock
        self._jitter = (outside or Outside()).jitter

    @property
    def deadlines(self) -> Deadlines:
        return self.connections.deadlines

    async def call(self, request: Request, *, limit_bytes: int = MAX_XML_BYTES) -> Answer:
        """Send, read the whole answer, within ``request_s``. Repeats what may be repeated: no body, no condition, not POST.

        Raises:
            AnswerError: an answer that is no success.
            StowError: no answer.
        """

        async def once() -> Answer:
            return await self.connections.whole(await self._open(request), limit_bytes)

        return await self._repeating(request, once)

    async def open_read(self, request: Request) -> aiohttp.ClientResponse:
        """Send a GET until it is answered, as in :meth:`call`: ``request_s`` bounds the time to the answer's headers, not its body."""
        return await self._repeating(request, lambda: self._open(request))

    async def carry(self, method: str, url: URL, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """Like :meth:`call`, for a request of an SDK, which is authorized already."""

        async def once() -> Answer:
            response = await self._succeeded(await self.connections.send(method, url, headers=headers, body=body))
            return await self.connections.whole(response)

        return await self._repeating(Request(method), once, renewable=False)

    async def exchange(self, request: Request, *, limit_bytes: int = MAX_XML_BYTES) -> Answer:
        """Send once and read the whole answer; only ``idle_s`` bounds it. Errors as in :meth:`call`."""
        return await self.connections.whole(await self.open(request), limit_bytes)

    async def open(self, request: Request) -> aiohttp.ClientResponse:
        """Send once; the answer's body is unread, and the caller closes it. Errors as in :meth:`call`.

        When it raises, a body's source is no longer being asked.
        """
        try:
            return await self._open(request)
        except UnauthorizedError as exc:
            raise exc.error from exc

    async def _open(self, request: Request) -> aiohttp.ClientResponse:
        try:
            prepared = await self._prepared(request)
            if isinstance(prepared, StowError):
                # Not within a handler, and from the error's own cause: whoever raises the error from this must not close a circle.
                raise UnauthorizedError(prepared) from prepared.__cause__
            response = await self._succeeded(
                await self.connections.send(request.method, prepared.url, headers=prepared.headers, body=request.body)
            )
            if isinstance(request.body, Upload) and not request.body.complete:
                response.close()
                raise BackendFailedError("The backend answered before it had the whole body.", status=response.status)
        except AnswerError as exc:
            if isinstance(request.body, Upload):
                exc.before_body = not request.body.complete
                await request.body.stopped()
            raise
        except BaseException:
            if isinstance(request.body, Upload):
                await request.body.stopped()
            raise
        return response

    async def _prepared(self, request: Request) -> Prepared | StowError:
        try:
            return await self._api.prepare(request)
        except StowError as exc:
            return exc

    async def renewed(self, answer: AnswerError) -> bool:
        """See :meth:`HttpApi.renewed`, for what is sent by :meth:`exchange`."""
        return await self._api.renewed(answer)

    async def pause_before_repeating(self, attempt: int, *, at_least_s: float = 0.0) -> None:
        """Count a repetition and wait a little, longer after each ``attempt`` (from 1)."""
        self.repeated += 1
        await asyncio.sleep(max(at_least_s, _BACKOFF_S * 2**attempt * self._jitter()))

    async def _repeating(self, request: Request, send: Callable[[], Awaitable[T]], *, renewable: bool = True) -> T:
        repeatable = request.repeatable
        renewable = renewable and not isinstance(request.body, Upload)
        end = asyncio.get_running_loop().time() + self.deadlines.request_s
        try:
            async with asyncio.timeout_at(end):
                for attempt in range(1, _ATTEMPTS + 1):
                    asked_s = 0.0
                    try:
                        return await send()
                    except AnswerError as exc:
                        renewed = renewable and await self._api.renewed(exc)
                        renewable = renewable and not renewed
                        asked_s = exc.retry_after_s or 0.0
                        patient = asyncio.get_running_loop().time() + asked_s < end
                        again = repeatable and patient and isinstance(self._api.error(exc), _REPEATABLE)
                        if attempt == _ATTEMPTS or not (renewed or again):
                            raise
                    except UnauthorizedError as exc:
                        raise exc.error from exc  # whoever fetches credentials has repeated what may be repeated
                    except StowError as exc:
                        if attempt == _ATTEMPTS or not repeatable or not isinstance(exc, _REPEATABLE):
                            raise
                    await self.pause_before_repeating(attempt, at_least_s=asked_s)
        except TimeoutError as exc:
            raise ours(exc) from exc
        raise AssertionError("the loop above returns or raises")

    async def _succeeded(self, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
        if 200 <= response.status < 300:
            return response
        try:
            body = b""
            if response.headers.get("content-length") != "0":
                try:
                    body = await self.connections.read(response, MAX_ERROR_BYTES)
                except StowError:
                    body = b""  # the status says enough
            refused = self._api.refusal(response, body)
            refused.retry_after_s = retry_after_s(response.headers.get("retry-after", ""), now=self._clock())
        finally:
            response.close()
        raise refused


def retry_after_s(text: str, *, now: datetime) -> float | None:
    """``Retry-After`` in seconds from now (RFC 9110 10.2.3: seconds or a date); None where it is absent or makes no sense."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
