"""When is each object looked at next, and by whom? In memory, one entry an object, rebuilt from the watches at start.

Bounded workers, a bound for each group (a location and its containers), and a patience after which a pass that waits for a backend gives
its worker back: so neither one bad location nor many of them starve the others. All that a namespace's own locations lead to has a bound
together, so that a tenant with many hanging backends leaves room for the rest. Never two reconciles of one object at once; a wake during a
run makes exactly one more run after it. What waits without a time of its own is tried again after a growing, jittered backoff. Belongs to
one event loop; what decides is the injected clock.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from stow.reconcile.objects import ObjectRef
from stow.reconcile.outcome import Gone, Outcome, Ready, Stalled, Waiting

FIRST_BACKOFF_S: Final = 1.0
LONGEST_BACKOFF_S: Final = 300.0
"""Five minutes: what a person who has just repaired something is ready to wait at most."""
JITTER: Final = 0.1
"""Each pause is up to so much longer, so that what failed together does not come back together."""

HEAP_SLACK: Final = 64
"""Superseded times that are kept beside twice those that count: less often than this it is not worth to sort them out."""

Reconcile = Callable[[ObjectRef], Awaitable[Outcome]]
"""One pass over an object; handles every failure itself."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much runs at once."""

    workers: int = 8
    per_group: int = 4
    """For one location and its containers, however long they take."""
    patience_s: float = 1.0
    """A pass that has run so long waits for somebody else, and is no longer counted among the workers: it costs a task and a socket."""
    most: int = 128
    """Passes at a time, those that wait included."""
    per_tenant: int = 32
    """Of these, those that belong to the locations of one namespace: a quarter."""


@dataclass(slots=True)
class _Entry:
    due: float | None = None
    attempt: int = 0
    """Consecutive runs that ended Waiting."""
    running: bool = False
    queued: bool = False
    again: bool = False


@dataclass(slots=True)
class _Group:
    queue: deque[ObjectRef] = field(default_factory=deque)
    running: int = 0


