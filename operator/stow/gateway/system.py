"""Health, readiness, metrics and the API's description: for probes and scrapers, without a token, without any name of a tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from stow.gateway import answers
from stow.gateway.openapi import DOCUMENT
from stow.gateway.ports import Readiness

_REST: Final = 20
"""Times as long as metrics took to write, they are not written anew: at most a twentieth of the loop goes there."""
_TEXT = "text/plain; charset=utf-8"


class System:
    """Serves the system paths. ``draining`` makes it unready whatever else is there."""

    def __init__(
        self,
        readiness: Readiness,
        registry: CollectorRegistry,
        *,
        draining: Callable[[], bool],
        now: Callable[[], float],
    ) -> None:
        self._readiness = readiness
        self._registry = registry
        self._draining = draining
        self._now = now
        self._metrics = b""
        self._metrics_until = float("-inf")

    def answer(self, path: str) -> web.StreamResponse:
        match path:
            case "/healthz":
                return answers.text(200, b"ok\n", _TEXT)
            case "/readyz":
                return self._ready()
            case "/metrics":
                return answers.text(200, self._written_metrics(), CONTENT_TYPE_LATEST)
            case _:
                return answers.document(200, DOCUMENT)

    def _written_metrics(self) -> bytes:
        """Writing them holds the event loop, with a thousand locations for a second, and anybody may ask: what took long is kept."""
        begun = self._now()
        if begun >= self._metrics_until:
            self._metrics = generate_latest(self._registry)
            end = self._now()
            self._metrics_until = end + _REST * (end - begun)
        return self._metrics

    def missing(self) -> list[str]:
        """What has to be there and is not."""
        return sorted(name for name, there in self._readiness().items() if not there)

    def _ready(self) -> web.StreamResponse:
        missing = [*self.missing(), *(["draining"] if self._draining() else [])]
        return answers.document(503 if missing else 200, {"ready": not missing, "missing": missing})
