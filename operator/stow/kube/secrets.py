"""Secrets and ConfigMaps of locations: read by name with ``get``, never listed or watched, and looked at again every half a minute.

Each of them is read once a round, however many locations use it; whoever asks gets what the last round saw. A read that fails - denied, no
answer - changes nothing: only a clear 404 is "absent". Values never leave in a log or an error.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from stow.api.credentials.keys import decode_secret_data
from stow.api.location import location_spec
from stow.api.meta import LOCATION_KINDS
from stow.errors import ControlPlaneError, InvalidSpecError, StowError
from stow.kube.listeners import Listeners
from stow.kube.rest import NOT_FOUND, Requests, object_path
from stow.kube.sources import CONFIG_MAP, SECRET, source_refs
from stow.reconcile.objects import ObjectRef
from stow.reconcile.ports import Objects, SecretData, Secrets
from stow.storage.clock import Clock

POLL_INTERVAL: Final = timedelta(seconds=30)
JITTER: Final = 0.1
"""Each round comes up to a tenth sooner or later, so that replicas spread."""
ABSENT_FRESH: Final = timedelta(seconds=2)
"""For so long an absence is believed without asking: a Secret is often applied right after its location."""
MAX_READS: Final = 8
"""In flight in one round: thousands of Secrets must not become a burst."""

_log = logging.getLogger(__name__)


class SecretReader:
    """Implements :class:`stow.reconcile.ports.Secrets` by asking the API server each time."""

    def __init__(self, request: Requests) -> None:
        self._request = request

    async def get(self, namespace: str, name: str) -> SecretData | None:
        """Raises:
        ControlPlaneError: denied, or no answer.
        """
        raw = await self._read(SECRET, namespace, name)
        return None if raw is None else _data(raw, decode_secret_data(raw.get("data")))

    async def config_map(self, namespace: str, name: str) -> SecretData | None:
        """Raises:
        ControlPlaneError: denied, or no answer.
        """
        raw = await self._read(CONFIG_MAP, namespace, name)
        if raw is None:
            return None
        texts = {str(key): str(value).encode() for key, value in (raw.get("data") or {}).items()}
        return _data(raw, {**decode_secret_data(raw.get("binaryData")), **texts})

    async def _read(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        try:
            return await self._request("GET", object_path(kind, namespace, name))
        except ControlPlaneError as error:
            if error.status == NOT_FOUND:
                return None
            raise


def _data(raw: Mapping[str, Any], values: Mapping[str, bytes | None]) -> SecretData:
    meta = raw.get("metadata") or {}
    data = {key: value or b"" for key, value in values.items()}
    return SecretData(str(meta.get("uid", "")), str(meta.get("resourceVersion", "")), data)


def referenced_sources(objects: Objects, *, system_namespace: str) -> dict[ObjectRef, set[ObjectRef]]:
    """The Secrets and ConfigMaps that locations refer to now, with their users."""
    found: dict[ObjectRef, set[ObjectRef]] = {}
    for kind in LOCATION_KINDS:
        for location in objects.list(kind):
            try:
                spec = location_spec(kind, location.spec)
            except InvalidSpecError:
                continue
            for ref in source_refs(location, spec, system_namespace=system_namespace).all():
                found.setdefault(ref, set()).add(location.ref)
    return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the last successful read said. ``read_at`` None: none succeeded yet."""

    secret: SecretData | None
    read_at: datetime | None

    def differs(self, other: SecretData | None) -> bool:
        return self.read_at is None or _version(self.secret) != _version(other)


def _version(secret: SecretData | None) -> tuple[str, str] | None:
    return None if secret is None else (secret.uid, secret.resource_version)


class SecretPoller:
    """Implements :class:`stow.reconcile.ports.Secrets` from memory, and ``Wakes`` for the locations of one that changed."""

    def __init__(
        self,
        secrets: Secrets,
        referenced: Callable[[], Mapping[ObjectRef, Collection[ObjectRef]]],
        *,
        clock: Clock,
        interval: timedelta = POLL_INTERVAL,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._secrets = secrets
        self._referenced = referenced
        self._clock = clock
        self._interval = interval
        self._sleep = sleep
        self._uniform = uniform
        self._seen: dict[ObjectRef, _Seen] = {}
        self._reading: dict[ObjectRef, asyncio.Task[None]] = {}
        self._failing: set[ObjectRef] = set()
        self._listeners = Listeners[[ObjectRef]]("a changed Secret")

    async def get(self, namespace: str, name: str) -> SecretData | None:
        """What is known of a Secret, read now where nothing is known or it is old.

        Raises:
            ControlPlaneError: it was never read, and cannot be read now.
        """
        return await self._known(ObjectRef(SECRET, namespace, name))

    async def config_map(self, namespace: str, name: str) -> SecretData | None:
        """The same of a ConfigMap."""
        return await self._known(ObjectRef(CONFIG_MAP, namespace, name))

    async def _known(self, ref: ObjectRef) -> SecretData | None:
        seen = self._seen.get(ref)
        if seen is None or self._is_old(seen):
            await self._read(ref)
            seen = self._seen.get(ref)
        if seen is None or seen.read_at is None:
            raise ControlPlaneError(f"The location's {ref.kind} cannot be read from the API server just now.")
        return seen.secret

    def _is_old(self, seen: _Seen) -> bool:
        if seen.read_at is None:
            return True
        fresh = ABSENT_FRESH if seen.secret is None else 2 * self._interval
        return self._clock() - seen.read_at >= fresh

    def subscribe(self, listener: Callable[[ObjectRef], None]) -> Callable[[], None]:
        """Called with each location of which a Secret or ConfigMap changed, came or went; call the result to end it."""
        return self._listeners.subscribe(listener)

    async def run(self) -> None:
        """A round every interval, give or take a tenth, until cancelled."""
        while True:
            await self._sleep(self._interval.total_seconds() * self._uniform(1 - JITTER, 1 + JITTER))
            await self.poll()

    async def poll(self) -> None:
        """One round: read what is referenced, forget what is not any more, tell what changed."""
        referenced = self._referenced()
        for ref in set(self._seen) - set(referenced):
            self._seen.pop(ref)
            self._failing.discard(ref)
        slots = asyncio.Semaphore(MAX_READS)

        async def look(ref: ObjectRef) -> None:
            async with slots:
                await self._read(ref)

        async with asyncio.TaskGroup() as group:
            for ref in referenced:
                group.create_task(look(ref))

    async def _read(self, ref: ObjectRef) -> None:
        """Concurrent askers share one read; one that goes away does not end it for the others. Never raises a StowError."""
        task = self._reading.get(ref)
        if task is None:
            task = self._reading[ref] = asyncio.create_task(self._read_now(ref))
            task.add_done_callback(lambda _: self._reading.pop(ref, None))
        await asyncio.shield(task)

    async def _read_now(self, ref: ObjectRef) -> None:
        before = self._seen.get(ref)
        try:
            find = self._secrets.get if ref.kind == SECRET else self._secrets.config_map
            secret = await find(ref.namespace or "", ref.name)
        except StowError as error:
            if before is None:
                self._seen[ref] = _Seen(None, None)
            if ref not in self._failing:
                self._failing.add(ref)
                _log.warning("A %s cannot be read; what is known of it stays in use: %s", ref.kind, error.message)
            return
        self._failing.discard(ref)
        self._seen[ref] = _Seen(secret, self._clock())
        if before is not None and before.differs(secret):
            self._wake(ref)

    def _wake(self, ref: ObjectRef) -> None:
        for location in self._referenced().get(ref, ()):
            self._listeners.notify(location)
