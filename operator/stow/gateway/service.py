"""One handler for every request.

Every request ends in exactly one answer, one metrics sample and - where it is about data or signing - one audit line. An answer that
cannot be completed resets its connection; it never ends as if it were whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiohttp import web

from stow.errors import NotModifiedError, StowError, place_of
from stow.gateway import actions, answers, objects
from stow.gateway.access import MAY_SIGN, Verb, WriteRights, verb_of
from stow.gateway.admission import Admission
from stow.gateway.audit import Call
from stow.gateway.auth import Authenticator
from stow.gateway.connection import Connection
from stow.gateway.gate import Gate
from stow.gateway.headers import check_framing
from stow.gateway.metrics import GatewayMetrics
from stow.gateway.objects import Exchange
from stow.gateway.ports import AuditSink, Identity, LoadReports
from stow.gateway.problems import Code, Refusal, internal, problem_of
from stow.gateway.resolve import Resolved
from stow.gateway.routes import Action, Family, Route, Target, parse_route
from stow.gateway.settings import GatewaySettings
from stow.gateway.signed import SignedURLs
from stow.gateway.system import System
from stow.storage.clock import Clock
from stow.storage.local_signing import Grant
from stow.storage.model import Method, Origin

DATA_PREFIX = "/v1/"
"""What lies below is about data or signing: each request has its audit line, also one that is refused before it is understood."""
LARGE = frozenset({"/metrics", "/openapi.json"})
CLIENT_CLOSED = 499
"""What nginx logs for a client that went away; never sent."""
_log = logging.getLogger(__name__)


class ObjectService:
    """Serves requests. ``draining`` closes each connection with its answer."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        authenticator: Authenticator,
        gate: Gate,
        signed: SignedURLs,
        system: System,
        metrics: GatewayMetrics,
        loads: LoadReports,
        audit: AuditSink,
        clock: Clock,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._gate = gate
        self._signed = signed
        self._system = system
        self._metrics = metrics
        self._admission = Admission(settings.limits, metrics)
        self._loads = loads
        self._audit = audit
        self._clock = clock
        self._now = now
        self._warm = False
        self.draining = False

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The one handler."""
        call = Call(method=request.method)
        begun = self._now()
        try:
            answer = await self._answer(request, call)
        except asyncio.CancelledError:
            call.status, call.code = CLIENT_CLOSED, "client_closed"
            raise
        finally:
            duration_s = self._now() - begun
            self._metrics.answered(call, duration_s=duration_s)
            if call.audited:
                self._audit(call.line(at=self._clock(), duration_s=duration_s))
        return answer

    async def _answer(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        try:
            answer = await self._serve(request, call)
            call.status = answer.status
        except NotModifiedError as error:
            answer = answers.not_modified(error)
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
            _log.error("a request failed: %s", place_of(error))
            answer = self._problem(request, call, None)
        if not answer.prepared:
            self._end_with(answer, request)
        return answer

    def _unforeseen(self, request: web.BaseRequest, call: Call, error: BaseException) -> web.StreamResponse:
        _log.error("a request failed: %s", place_of(error))
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
        call.audited = request.raw_path.startswith(DATA_PREFIX)
        _check_headers(request, self._settings)
        route = parse_route(request.method, request.raw_path)
        if route.action is Action.SYSTEM:
            return await self._serve_system(request, route)
        _describe(call, route)
        self._check_warm()
        with self._admission.request():
            if route.target is None:
                return await self._serve_signed(request, route, call)
            return await self._serve_container(request, route, route.target, call)

    async def _serve_system(self, request: web.BaseRequest, route: Route) -> web.StreamResponse:
        """Probes always get through. What is large is sent here, and only so often at a time: it needs no token."""
        if route.raw_path not in LARGE:
            return self._system.answer(route.raw_path)
        with self._admission.identity(f"the path {route.raw_path}"):
            answer = self._system.answer(route.raw_path)
            self._end_with(answer, request)
            await answer.prepare(request)
            await answer.write_eof()
            return answer

    def _end_with(self, answer: web.StreamResponse, request: web.BaseRequest) -> None:
        if self.draining or not request.content.is_eof():
            answer.force_close()

    def _check_warm(self) -> None:
        """Before memory is complete, what is declared and who is let in is not known: nobody is served. Once warm, always warm.

        Raises:
            Refusal: 503.
        """
        self._warm = self._warm or not self._system.missing()
        if not self._warm:
            raise Refusal(Code.NOT_READY, "The gateway has not loaded what it needs yet; try again.")

    async def _serve_container(
        self, request: web.BaseRequest, route: Route, target: Target, call: Call
    ) -> web.StreamResponse:
        verb = verb_of(request.method, route.action)
        identity = call.identity = await self._authenticator.identify(request.headers, peer=request.remote)
        with self._admission.identity(identity.user):
            call.namespace = self._gate.namespace(identity, target)
            if verb is Verb.SIGN:
                return await self._sign(request, target, call, identity)
            if verb is Verb.COPY:
                return await self._copy(request, target, call, identity)
            at, rights = await self._gate.enter(identity, target, verb)
            exchange = Exchange(request, call, at, self._settings)
            answer = await self._operate(exchange, route, target, identity, rights)
            self._report(at, target)
            return answer

    async def _sign(
        self, request: web.BaseRequest, target: Target, call: Call, identity: Identity
    ) -> web.StreamResponse:
        """The method that decides over the second right stands in the body: it is read before anything is looked up."""
        order = await actions.sign_order(request, call, self._settings, self._gate, identity, target)
        at = await self._gate.resolve(identity, target)
        answer = await actions.sign(Exchange(request, call, at, self._settings), order)
        self._report(at, target)
        return answer

    async def _copy(
        self, request: web.BaseRequest, target: Target, call: Call, identity: Identity
    ) -> web.StreamResponse:
        """Likewise: the source stands in the body."""
        order, rights = await actions.copy_order(request, call, self._settings, self._gate, identity, target)
        at = await self._gate.resolve(identity, target)
        source = await self._gate.resolve(identity, order.source)
        answer = await actions.copy(Exchange(request, call, at, self._settings), source, order, rights)
        self._report(at, target)
        self._report(source, order.source)
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
            case _:
                return await objects.listing(exchange, route.query)

    async def _serve_signed(self, request: web.BaseRequest, route: Route, call: Call) -> web.StreamResponse:
        at, grant = await self._signed.open(request, route, call)
        with self._admission.identity(f"signed URLs of {at.uid}"):  # one leaked URL must not fill the gateway
            return await self._operate_signed(Exchange(request, call, at, self._settings), grant)

    async def _operate_signed(self, exchange: Exchange, grant: Grant) -> web.StreamResponse:
        match grant.method:
            case Method.GET:
                return await objects.get(exchange, grant.key)
            case Method.HEAD:
                return await objects.head(exchange, grant.key)
            case Method.DELETE:
                return await objects.delete(exchange, grant.key)
            case _:
                both = WriteRights(create=True, update=True)
                return await objects.put(exchange, grant.key, both, max_size_bytes=grant.max_size_bytes)

    def _report(self, at: Resolved, target: Target) -> None:
        """Tell the operator of a container that was loaded on demand."""
        entry = at.store.containers.get(at.container)
        if target.family is not Family.CONTAINER and entry is not None and entry.origin is Origin.DYNAMIC:
            self._loads.loaded(at.location, entry)


def _describe(call: Call, route: Route) -> None:
    """What the target says of itself: known before anybody is asked, so that refusals name it, too."""
    target = route.target
    if target is None:
        call.signed = True
        return
    call.family, call.verb = target.family, verb_of(call.method, route.action)
    call.namespace, call.location, call.container = target.namespace, target.location, target.container
    call.key = route.key


def _is_open(request: web.BaseRequest) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def abort(request: web.BaseRequest) -> None:
    """Reset the connection: the client must not take what it got for the whole."""
    protocol = request.protocol
    if isinstance(protocol, Connection):
        protocol.abort()


def _check_headers(request: web.BaseRequest, settings: GatewaySettings) -> None:
    """Raises:
    Refusal: what no request may have, whatever it is for.
    """
    check_framing(request.headers, request.version)
    size = sum(len(name) + len(value) + 4 for name, value in request.raw_headers)
    if size > settings.limits.max_header_bytes:
        raise Refusal(Code.HEADERS_TOO_LARGE, "The request's headers are too large.", close=True)
