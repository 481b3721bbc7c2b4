"""One connection: aiohttp's protocol with the deadlines, the limits and the silence that it lacks.

- A connection that has not sent whole headers by its deadline is closed; so is one that sends too many bytes of them (431). Both hold
  for headers that come behind another request, too (pipelined): aiohttp keeps what it has of them for as long as the connection lives.
- What cannot be parsed is answered by a problem document that repeats nothing of it, and logged by its kind alone: aiohttp itself logs
  and echoes the offending line, with the bearer token in it.
- A body whose chunks cannot be parsed fails at once (aiohttp leaves its reader waiting).
- :class:`Sweeper` looks after what no protocol callback tells: a client that went away while reading is paused by back-pressure, and one
  that takes nothing of what waits for it. Both lose their connection, which cancels the handler and its call to the backend.
"""

from __future__ import annotations

import asyncio
import logging
import select
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError

from stow.gateway.metrics import GatewayMetrics
from stow.gateway.problems import CODE_HEADER, CONTENT_TYPE, Code, Problem, Refusal, problem_of
from stow.gateway.settings import GatewaySettings, Limits

_log = logging.getLogger(__name__)
_AWAY: Final = select.POLLRDHUP | select.POLLHUP | select.POLLERR
FIXED_HEADERS: Final = {
    "Server": "stow",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "private, no-store",
}
"""On every answer; objects replace Cache-Control by their own."""


