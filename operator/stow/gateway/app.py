"""The gateway: one handler for every request, and the life of its listener.

Every request ends in exactly one answer, one metrics sample and - where it is about data or signing - one audit line. An answer that
cannot be completed resets its connection; it never ends as if it were whole.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CollectorRegistry

from stow.errors import NotModifiedError, StowError
from stow.gateway import actions, answers, audit, objects
from stow.gateway.access import MAY_SIGN, Verb, WriteRights, verb_of
from stow.gateway.audit import Call
from stow.gateway.auth import Authenticator, Authorizer
from stow.gateway.connection import Connection, Listener
from stow.gateway.gate import Gate
from stow.gateway.metrics import GatewayMetrics
from stow.gateway.objects import Exchange
from stow.gateway.ports import AccessReviewer, AuditSink, Identity, Keyrings, LoadReports, Readiness, TokenReviewer
from stow.gateway.problems import Code, Refusal, internal, problem_of
from stow.gateway.resolve import Resolved, Resolver
from stow.gateway.routes import METRICS_PATH, Action, Family, Route, Target, parse_route
from stow.gateway.settings import GatewaySettings
from stow.gateway.signed import SignedURLs
from stow.gateway.system import System
from stow.reconcile.ports import Objects, Reader, Stores
from stow.storage.clock import Clock
from stow.storage.model import Origin

CLIENT_CLOSED = 499
"""What nginx logs for a client that went away; never sent."""
_DRAIN_LOOK_S = 0.02
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the composition hands in."""

    tokens: TokenReviewer
    access: AccessReviewer
    objects: Objects
    reader: Reader
    stores: Stores
    keyrings: Keyrings
    loads: LoadReports
    readiness: Readiness
    clock: Clock
    registry: CollectorRegistry
    audit: AuditSink = audit.log_line
    now: Callable[[], float] = field(default=time.monotonic)


