"""``stow gateway``: the object API, put together."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping

from stow.cli.foundation import Foundation, background, foundation, serve
from stow.cli.settings import Settings
from stow.gateway.app import Parts, run_gateway
from stow.gateway.ports import Identity
from stow.gateway.settings import GatewaySettings, Limits
from stow.kube.reader import KubeReader
from stow.kube.reports import LoadReporter, Replica
from stow.kube.reviews import AccessReviewer, TokenReviewer, api_server_audiences, check_audience, own_token
from stow.kube.watch import Watcher, WatchSettings
from stow.storage.clock import utc_now


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit code."""

    async def work(stop: asyncio.Event) -> None:
        async with foundation(settings, reconciles=False) as base:
            await _serve(base, stop)

    return serve("gateway", settings, work)


async def _serve(base: Foundation, stop: asyncio.Event) -> None:
    settings = base.settings
    audiences = await api_server_audiences(base.request, own_token=own_token(base.api))
    check_audience(settings.audience, audiences)
    watch = WatchSettings(namespaces=settings.namespaces)
    watcher = Watcher(base.api, base.cache, watch)
    name = settings.pod_name or f"{socket.gethostname()}-{os.getpid()}"
    replica = Replica(settings.system_namespace, name, settings.pod_name, settings.pod_uid)
    reporter = LoadReporter(base.request, replica, clock=utc_now, crash=base.crash)

    def readiness() -> Mapping[str, bool]:
        return {"caches": base.cache.synced, "keys": base.keys.ready}

    parts = Parts(
        tokens=TokenReviewer(base.request, Identity, audience=settings.audience),
        access=AccessReviewer(base.request),
        objects=base.cache,
        reader=KubeReader(base.request),
        stores=base.pool,
        keyrings=base.keys,
        loads=reporter,
        readiness=readiness,
        clock=utc_now,
        registry=base.registry,
    )
    wanted = GatewaySettings(
        audience=settings.audience,
        limits=Limits(max_requests=settings.max_concurrent_requests),
        drain_grace_s=settings.shutdown_grace.total_seconds(),
    )
    host, port = settings.listen
    async with background(base.secrets.run(), base.pool.run(), base.keys.run(), watcher.run(), reporter.run()):
        await run_gateway(wanted, parts, host=host, port=port, stop=stop, started=lambda at: _say(host, at))
        await reporter.withdraw()


def _say(host: str, port: int) -> None:
    sys.stderr.write(f"stow gateway: the object API listens on {host}:{port}\n")
    sys.stderr.flush()
