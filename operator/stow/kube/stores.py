"""One store a location: built from its spec and what that refers to, probed, swapped in; the one before stays open while it may be in use.

What fails to build leaves the last good store in its place, and the failure is told beside it; the rules of the new spec (signed methods,
limits, which containers load on demand) hold for the old client at once, so that a broken change never keeps an old permission. One build
at a time for a location, whoever asks; a failed one is tried again after a pause. Errors hold no secret and nothing that a backend said.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from stow.api.location import LocationSpec, location_spec
from stow.errors import BackendFailedError, StowError
from stow.kube.builder import Factory, StoreBuilder, Wanted
from stow.kube.plans import KnownContainers, PlanSettings, store_config, store_plan
from stow.kube.sources import read_sources, source_refs
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.ports import OpenedStore, Secrets
from stow.storage.clock import Clock
from stow.storage.config import StoreConfig
from stow.storage.crashpoints import Crash, no_crash
from stow.storage.egress import EgressPolicy, Resolve, system_resolve
from stow.storage.metrics import StoreMetrics
from stow.storage.model import Origin
from stow.storage.store import StowStore

MAX_RETIRED: Final = 64
"""Stores that wait for their last users; beyond it the oldest is closed early. Each may hold some connections."""
FIRST_PAUSE: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(seconds=30)
_SWEEP_INTERVAL_S: Final = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How stores are built and kept."""

    build_timeout_s: float = 30.0
    """For name resolution and probe together."""
    close_timeout_s: float = 10.0
    retire_after: timedelta = timedelta(minutes=15)
    """How long a replaced store stays open for what began on it: hours of download over a link of 1 Gbit/s end sooner."""
    wait_for_rebuild: bool = True
    """Whether a caller waits for a new store while a good one is there: a reconciler does, a request does not."""
    keep_deleted: bool = True
    """Whether the store of a location that is gone stays until it is closed: to delete containers the operator needs it."""


@dataclass(frozen=True, slots=True)
class _Spec:
    """What the newest readable generation says."""

    generation: int
    spec: LocationSpec
    config: StoreConfig


@dataclass(frozen=True, slots=True)
class _Current:
    store: StowStore
    built_for: Wanted


@dataclass(frozen=True, slots=True)
class _Failure:
    error: StowError
    built_for: Wanted
    until: datetime
    pause: timedelta


@dataclass(slots=True)
class _Slot:
    """One location, by UID: a namesake that comes after it begins anew."""

    ref: ObjectRef
    uid: str
    spec: _Spec | None = None
    wanted: Wanted | None = None
    current: _Current | None = None
    failure: _Failure | None = None
    building: asyncio.Task[None] | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class _Retired:
    store: StowStore
    close_at: datetime


@dataclass(frozen=True, slots=True)
class PoolParts:
    """What a pool stands on. ``factories``: by the union member of the spec (``s3``, ``local``)."""

    objects: KnownContainers
    secrets: Secrets
    factories: Mapping[str, Factory]
    metrics: StoreMetrics
    clock: Clock
    cursor_key: Callable[[], bytes] = field(repr=False)
    """Raises StowError while there is none yet."""
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    resolve: Resolve = system_resolve
    crash: Crash = no_crash


