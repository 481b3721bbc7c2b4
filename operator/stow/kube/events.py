"""Kubernetes Events: best effort, limited, and never an error for the caller.

A terminating namespace refuses new Events (403), and an Event that is lost costs nobody anything: status says the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from stow.api.meta import API_VERSION
from stow.errors import ControlPlaneError
from stow.kube.rest import Requests
from stow.kube.writer import WriteMetrics
from stow.reconcile.objects import Snapshot
from stow.storage.clock import Clock

BURST: Final = 50
"""Enough for a namespace's worth of objects that are applied at once."""
REFILL_PER_S: Final = 1.0
"""An API server keeps Events for an hour; more than one a second from here is noise."""
COMPONENT: Final = "stow-operator"
_CLUSTER_EVENTS_NAMESPACE: Final = "default"
"""Where Kubernetes itself puts Events of cluster-scoped objects."""
_MAX_MESSAGE: Final = 1024
"""The limit of events.k8s.io/v1, which the core API shares."""

_log = logging.getLogger(__name__)


class KubeEvents:
    """Implements :class:`stow.reconcile.ports.Events`. ``monotonic`` gives seconds."""

    def __init__(
        self, request: Requests, metrics: WriteMetrics, *, clock: Clock, monotonic: Callable[[], float]
    ) -> None:
        self._request = request
        self._metrics = metrics
        self._clock = clock
        self._monotonic = monotonic
        self._tokens = float(BURST)
        self._filled_at = monotonic()

    async def emit(self, snapshot: Snapshot, *, reason: str, message: str, warning: bool) -> None:
        if not self._take():
            return
        namespace = snapshot.ref.namespace or _CLUSTER_EVENTS_NAMESPACE
        now = self._clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{snapshot.ref.name[:200]}.", "namespace": namespace},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": snapshot.ref.kind,
                "name": snapshot.ref.name,
                "namespace": snapshot.ref.namespace,
                "uid": snapshot.uid,
                "resourceVersion": snapshot.resource_version,
            },
            "reason": reason,
            "message": message[:_MAX_MESSAGE],
            "type": "Warning" if warning else "Normal",
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self._metrics.wrote("Event", "event")
        try:
            await self._request("POST", f"/api/v1/namespaces/{namespace}/events", body=body)
        except ControlPlaneError as error:
            _log.debug("An Event was not taken (%s)", error.status)

    def _take(self) -> bool:
        now = self._monotonic()
        self._tokens = min(float(BURST), self._tokens + (now - self._filled_at) * REFILL_PER_S)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
