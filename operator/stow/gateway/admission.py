"""How many requests run at a time: in all, and for one identity. Counts only; what is above is refused at once, never queued."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from stow.gateway.metrics import GatewayMetrics
from stow.gateway.problems import Code, Refusal
from stow.gateway.settings import Limits


class Admission:
    """The counters of one process."""

    def __init__(self, limits: Limits, metrics: GatewayMetrics) -> None:
        self._limits = limits
        self._metrics = metrics
        self._running = 0
        self._per_user: Counter[str] = Counter()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Raises:
        Refusal: 503, as many run as may.
        """
        if self._running >= self._limits.max_requests:
            raise Refusal(Code.OVERLOADED, "The gateway serves as many requests as it can; try again.")
        self._running += 1
        self._metrics.in_flight.inc()
        try:
            yield
        finally:
            self._running -= 1
            self._metrics.in_flight.dec()

    @contextmanager
    def identity(self, user: str) -> Iterator[None]:
        """Raises:
        Refusal: 429, as many of this user run as may.
        """
        if self._per_user[user] >= self._limits.max_requests_per_identity:
            raise Refusal(Code.TOO_MANY_REQUESTS, "This identity has as many requests running as it may; try again.")
        self._per_user[user] += 1
        try:
            yield
        finally:
            self._per_user[user] -= 1
            if not self._per_user[user]:
                del self._per_user[user]