class StorePool:
    """Implements :class:`stow.reconcile.ports.Stores`. Belongs to one event loop."""

    def __init__(self, parts: PoolParts, plans: PlanSettings, settings: PoolSettings | None = None) -> None:
        self._parts = parts
        self._plans = plans
        self._settings = settings or PoolSettings()
        self._builder = StoreBuilder(
            factories=parts.factories,
            metrics=parts.metrics,
            clock=parts.clock,
            timeout_s=self._settings.build_timeout_s,
            egress=parts.egress,
            resolve=parts.resolve,
            crash=parts.crash,
        )
        self._slots: dict[ObjectRef, _Slot] = {}
        self._retired: list[_Retired] = []
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self, location: Snapshot) -> OpenedStore:
        """The location's store as its spec and Secret are now, else the last good one with the problem.

        Raises:
            StowError: neither can be had; says why.
        """
        slot = self._slot(location)
        try:
            await self._want(slot, location)
        except StowError as error:
            return _last_good(slot, error)
        return await self._settled(slot)

    def last_good(self, ref: ObjectRef) -> StowStore | None:
        slot = self._slots.get(ref)
        return slot.current.store if slot is not None and slot.current is not None else None

    async def close(self, ref: ObjectRef) -> None:
        """Forget the location; what is under way on its store has its time to end."""
        self.retire(ref)

    def retire(self, ref: ObjectRef) -> None:
        """The same for callers that cannot wait, such as a listener of the cache."""
        slot = self._slots.pop(ref, None)
        if slot is None:
            return
        slot.closed = True
        if slot.current is not None:
            self._retire(slot.current.store)

    def sweep(self) -> None:
        """Begin to close replaced stores whose time is over, and let those of deleted locations go where nobody needs them."""
        now = self._parts.clock()
        if not self._settings.keep_deleted:
            for ref in [ref for ref in self._slots if self._parts.objects.get(ref) is None]:
                self.retire(ref)
        due = [retired for retired in self._retired if retired.close_at <= now]
        if due:
            self._retired = [r for r in self._retired if r not in due]
            for retired in due:
                self._begin_close(retired.store)

    async def renew(self) -> None:
        """Where requests do not wait for a new client: begin to build it without one, or the first request meets the old client."""
        if self._settings.wait_for_rebuild:
            return
        for ref, slot in tuple(self._slots.items()):
            location = self._parts.objects.get(ref)
            if location is None or location.uid != slot.uid or slot.current is None:
                continue
            with contextlib.suppress(StowError):  # whoever asks next is told
                await self.open(location)

    async def run(self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Sweep and renew until cancelled."""
        while True:
            await sleep(_SWEEP_INTERVAL_S)
            self.sweep()
            await self.renew()

    async def aclose(self) -> None:
        """End everything now, within the deadline of each store."""
        building = [slot.building for slot in self._slots.values() if slot.building is not None]
        for ref in tuple(self._slots):  # first, so that no caller that wakes begins anew
            self.retire(ref)
        for task in building:
            task.cancel()
        await asyncio.gather(*building, return_exceptions=True)
        for retired in self._retired:
            self._begin_close(retired.store)
        self._retired.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)

    # What is wanted

    def _slot(self, location: Snapshot) -> _Slot:
        slot = self._slots.get(location.ref)
        if slot is None or slot.uid != location.uid:
            self.retire(location.ref)
            slot = self._slots[location.ref] = _Slot(location.ref, location.uid)
        return slot

    async def _want(self, slot: _Slot, location: Snapshot) -> None:
        """Raises StowError where the spec or what it refers to is no good; then what was wanted before stays so."""
        if slot.spec is not None and location.generation < slot.spec.generation:
            return  # the caller's snapshot is older than what was opened already
        if slot.spec is None or slot.spec.generation != location.generation:
            slot.spec = self._read_spec(slot, location)
        known = slot.spec
        refs = source_refs(location, known.spec, system_namespace=self._plans.namespace)
        sources = await read_sources(refs, self._parts.secrets)
        version = (known.generation, sources.versions)
        cursor_key = self._parts.cursor_key()
        wanted = slot.wanted
        same = wanted is not None and (wanted.version, wanted.cursor_key) == (version, cursor_key)
        if slot.spec is not known or same:
            return
        plan = store_plan(location, known.spec, sources, settings=self._plans)
        slot.wanted = Wanted(plan, known.config, cursor_key, version)

    def _read_spec(self, slot: _Slot, location: Snapshot) -> _Spec:
        spec = location_spec(location.ref.kind, location.spec)
        config = store_config(location, spec, self._parts.objects, settings=self._plans)
        if slot.current is not None:
            _apply_rules(slot.current.store, config)
        return _Spec(location.generation, spec, config)

    async def _settled(self, slot: _Slot) -> OpenedStore:
        """What there is once nothing better can be had now. Each turn waits for one build, which leaves a store or a failure."""
        while True:
            wanted, current, failure = slot.wanted, slot.current, slot.failure
            if slot.closed or wanted is None:
                raise BackendFailedError("The location was closed meanwhile; ask again.")
            if current is not None and current.built_for.same_client(wanted):
                return OpenedStore(current.store)
            failed = failure is not None and failure.built_for.same_client(wanted)
            if failure is not None and failed and self._parts.clock() < failure.until:
                return _last_good(slot, failure.error)
            if slot.building is None:
                slot.building = asyncio.create_task(self._build(slot, wanted))
            if current is not None and not self._settings.wait_for_rebuild:
                return OpenedStore(current.store, _fresh(failure.error) if failure is not None and failed else None)
            await asyncio.wait({slot.building})

    # Building

    async def _build(self, slot: _Slot, wanted: Wanted) -> None:
        """Leave a store or a failure in the slot."""
        try:
            store = await self._builder.build(slot.ref, wanted, discard=self._begin_close)
        except StowError as error:
            known = slot.failure
            again = known is not None and known.built_for.same_client(wanted)
            pause = min(known.pause * 2, LONGEST_PAUSE) if known is not None and again else FIRST_PAUSE
            slot.failure = _Failure(_fresh(error), wanted, self._parts.clock() + pause, pause)
        else:
            self._swap(slot, store, wanted)
        finally:
            slot.building = None

    def _swap(self, slot: _Slot, store: StowStore, wanted: Wanted) -> None:
        old = slot.current
        if slot.closed:
            self._retire(store)
            return
        if slot.spec is not None:  # it may have changed during the build
            _apply_rules(store, slot.spec.config)
        if old is not None:
            if old.store.identity == store.identity:
                _carry_over(old.store, store)
            self._retire(old.store)
        slot.current, slot.failure = _Current(store, wanted), None

    # Closing

    def _retire(self, store: StowStore) -> None:
        self._retired.append(_Retired(store, self._parts.clock() + self._settings.retire_after))
        if len(self._retired) > MAX_RETIRED:
            self._begin_close(self._retired.pop(0).store)

    def _begin_close(self, store: StowStore) -> None:
        task = asyncio.create_task(self._close(store))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, store: StowStore) -> None:
        try:
            async with asyncio.timeout(self._settings.close_timeout_s):
                await store.aclose()
        except Exception as exc:  # noqa: BLE001 - a client that does not close must not stop what goes on
            _log.warning("A replaced client did not close: %s", type(exc).__name__)


def _last_good(slot: _Slot, error: StowError) -> OpenedStore:
    if slot.current is None:
        raise _fresh(error)
    return OpenedStore(slot.current.store, _fresh(error))


def _fresh(error: StowError) -> StowError:
    """A copy for one caller: callers note on an error where it happened, and an error that is kept must not keep their frames."""
    return copy.copy(error).with_traceback(None)


def _apply_rules(store: StowStore, config: StoreConfig) -> None:
    """All of the new rules but the base container, which came in with the store."""
    store.config = replace(config, base_container=store.config.base_container)


def _carry_over(old: StowStore, new: StowStore) -> None:
    """The same containers are behind both, so their lines and times stay."""
    for entry in old.containers.all():
        if entry.origin is not Origin.BASE:
            new.containers.record(entry)