class Scheduler:
    """``monotonic`` gives seconds, ``jitter`` a number in [0, 1)."""

    def __init__(
        self,
        reconcile: Reconcile,
        group_of: Callable[[ObjectRef], Hashable],
        *,
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
        limits: Limits | None = None,
    ) -> None:
        self._reconcile = reconcile
        self._group_of = group_of
        self._monotonic = monotonic
        self._jitter = jitter
        self._limits = limits or Limits()
        self._entries: dict[ObjectRef, _Entry] = {}
        self._heap: list[tuple[float, int, ObjectRef]] = []
        self._order = count()
        self._groups: dict[Hashable, _Group] = {}
        self._turn: deque[Hashable] = deque()
        self._by_tenant: Counter[str] = Counter()
        """Passes that run now, by the namespace of the location that they belong to."""
        self._tasks: dict[asyncio.Task[None], float] = {}
        """What runs, and until when it holds a worker."""
        self._changed = asyncio.Event()

    @property
    def depth(self) -> int:
        """Objects that are due and wait for a worker."""
        return sum(len(group.queue) for group in self._groups.values())

    @property
    def known(self) -> int:
        return len(self._entries)

    @property
    def times(self) -> int:
        """Due times in memory, superseded ones included."""
        return len(self._heap)

    @property
    def busy(self) -> int:
        """Reconciles that run now."""
        return len(self._tasks)

    def wake(self, ref: ObjectRef, *, after_s: float = 0.0, afresh: bool = False) -> None:
        """Look at the object now (or so soon), even if it would be due later. ``afresh``: its backoff starts anew."""
        entry = self._entries.setdefault(ref, _Entry())
        if afresh:
            entry.attempt = 0
        if entry.running:
            entry.again = True
        elif not entry.queued:
            self._due_at(ref, entry, self._monotonic() + after_s)
        self._changed.set()

    def pump(self) -> float | None:
        """Start what is due as far as workers are free; the time at which the next entry is due, None without one."""
        now = self._monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, _, ref = heapq.heappop(self._heap)
            entry = self._entries.get(ref)
            if entry is None or entry.due != due or entry.running or entry.queued:
                continue  # superseded by a later wake
            entry.due, entry.queued = None, True
            self._enqueue(ref)
        self._start()
        times = [self._heap[0][0]] if self._heap else []
        if self.depth:
            times += [held_until for held_until in self._tasks.values() if held_until > now]
        return min(times, default=None)

    async def run(self) -> None:
        """Until cancelled; then all reconciles are cancelled and awaited."""
        try:
            while True:
                self._changed.clear()
                next_due = self.pump()
                timeout = None if next_due is None else max(0.0, next_due - self._monotonic())
                try:
                    async with asyncio.timeout(timeout):
                        await self._changed.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settle(self) -> None:
        """Wait until nothing that is due now is left to run. For tests and an orderly end."""
        self.pump()
        while self._tasks:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            self.pump()

    def _due_at(self, ref: ObjectRef, entry: _Entry, due: float) -> None:
        if entry.due is None or due < entry.due:
            entry.due = due
            heapq.heappush(self._heap, (due, next(self._order), ref))
            self._sort_out()

    def _sort_out(self) -> None:
        """A superseded time stays until it comes, which may be a day: objects that change often must not pile them up."""
        if len(self._heap) <= 2 * len(self._entries) + HEAP_SLACK:
            return
        self._heap = [
            (entry.due, next(self._order), ref) for ref, entry in self._entries.items() if entry.due is not None
        ]
        heapq.heapify(self._heap)

    def _enqueue(self, ref: ObjectRef) -> None:
        key = self._group_of(ref)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
            self._turn.append(key)
        group.queue.append(ref)

    def _start(self) -> None:
        """Round robin over the groups, so that a long queue of one takes its turn like a short one."""
        now, limits, idle = self._monotonic(), self._limits, 0
        working = sum(held_until > now for held_until in self._tasks.values())
        while self._turn and idle < len(self._turn) and working < limits.workers and len(self._tasks) < limits.most:
            key = self._turn[0]
            self._turn.rotate(-1)
            group = self._groups[key]
            if not group.queue or group.running >= limits.per_group or self._has_its_share(key):
                idle += 1
                if not group.queue and not group.running:
                    self._turn.remove(key)
                    del self._groups[key]
                    idle = 0
                continue
            idle = 0
            ref = group.queue.popleft()
            entry = self._entries[ref]
            entry.queued, entry.running = False, True
            group.running += 1
            tenant = _tenant_of(key)
            if tenant is not None:
                self._by_tenant[tenant] += 1
            task = asyncio.create_task(self._run(ref, entry, group, tenant), name=f"reconcile {ref}")
            self._tasks[task] = now + limits.patience_s
            working += 1
            task.add_done_callback(self._ended)

    def _has_its_share(self, key: Hashable) -> bool:
        tenant = _tenant_of(key)
        return tenant is not None and self._by_tenant[tenant] >= self._limits.per_tenant

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._changed.set()

    async def _run(self, ref: ObjectRef, entry: _Entry, group: _Group, tenant: str | None) -> None:
        outcome: Outcome | None = None
        try:
            outcome = await self._reconcile(ref)
        finally:
            entry.running = False
            group.running -= 1
            if tenant is not None:
                self._by_tenant[tenant] -= 1
                if not self._by_tenant[tenant]:
                    del self._by_tenant[tenant]
            self._plan(ref, entry, outcome)

    def _plan(self, ref: ObjectRef, entry: _Entry, outcome: Outcome | None) -> None:
        """When to look again. ``None``: the reconcile itself broke off, which counts as waiting."""
        entry.attempt = entry.attempt + 1 if outcome is None or isinstance(outcome, Waiting) else 0
        now = self._monotonic()
        if entry.again:
            entry.again = False
            self._due_at(ref, entry, now)
            return
        pause = self._pause(entry, outcome)
        if pause is not None:
            self._due_at(ref, entry, now + pause * (1 + JITTER * self._jitter()))
        elif isinstance(outcome, Gone):
            del self._entries[ref]

    def _pause(self, entry: _Entry, outcome: Outcome | None) -> float | None:
        if isinstance(outcome, Ready | Stalled | Waiting) and outcome.after is not None:
            return outcome.after.total_seconds()
        if outcome is None or isinstance(outcome, Waiting):
            exponent = min(entry.attempt - 1, 16)  # 2 ** 16 s is far above the longest
            return float(min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**exponent))
        return None


def _tenant_of(group: Hashable) -> str | None:
    """The namespace of a group that is a namespaced location; cluster locations are the platform's."""
    return group.namespace if isinstance(group, ObjectRef) else None
