"""What the operator counts: reconciles by kind and outcome, their time, and how much waits. Never a name of an object."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
"""Up to the deadline of a pass."""


@dataclass(slots=True)
class Timer:
    """Filled in by whoever is timed."""

    outcome: str = "Cancelled"


class ReconcileMetrics:
    """The families, once per process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._count = Counter(
            "stow_reconciles", "Reconciles by kind and outcome.", ("kind", "outcome"), registry=registry
        )
        self._seconds = Histogram(
            "stow_reconcile_seconds", "Time of a reconcile.", ("kind",), buckets=_BUCKETS, registry=registry
        )
        self._depth = Gauge("stow_queue_depth", "Objects that are due and wait for a worker.", registry=registry)
        self._busy = Gauge("stow_reconciles_running", "Reconciles that run now.", registry=registry)

    @contextmanager
    def reconciling(self, kind: str) -> Iterator[Timer]:
        """Times one reconcile and counts its outcome."""
        timer, begun = Timer(), time.perf_counter()
        try:
            yield timer
        finally:
            self._seconds.labels(kind).observe(time.perf_counter() - begun)
            self._count.labels(kind, timer.outcome).inc()

    def watch_queue(self, depth: Callable[[], int], busy: Callable[[], int]) -> None:
        """Read when somebody asks."""
        self._depth.set_function(depth)
        self._busy.set_function(busy)
