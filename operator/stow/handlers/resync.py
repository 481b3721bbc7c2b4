"""Finds what the watches may have lost: an object that went while a watch was down is announced by nobody.

Now and then, and after each restart of the watches, everything is listed in pages and compared with the memory: what is gone is taken
out, what is newer replaces what is known. Nothing comes in that is not known: it may have gone since the page was made, and the watches
bring it if it has not. Where it cannot list, it tries again later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from stow.errors import ControlPlaneError
from stow.kube.cache import WATCHED_KINDS, ObjectCache
from stow.kube.rest import Requests, collection_path
from stow.reconcile.objects import ObjectRef, Snapshot

INTERVAL_S: Final = 600.0
"""An entry of something gone costs little; ten minutes are the resync of most controllers."""
_PAGE_SIZE: Final = "500"

_log = logging.getLogger(__name__)


class Resync:
    """``namespaces``: empty for all. ``jitter`` gives a number in [0, 1)."""

    def __init__(
        self,
        request: Requests,
        cache: ObjectCache,
        *,
        namespaces: tuple[str, ...],
        jitter: Callable[[], float],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._request = request
        self._cache = cache
        self._namespaces = namespaces
        self._jitter = jitter
        self._interval_s = interval_s
        self._now = asyncio.Event()

    def soon(self) -> None:
        """Compare as soon as possible."""
        self._now.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._now.clear()
            try:
                await self.compare()
            except ControlPlaneError as error:
                _log.info("The memory could not be compared with the API server: %s", error.message)
            try:
                async with asyncio.timeout(self._interval_s * (1 + 0.1 * self._jitter())):
                    await self._now.wait()
            except TimeoutError:
                continue

    async def compare(self) -> None:
        """Once. Raises: ControlPlaneError."""
        for kind in WATCHED_KINDS:
            for path in self._paths(kind):
                await self._compare(kind, *path)

    def _paths(self, kind: str) -> list[tuple[str, str | None]]:
        is_namespaced = kind in {"StowLocation", "StowContainer"}
        if not self._namespaces or not is_namespaced:
            return [(collection_path(kind), None)]
        return [(collection_path(kind, namespace), namespace) for namespace in self._namespaces]

    async def _compare(self, kind: str, path: str, namespace: str | None) -> None:
        known = {
            each.ref: each for each in self._cache.list(kind) if namespace is None or each.ref.namespace == namespace
        }
        listed: set[ObjectRef] = set()
        token = ""
        while True:
            query = [("limit", _PAGE_SIZE), *([("continue", token)] if token else [])]
            page = await self._request("GET", path, query=query)
            for raw in page.get("items") or ():
                listed.add(self._take(raw, kind))
            token = page.get("metadata", {}).get("continue") or ""
            if not token:
                break
        for ref, snapshot in known.items():
            if ref not in listed and self._cache.get(ref) is snapshot:
                self._cache.remove(ref, uid=snapshot.uid)

    def _take(self, raw: dict[str, Any], kind: str) -> ObjectRef:
        snapshot = Snapshot.from_raw(raw, kind=kind)
        known = self._cache.get(snapshot.ref)
        if known is not None and known.resource_version != snapshot.resource_version:
            self._cache.apply(snapshot)
        return snapshot.ref
