"""What the gateway counts. Labels are route family, verb and code; never a name, a key or a user."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stow.gateway.audit import Call

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class GatewayMetrics:
    """The families, once per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        labels = ("route", "verb")
        self._requests = Counter(
            "stow_gateway_requests", "Requests answered.", (*labels, "status", "code"), registry=registry
        )
        self._duration = Histogram(
            "stow_gateway_request_seconds",
            "From headers to the last byte.",
            labels,
            buckets=_BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge("stow_gateway_requests_in_flight", "Requests being served.", registry=registry)
        self.connections = Gauge("stow_gateway_connections", "Open connections.", registry=registry)
        self._bytes = Counter("stow_gateway_bytes", "Bytes of bodies.", ("direction",), registry=registry)
        self._cache = Counter(
            "stow_gateway_cache_lookups", "Look-ups in the review caches.", ("cache", "result"), registry=registry
        )
        self.cut = Counter(
            "stow_gateway_connections_cut", "Connections ended by a deadline or limit.", ("reason",), registry=registry
        )

    def answered(self, call: Call, *, duration_s: float) -> None:
        route = call.family.value if call.family else ("signed" if call.signed else "other")
        verb = call.verb.value if call.verb else "other"
        self._requests.labels(route, verb, str(call.status), call.code).inc()
        self._duration.labels(route, verb).observe(duration_s)
        self._bytes.labels("in").inc(call.bytes_in)
        self._bytes.labels("out").inc(call.bytes_out)

    def cache(self, name: str) -> Callable[[bool], None]:
        """An observer for one cache."""
        hit, miss = self._cache.labels(name, "hit"), self._cache.labels(name, "miss")
        return lambda found: (hit if found else miss).inc()
