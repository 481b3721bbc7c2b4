"""The operator's audit trail: one line for each decision about somebody's data - created, loaded, retained, deleted, abandoned.

The line names the object and the container, and never a credential. It goes to its own logger, so that it can be kept apart.
"""

from __future__ import annotations

import logging
from typing import Final

from stow.reconcile.objects import Snapshot

LOGGER: Final = "stow.audit"


class LogAudit:
    """Implements :class:`stow.reconcile.ports.Audit` with the standard library's logging."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._log = logger or logging.getLogger(LOGGER)

    def record(self, action: str, snapshot: Snapshot, *, detail: str) -> None:
        fields = {"action": action, "kind": snapshot.ref.kind, "object": str(snapshot.ref), "uid": snapshot.uid}
        self._log.info("%s %s: %s", action, snapshot.ref, detail, extra=fields)
