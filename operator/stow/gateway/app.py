"""The gateway as a whole: its parts put together, and the life of its listener.

It listens at once; being ready is another matter (``/readyz``). It ends in order: not ready, then deaf, then running requests finish or
are cut at the grace.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry

from stow.gateway import audit
from stow.gateway.auth import Authenticator, Authorizer
from stow.gateway.connection import Listener
from stow.gateway.gate import Gate
from stow.gateway.metrics import GatewayMetrics
from stow.gateway.ports import AccessReviewer, AuditSink, Keyrings, LoadReports, Readiness, TokenReviewer
from stow.gateway.resolve import Resolver
from stow.gateway.service import ObjectService
from stow.gateway.settings import GatewaySettings
from stow.gateway.signed import SignedURLs
from stow.gateway.system import System
from stow.reconcile.ports import Objects, Reader, Stores
from stow.storage.clock import Clock

_DRAIN_LOOK_S: Final = 0.02


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
        self._service = ObjectService(
            settings,
            authenticator=self._authenticator,
            gate=self._gate,
            signed=SignedURLs(resolver, parts.keyrings, parts.clock),
            system=System(parts.readiness, parts.registry, draining=lambda: self._service.draining, now=parts.now),
            metrics=self._metrics,
            loads=parts.loads,
            audit=parts.audit,
            clock=parts.clock,
            now=parts.now,
        )
        self._listener: Listener | None = None
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(
        self,
        *,
        host: str | None = None,
        port: int = 0,
        sock: socket.socket | None = None,
    ) -> int:
        """Listen on ``sock``, or on host and port (0: a free one); returns the port."""
        loop = asyncio.get_running_loop()
        self._listener = Listener(self._service.handle, self._settings, self._metrics)
        if sock is not None:
            self._server = await loop.create_server(self._listener, sock=sock, backlog=1024)
        else:
            self._server = await loop.create_server(self._listener, host, port, backlog=1024)
        self._sweeper = asyncio.create_task(self._listener.sweep())
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Unready, then deaf, then running requests finish or are cut at the grace. Returns when every connection is gone."""
        self._service.draining = True
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
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        await self._authenticator.aclose()
        await self._gate.authorizer.aclose()
        await self._gate.resolver.aclose()


async def run_gateway(
    settings: GatewaySettings,
    parts: Parts,
    *,
    host: str,
    port: int,
    stop: asyncio.Event,
    started: Callable[[int], None] = lambda _port: None,
) -> None:
    """Serve until ``stop`` is set, then drain. ``started`` hears the port."""
    gateway = Gateway(settings, parts)
    started(await gateway.start(host=host, port=port))
    try:
        await stop.wait()
    finally:
        await gateway.stop()
