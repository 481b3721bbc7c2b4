"""The operator: watches, scheduler and reconcilers put together over ports that the caller has built.

Nothing is watched before this process leads, and nothing reconciled before the memory is complete. One that leads no longer cancels its
reconciles and waits until it leads again; its memory stays warm meanwhile. It ends when it is cancelled, and with the first part that
fails; an error of one object, of a backend or of the API server ends nothing.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from prometheus_client import CollectorRegistry

from stow.handlers.audit import LogAudit
from stow.handlers.controller import Controller, ControllerParts
from stow.handlers.feed import AbsorbingWriter, Feed
from stow.handlers.metrics import ReconcileMetrics
from stow.handlers.publish import StatusPublisher
from stow.handlers.resync import Resync
from stow.handlers.scheduler import Limits, Scheduler
from stow.handlers.serving import serve
from stow.handlers.watching import Watcher
from stow.kube.cache import ObjectCache
from stow.kube.client import KubeConfig
from stow.kube.lease import Lease
from stow.kube.rest import Requests
from stow.reconcile.container import ContainerPorts, ContainerReconciler, ContainerSettings
from stow.reconcile.location import LocationPorts, LocationReconciler, LocationSettings
from stow.reconcile.objects import ObjectRef
from stow.reconcile.outcome import Outcome
from stow.reconcile.ports import Audit, DynamicLoads, Events, Reader, Stores, Wakes, Writer
from stow.storage.clock import Clock, utc_now
from stow.storage.crashpoints import Crash, no_crash

NONCE_BYTES: Final = 16
"""128 bits: nobody guesses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSettings:
    """What the operator is told. ``installation`` tells it from other operators on the same backends; it never changes."""

    kube: KubeConfig
    installation: str
    namespaces: tuple[str, ...] = ()
    """Empty: all."""
    listen: tuple[str, int] = ("127.0.0.1", 0)
    workers: int = 8
    namespace_deletion_grace: timedelta = timedelta(minutes=2)
    reconcile_timeout_s: float = 120.0
    probe_floor: timedelta = timedelta(seconds=10)
    recheck_floor: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorParts:
    """What the operator stands on. ``services`` run beside it (pollers); ``wakes`` name objects that no watch would."""

    cache: ObjectCache
    request: Requests
    reader: Reader
    writer: Writer
    events: Events
    stores: Stores
    dynamic: DynamicLoads
    registry: CollectorRegistry
    lease: Lease | None = None
    """None: this operator is the only one, and always leads."""
    wakes: Sequence[Wakes] = ()
    services: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()
    audit: Audit = field(default_factory=LogAudit)
    clock: Clock = utc_now
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    crash: Crash = no_crash


async def run_operator(
    settings: OperatorSettings,
    parts: OperatorParts,
    *,
    serving: Callable[[str, int], None] | None = None,
) -> None:
    """Until cancelled. ``serving`` is told host and port of the health server.

    Raises:
        OSError: the address of the health server is taken.
    """
    operator = _Operator(settings, parts)
    async with serve(settings.listen, parts.registry, ready=operator.is_ready) as (host, port):
        if serving is not None:
            serving(host, port)
        await operator.run()


class _Operator:
    """The composition. The feed and the scheduler know each other, the reconcilers neither."""

    def __init__(self, settings: OperatorSettings, parts: OperatorParts) -> None:
        self._parts = parts
        self._scheduler = Scheduler(
            self._reconcile,
            self._group_of,
            monotonic=parts.monotonic,
            jitter=parts.jitter,
            limits=Limits(workers=settings.workers, per_group=max(1, settings.workers // 2)),
        )
        self._feed = Feed(parts.cache, self._scheduler.wake)
        metrics = ReconcileMetrics(parts.registry)
        metrics.watch_queue(lambda: self._scheduler.depth, lambda: self._scheduler.busy)
        self._controller = _controller(settings, parts, self._feed, metrics)
        self._watcher = Watcher(settings.kube, self._feed, namespaces=settings.namespaces)
        self._resync = Resync(parts.request, parts.cache, namespaces=settings.namespaces, jitter=parts.jitter)
        self._complete = asyncio.Event()

    def is_ready(self) -> bool:
        """One that stands by is ready too: a rollout waits for it before it ends the one that leads."""
        lease = self._parts.lease
        return self._feed.is_complete or (lease is not None and lease.stands_by)

    async def run(self) -> None:
        self._watcher.on_complete(self._complete.set)
        self._watcher.on_complete(self._resync.soon)
        ends = [each.subscribe(self._scheduler.wake) for each in self._parts.wakes]
        try:
            async with asyncio.TaskGroup() as group:
                if self._parts.lease is not None:
                    group.create_task(self._parts.lease.run())
                    await self._parts.lease.leading()
                group.create_task(self._watcher.run())
                group.create_task(self._run_scheduler())
                for service in self._parts.services:
                    group.create_task(service())
        finally:
            for end in ends:
                end()
            self._feed.close()

    async def _run_scheduler(self) -> None:
        await self._complete.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._resync.run())
            if self._parts.lease is None:
                group.create_task(self._scheduler.run())
            else:
                group.create_task(self._schedule_while_leading(self._parts.lease))

    async def _schedule_while_leading(self, lease: Lease) -> None:
        while True:
            await lease.leading()
            scheduling = asyncio.create_task(self._scheduler.run())
            lost = asyncio.create_task(lease.lost())
            try:
                await asyncio.wait({scheduling, lost}, return_when=asyncio.FIRST_COMPLETED)
                if scheduling.done():
                    await scheduling
            finally:
                scheduling.cancel()
                lost.cancel()
                await asyncio.gather(scheduling, lost, return_exceptions=True)

    async def _reconcile(self, ref: ObjectRef) -> Outcome:
        return await self._controller.reconcile(ref)

    def _group_of(self, ref: ObjectRef) -> Hashable:
        return self._feed.group_of(ref)


def _controller(settings: OperatorSettings, parts: OperatorParts, feed: Feed, metrics: ReconcileMetrics) -> Controller:
    writer = AbsorbingWriter(parts.writer, feed)
    publisher = StatusPublisher(writer, parts.events, clock=parts.clock)
    containers = ContainerReconciler(
        ContainerPorts(
            objects=parts.cache,
            reader=parts.reader,
            stores=parts.stores,
            writer=writer,
            publisher=publisher,
            audit=parts.audit,
            clock=parts.clock,
            nonce=lambda: secrets.token_hex(NONCE_BYTES),
            crash=parts.crash,
        ),
        ContainerSettings(
            installation=settings.installation,
            namespace_grace=settings.namespace_deletion_grace,
            recheck_floor=settings.recheck_floor,
        ),
    )
    locations = LocationReconciler(
        LocationPorts(
            objects=parts.cache,
            stores=parts.stores,
            writer=writer,
            dynamic=parts.dynamic,
            audit=parts.audit,
            clock=parts.clock,
            monotonic=parts.monotonic,
            crash=parts.crash,
        ),
        LocationSettings(installation=settings.installation, probe_floor=settings.probe_floor),
    )
    return Controller(
        ControllerParts(
            objects=parts.cache,
            reader=parts.reader,
            containers=containers,
            locations=locations,
            publisher=publisher,
            metrics=metrics,
            gone=feed.remove,
            deadline_s=settings.reconcile_timeout_s,
        )
    )
