"""The operator's own small HTTP server: is it alive, is it ready, what has it counted. No object, no name, no secret is served."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SHUTDOWN_S = 2.0
"""A scrape that takes longer has gone wrong."""


@asynccontextmanager
async def serve(
    listen: tuple[str, int], registry: CollectorRegistry, *, ready: Callable[[], bool]
) -> AsyncIterator[tuple[str, int]]:
    """Serve until the end of the block; gives the address, with the port that was taken where 0 was asked for."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        return (
            web.Response(text="ok\n")
            if ready()
            else web.Response(status=503, text="the watches are not complete yet\n")
        )

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, *listen).start()
        host, port, *_ = runner.addresses[0]
        yield host, port
    finally:
        await runner.cleanup()
