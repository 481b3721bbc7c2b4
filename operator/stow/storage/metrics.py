"""What a store counts. The names are those of the original StowStore; labels are kind and location, never a container or key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from stow.errors import NotModifiedError, StowError

OPERATIONS: Final = ("head", "list", "read", "write", "delete", "copy", "sign", "create", "load", "probe", "sweep")
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""From a cached local head to the upload of some gigabytes."""


class StoreMetrics:
    """The families, once per process. :meth:`bind` gives one location's view of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("kind", "location")
        self.bad_key = Counter(
            "stow_bad_key", "Requests whose key or reference was refused.", labels, registry=registry
        )
        self.bad_container = Counter(
            "stow_bad_container", "Requests for a container that is not allowed.", labels, registry=registry
        )
        self.latency = {
            name: Histogram(
                f"stow_{name}_seconds",
                f"Time of {name} operations until their answer, for reads until the first byte.",
                labels,
                buckets=_BUCKETS,
                registry=registry,
            )
            for name in OPERATIONS
        }
        self.failures = Counter(
            "stow_failures", "Failed operations by type of error.", (*labels, "operation", "type"), registry=registry
        )
        self.read_bytes = Counter("stow_read_bytes", "Bytes read from backends.", labels, registry=registry)
        self.written_bytes = Counter("stow_written_bytes", "Bytes written to backends.", labels, registry=registry)

    def bind(self, *, kind: str, location: str) -> LocationMetrics:
        """``kind``: of the backend (s3, local, memory); ``location``: ``namespace/name``, or ``name`` for a cluster location."""
        return LocationMetrics(self, kind, location)


class LocationMetrics:
    """One location's counters."""

    def __init__(self, families: StoreMetrics, kind: str, location: str) -> None:
        self._families = families
        self._labels = (kind, location)

    def bad_key(self) -> None:
        self._families.bad_key.labels(*self._labels).inc()

    def bad_container(self) -> None:
        self._families.bad_container.labels(*self._labels).inc()

    def read(self, size_bytes: int) -> None:
        self._families.read_bytes.labels(*self._labels).inc(size_bytes)

    def written(self, size_bytes: int) -> None:
        self._families.written_bytes.labels(*self._labels).inc(size_bytes)

    @contextmanager
    def operation(self, name: str) -> Iterator[None]:
        """Times what runs inside, and counts its error by class; a 304 is an answer, no failure."""
        begun = time.perf_counter()
        try:
            yield
        except NotModifiedError:
            raise
        except StowError as error:
            self._families.failures.labels(*self._labels, name, error.code).inc()
            raise
        finally:
            self._families.latency[name].labels(*self._labels).observe(time.perf_counter() - begun)