class Gateway:
    """``start`` it, ``stop`` it; in between it serves."""

    def __init__(self, settings: GatewaySettings, parts: Parts) -> None:
        self._settings = settings
        self._parts = parts
        self._metrics = GatewayMetrics(parts.registry)
        self._authenticator = Authenticator(parts.tokens, settings, now=parts.now, observe=self._metrics.cache("token"))
        authorizer = Authorizer(parts.access, settings, now=parts.now, observe=self._metrics.cache("access"))
        resolver = Resolver(
            objects=parts.objects,
            reader=parts.reader,
            stores=parts.stores,
            settings=settings,
            clock=parts.clock,
            now=parts.now,
        )
        self._gate = Gate(authorizer, resolver)
        self._signed = SignedURLs(resolver, parts.keyrings, parts.clock)
        self._draining = False
        self._system = System(parts.readiness, parts.registry, draining=lambda: self._draining)
        self._running = 0
        self._per_identity: Counter[str] = Counter()
        self._listener: Listener | None = None
        self._server: asyncio.Server | None = None
        self._system_listener: Listener | None = None
        self._system_server: asyncio.Server | None = None
        self._sweepers: list[asyncio.Task[None]] = []

    # Life

    async def start(
        self,
        *,
        host: str | None = None,
        port: int = 0,
        sock: socket.socket | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> int:
        """Listen on ``sock``, or on host and port (0: a free one); returns the port."""
        loop = asyncio.get_running_loop()
        self._listener = Listener(self.handle, self._settings, self._metrics)
        if sock is not None:
            self._server = await loop.create_server(self._listener, sock=sock, ssl=tls, backlog=1024)
        else:
            self._server = await loop.create_server(self._listener, host, port, ssl=tls, backlog=1024)
        self._sweepers.append(asyncio.create_task(self._listener.sweep()))
        return int(self._server.sockets[0].getsockname()[1])

    async def start_system(self, *, host: str, port: int = 0) -> int:
        """Serve health, readiness and metrics on a port of their own too; with ``metrics_on_api=False`` metrics there alone."""
        loop = asyncio.get_running_loop()
        self._system_listener = Listener(self._handle_system, self._settings, self._metrics)
        self._system_server = await loop.create_server(self._system_listener, host, port)
        self._sweepers.append(asyncio.create_task(self._system_listener.sweep()))
        return int(self._system_server.sockets[0].getsockname()[1])

    async def _stop_system(self) -> None:
        """Last of all: until then a probe can see that it drains."""
        if self._system_server is not None and self._system_listener is not None:
            self._system_server.close()
            self._system_listener.abort_all()
            await self._system_listener.shutdown(self._settings.deadlines.linger_s)

    async def stop(self) -> None:
        """Unready, then deaf, then running requests finish or are cut at the grace. Returns when every connection is gone."""
        self._draining = True
        if self._server is None or self._listener is None:
            return
        await asyncio.sleep(self._settings.drain_delay_s)
        self._server.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.drain_grace_s
        # A connection is gone when its last answer has left our buffers, not when its handler has returned.
        while self._listener.connections and loop.time() < deadline:
            self._listener.close_idle()
            await asyncio.sleep(_DRAIN_LOOK_S)
        self._listener.abort_all()
        await self._listener.shutdown(self._settings.deadlines.linger_s)
        await self._stop_system()
        for sweeper in self._sweepers:
            sweeper.cancel()
        await asyncio.gather(*self._sweepers, return_exceptions=True)
        await self._authenticator.aclose()
        await self._gate.authorizer.aclose()
        await self._gate.resolver.aclose()

    # One request

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The one handler."""
        call = Call(method=request.method)
        begun = self._parts.now()
        try:
            answer = await self._answer(request, call)
        except asyncio.CancelledError:
            call.status, call.code = CLIENT_CLOSED, "client_closed"
            raise
        finally:
            duration_s = self._parts.now() - begun
            self._metrics.answered(call, duration_s=duration_s)
            if call.audited:
                self._parts.audit(call.line(at=self._parts.clock(), duration_s=duration_s))
        return answer

    async def _handle_system(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            route = parse_route(request.method, request.raw_path)
            if route.action is not Action.SYSTEM:
                raise Refusal(Code.ROUTE_NOT_FOUND, "The object API is on another port.")
            return self._system.answer(route.raw_path)
        except (StowError, Refusal) as error:
            return answers.problem(problem_of(error), head=request.method == "HEAD")

    async def _answer(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        try:
            answer = await self._serve(request, call)
            call.status = answer.status
        except NotModifiedError as error:
            dates = {"Last-Modified": error.last_modified} if error.last_modified else {}
            answer = answers.empty(304, {"ETag": f'"{error.etag}"', "Cache-Control": "private, no-cache", **dates})
            call.status, call.code = 304, error.code
        except (StowError, Refusal) as error:
            answer = self._problem(request, call, error)
        except ConnectionError as error:
            if _is_open(request):  # a driver let it out: not the client's doing
                return self._unforeseen(request, call, error)
            call.status, call.code = CLIENT_CLOSED, "client_closed"
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._unforeseen(request, call, error)  # a shared call ended under us: nobody cancelled this request
        except Exception as error:  # noqa: BLE001  the last line: answered, logged by its kind, never with its text
            _log.error("a request failed: %s at %s", type(error).__name__, _place(error))
            answer = self._problem(request, call, None)
        if not answer.prepared and (self._draining or not request.content.is_eof()):
            answer.force_close()
        return answer

    def _unforeseen(self, request: web.BaseRequest, call: Call, error: BaseException) -> web.StreamResponse:
        _log.error("a request failed: %s at %s", type(error).__name__, _place(error))
        return self._problem(request, call, None)

    def _problem(self, request: web.BaseRequest, call: Call, error: StowError | Refusal | None) -> web.StreamResponse:
        found = internal() if error is None else problem_of(error)
        call.code = found.code
        if call.started:
            call.status = 0  # what was sent said success; the reset takes it back
            abort(request)
            return answers.empty(found.status)
        call.status = found.status
        return answers.problem(found, head=request.method == "HEAD")

    async def _serve(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        _check_headers(request, self._settings)
        route = parse_route(request.method, request.raw_path)
        if route.action is Action.SYSTEM:
            if route.raw_path == METRICS_PATH and not self._settings.metrics_on_api:
                raise Refusal(Code.ROUTE_NOT_FOUND, "Metrics are served on a port of their own.")
            return self._system.answer(route.raw_path)
        with self._limited():
            if route.target is None:
                return await self._serve_signed(request, route, call)
            return await self._serve_container(request, route, route.target, call)

    @contextmanager
    def _limited(self) -> Iterator[None]:
        if self._running >= self._settings.limits.max_requests:
            raise Refusal(Code.OVERLOADED, "The gateway serves as many requests as it can; try again.")
        self._running += 1
        self._metrics.in_flight.inc()
        try:
            yield
        finally:
            self._running -= 1
            self._metrics.in_flight.dec()

    @contextmanager
    def _limited_for(self, identity: Identity) -> Iterator[None]:
        user = identity.user
        if self._per_identity[user] >= self._settings.limits.max_requests_per_identity:
            raise Refusal(Code.TOO_MANY_REQUESTS, "This identity has as many requests running as it may; try again.")
        self._per_identity[user] += 1
        try:
            yield
        finally:
            self._per_identity[user] -= 1
            if not self._per_identity[user]:
                del self._per_identity[user]

    async def _serve_container(
        self, request: web.BaseRequest, route: Route, target: Target, call: Call
    ) -> web.StreamResponse:
        call.family, call.verb = target.family, verb_of(request.method, route.action)
        call.namespace, call.location, call.container = target.namespace, target.location, target.container
        call.key = route.key
        identity = call.identity = await self._authenticator.identify(request.headers)
        with self._limited_for(identity):
            call.namespace = self._gate.namespace(identity, target)
            at, rights = await self._gate.enter(identity, target, call.verb)
            exchange = Exchange(request, call, at, self._settings)
            answer = await self._operate(exchange, route, target, identity, rights)
            self._report(at, target)
            return answer

    async def _operate(
        self, exchange: Exchange, route: Route, target: Target, identity: Identity, rights: WriteRights | None
    ) -> web.StreamResponse:
        key, verb = route.key or "", exchange.call.verb
        match verb:
            case Verb.GET:
                asks = exchange.request.headers.get("Stow-Redirect", "").strip().lower() == "allow"
                redirect = asks and await self._gate.has(identity, target, MAY_SIGN)
                return await objects.get(exchange, key, may_redirect=redirect)
            case Verb.HEAD:
                return await objects.head(exchange, key)
            case Verb.PUT:
                return await objects.put(exchange, key, rights or WriteRights(create=False, update=False))
            case Verb.DELETE:
                return await objects.delete(exchange, key)
            case Verb.LIST:
                return await objects.listing(exchange, route.query)
            case Verb.SIGN:
                return await actions.sign(exchange, self._gate, identity, target)
            case _:
                denied = WriteRights(create=False, update=False)
                return await actions.copy(exchange, self._gate, identity, target, rights or denied)

    async def _serve_signed(self, request: web.BaseRequest, route: Route, call: Call) -> web.StreamResponse:
        call.signed = True
        at, grant = await self._signed.open(request, route, call)
        exchange = Exchange(request, call, at, self._settings)
        match call.verb:
            case Verb.GET:
                return await objects.get(exchange, grant.key)
            case Verb.HEAD:
                return await objects.head(exchange, grant.key)
            case Verb.DELETE:
                return await objects.delete(exchange, grant.key)
            case _:
                both = WriteRights(create=True, update=True)
                return await objects.put(exchange, grant.key, both, max_size_bytes=grant.max_size_bytes)

    def _report(self, at: Resolved, target: Target) -> None:
        """Tell the operator of a container that was loaded on demand."""
        entry = at.store.containers.get(at.container)
        if target.family is not Family.CONTAINER and entry is not None and entry.origin is Origin.DYNAMIC:
            self._parts.loads.loaded(at.location, entry)


def _is_open(request: web.BaseRequest) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def abort(request: web.BaseRequest) -> None:
    """Reset the connection: the client must not take what it got for the whole."""
    protocol = request.protocol
    if isinstance(protocol, Connection):
        protocol.abort()


def _check_headers(request: web.BaseRequest, settings: GatewaySettings) -> None:
    size = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
    if size > settings.limits.max_header_bytes:
        raise Refusal(Code.HEADERS_TOO_LARGE, "The request's headers are too large.", close=True)


def _place(error: BaseException) -> str:
    """File and line where it was raised: enough to find it, no values."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


async def run_gateway(
    settings: GatewaySettings,
    parts: Parts,
    *,
    host: str,
    port: int,
    stop: asyncio.Event,
    started: Callable[[int], None] = lambda _port: None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until ``stop`` is set, then drain. ``started`` hears the port."""
    gateway = Gateway(settings, parts)
    started(await gateway.start(host=host, port=port, tls=tls))
    try:
        await stop.wait()
    finally:
        await gateway.stop()