class Connection(RequestHandler):
    """See the module. aiohttp makes one for each accepted socket."""

    def __init__(self, server: Listener, settings: GatewaySettings, metrics: GatewayMetrics, **options: Any) -> None:
        super().__init__(server, **options)
        self._settings = settings
        self._metrics = metrics
        self._wire: asyncio.Transport | None = None
        self._header_timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        """Bytes that came since the last whole headers and its body."""
        self._heads = 0
        """How many heads were whole, as far as we have looked."""
        self._body: StreamReader = EMPTY_PAYLOAD
        """Of the last of them."""
        self._stuck: tuple[int, float] = (0, 0.0)
        """Bytes that wait for the client, and since when it has taken none."""

    # Headers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = cast("asyncio.Transport", transport)
        self._metrics.connections.inc()
        self._await_headers()
        if len(self._server_connections()) > self._settings.limits.max_connections:
            self._refuse(Refusal(Code.OVERLOADED, "Too many connections; try again."), "connections")

    def _server_connections(self) -> list[RequestHandler]:
        return self._manager.connections if self._manager is not None else []

    def _await_headers(self) -> None:
        if self._header_timer is None:
            self._header_timer = self._loop.call_later(self._settings.deadlines.header_s, self._headers_late)

    def _headers_done(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _headers_late(self) -> None:
        self._header_timer = None
        self._refuse(Refusal(Code.REQUEST_TIMEOUT, "The request's headers did not arrive in time."), "headers")

    def data_received(self, data: bytes) -> None:
        """In slices: what stands in one behind a whole head or body is not seen, so this bounds it."""
        step = self._settings.limits.max_header_bytes
        for at in range(0, len(data) or 1, step):
            if self._wire is None or self._wire.is_closing():
                return
            self._received(data[at : at + step])

    def _received(self, data: bytes) -> None:
        if self.idle and data:
            self.keep_alive(True)  # ends the idle timer: from here on the header deadline counts
            self._await_headers()
        self._look_for_heads()  # aiohttp may have parsed some by itself, behind an upgrade that it declined
        super().data_received(data)
        if self._look_for_heads():
            self._headers_done()
            self._fail_broken_body()
        elif self._body.is_eof():
            self._header_bytes += len(data)
            if self._header_bytes > self._settings.limits.max_header_bytes:
                self._refuse(Refusal(Code.HEADERS_TOO_LARGE, "The request's headers are too large."), "header-size")

    def _look_for_heads(self) -> bool:
        """Whether there is another whole head since the last look."""
        if self._request_count == self._heads:
            return False
        self._heads, self._header_bytes = self._request_count, 0
        if self._messages:
            self._body = self._messages[-1][1]
        elif self._current_request is not None:
            self._body = self._current_request.content
        return True

    @property
    def idle(self) -> bool:
        """Between requests: nothing is served, nothing is queued."""
        waiter = self._waiter
        return waiter is not None and not waiter.done() and not self._messages

    def _fail_broken_body(self) -> None:
        """What could not be parsed is queued behind the running request; if that one still waits for its body, it waits in vain."""
        last = self._messages[-1][0] if self._messages else None
        running = self._current_request
        if last is not None and not hasattr(last, "headers") and running is not None and not running.content.is_eof():
            running.content.set_exception(RequestPayloadError("the body's framing is broken"))

    # Answers without a handler

    def _refuse(self, refusal: Refusal, reason: str) -> None:
        """Answer on the bare transport and close; for requests that never became one."""
        self._metrics.cut.labels(reason).inc()
        self._headers_done()
        if self._wire is not None and not self._wire.is_closing():
            if self._current_request is not None or self._messages:
                self.abort()  # the answer of another request is on its way: nothing can be said in the middle of it
                return
            if self._request_count or self._header_bytes or reason == "connections":
                self._wire.write(raw_answer(problem_of(refusal)))
            self.force_close()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What aiohttp could not parse, or what escaped a handler. Repeats and logs nothing of it."""
        del message
        _log.info("refused a request that cannot be understood: %s", type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        problem = problem_of(_refusal_of(exc, status, self._settings.limits))
        headers = {**answer_headers(problem), "Connection": "close"}  # aiohttp takes what it cannot parse for HTTP/1.0
        answer = web.Response(status=problem.status, body=problem.document(), headers=headers)
        answer.force_close()
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ARG002  aiohttp's signature; its text is what must not be logged
        error = kw.get("exc_info")
        name = type(error).__name__ if isinstance(error, BaseException) else "unknown"
        _log.warning("a connection failed: %s", name)

    def log_debug(self, *args: Any, **kw: Any) -> None:
        """aiohttp's debug lines hold exceptions, whose text holds what clients sent."""

    # The end

    def connection_lost(self, exc: BaseException | None) -> None:
        self._headers_done()
        if self._wire is not None:
            self._metrics.connections.dec()
        self._wire = None
        super().connection_lost(exc)

    def abort(self) -> None:
        """Reset the connection at once; the handler is cancelled."""
        if self._wire is not None:
            self._wire.abort()

    def resume_writing(self) -> None:
        self._stuck = (0, self._loop.time())
        super().resume_writing()

    def check(self, now: float, poll: Callable[[int], int]) -> None:
        """One look of the sweeper."""
        wire = self._wire
        if wire is None:
            return
        if self.idle and self._header_bytes:
            self._await_headers()  # they began while the request before them was served
        waiting = wire.get_write_buffer_size()
        if waiting == 0 or waiting < self._stuck[0] or self._stuck[0] == 0:
            self._stuck = (waiting, now)
        elif now - self._stuck[1] > self._settings.deadlines.write_idle_s:
            self._metrics.cut.labels("write").inc()
            wire.abort()
            return
        else:
            self._stuck = (waiting, self._stuck[1])
        if not wire.is_closing() and not wire.is_reading():
            handle = wire.get_extra_info("socket")
            if handle is not None and handle.fileno() >= 0 and poll(handle.fileno()) & _AWAY:
                wire.abort()


def _refusal_of(error: BaseException | None, status: int, limits: Limits) -> Refusal:
    if isinstance(error, LineTooLong) and error.args[1:2] == (limits.max_target_bytes,):
        return Refusal(Code.URI_TOO_LONG, f"The request target has over {limits.max_target_bytes} bytes.")
    if isinstance(error, LineTooLong):
        return Refusal(Code.HEADERS_TOO_LARGE, f"A header has over {limits.max_field_bytes} bytes.")
    if isinstance(error, BadHttpMessage) and error.message.startswith("Too many"):  # aiohttp has no class for it
        return Refusal(Code.HEADERS_TOO_LARGE, f"The request has over {limits.max_headers} headers.")
    if status == Code.INTERNAL.status:
        return Refusal(Code.INTERNAL, "The gateway met an error of its own.")
    return Refusal(
        Code.MALFORMED_REQUEST, "The request is not valid HTTP/1.1: its line, a header or its framing is malformed."
    )


def raw_answer(problem: Problem) -> bytes:
    """A whole HTTP/1.1 answer that closes the connection."""
    body = problem.document()
    head = [f"HTTP/1.1 {problem.status} {problem.code.replace('_', ' ')}"]
    head += [f"{name}: {value}" for name, value in answer_headers(problem).items()]
    head += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(head).encode("ascii") + body


def answer_headers(problem: Problem) -> dict[str, str]:
    """Headers of a problem's answer."""
    return {**FIXED_HEADERS, "Content-Type": CONTENT_TYPE, CODE_HEADER: problem.code, **problem.headers}


class Listener(web.Server):
    """aiohttp's server with our protocol, and the look after its connections."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        settings: GatewaySettings,
        metrics: GatewayMetrics,
    ) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._settings = settings
        self._metrics = metrics

    def __call__(self) -> RequestHandler:
        limits, deadlines = self._settings.limits, self._settings.deadlines
        return Connection(
            self,
            self._settings,
            self._metrics,
            loop=self._loop,
            logger=_log,
            access_log=None,
            keepalive_timeout=deadlines.keep_alive_s,
            lingering_time=deadlines.linger_s,
            max_line_size=limits.max_target_bytes,
            max_field_size=limits.max_field_bytes,
            max_headers=limits.max_headers,
            read_bufsize=limits.read_buffer_bytes,
            auto_decompress=False,  # bytes are opaque
        )

    async def sweep(self) -> None:
        """Look at every connection from time to time; runs until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._settings.deadlines.sweep_s)
            for connection in self.connections:
                if isinstance(connection, Connection):
                    _looked_at(connection, loop.time())

    def close_idle(self) -> None:
        """Close the connections that serve nothing; the others end with their answer."""
        for connection in self.connections:
            if isinstance(connection, Connection) and connection.idle:
                connection.force_close()

    def abort_all(self) -> None:
        for connection in self.connections:
            if isinstance(connection, Connection):
                connection.abort()


def _looked_at(connection: Connection, now: float) -> None:
    """One connection that cannot be looked at must not end the look after all the others."""
    try:
        connection.check(now, _poll)
    except Exception as error:  # noqa: BLE001  it loses its socket instead
        _log.warning("a connection cannot be looked at: %s", type(error).__name__)
        connection.abort()


def _poll(descriptor: int) -> int:
    """Events of one socket now. Unlike epoll on a paused socket this sees a peer's end behind unread bytes."""
    poller = select.poll()
    poller.register(descriptor, _AWAY)
    events = poller.poll(0)
    return events[0][1] if events else 0
