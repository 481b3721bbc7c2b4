"""A bounded cache of answers with a lifetime each, one load for concurrent askers. Knows nothing of what it holds.

Failures are never kept: every asker of a failed load gets its error, the next one asks again. An asker that goes away does not end the
load for the others. Invariant: at most ``max_entries`` answers and ``max_loads`` loads at a time, of these ``max_loads_each`` for one
owner: whoever asks for much waits behind himself, not the others behind him.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar, cast
from weakref import WeakValueDictionary

from stow.gateway.problems import Code, Refusal

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class FlightCache(Generic[K, V]):
    """``lifetime_s`` says how long one answer is believed; ``now`` is monotonic."""

    def __init__(
        self,
        *,
        lifetime_s: Callable[[V], float],
        now: Callable[[], float],
        max_entries: int,
        max_loads: int,
        max_loads_each: int | None = None,
        observe: Callable[[bool], None] = lambda _hit: None,
    ) -> None:
        self._lifetime_s = lifetime_s
        self._now = now
        self._max_entries = max_entries
        self._max_loads = max_loads
        self._max_loads_each = max_loads if max_loads_each is None else max_loads_each
        self._observe = observe
        self._lanes: WeakValueDictionary[Hashable, asyncio.Semaphore] = WeakValueDictionary()
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._loads: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, load: Callable[[], Awaitable[V]], *, owner: Hashable = None) -> V:
        """The kept answer, or a new one. Waits while ``owner`` has as many loads under way as it may.

        Raises:
            Refusal: too many loads are under way (503).
            Whatever ``load`` raises.
        """
        entry = self._kept(key)
        self._observe(entry is not None)
        if entry is not None:
            return entry[1]
        if owner is None or key in self._loads:
            return await asyncio.shield(self._loads.get(key) or self._begun(key, load))
        lane = self._lanes.setdefault(owner, asyncio.Semaphore(self._max_loads_each))
        await lane.acquire()
        try:  # somebody may have got the answer, or begun to get it, in the meantime
            entry, task = self._kept(key), self._loads.get(key)
            fresh = self._begun(key, load) if entry is None and task is None else None
        except BaseException:
            lane.release()
            raise
        if fresh is None:
            lane.release()
        else:  # by the load itself: an asker that goes away does not make room for one more
            fresh.add_done_callback(lambda _: lane.release())
        return entry[1] if entry is not None else await asyncio.shield(cast("asyncio.Task[V]", task or fresh))

    def _kept(self, key: K) -> tuple[float, V] | None:
        entry = self._entries.get(key)
        if entry is None or self._now() >= entry[0]:
            return None
        self._entries.move_to_end(key)
        return entry

    def _begun(self, key: K, load: Callable[[], Awaitable[V]]) -> asyncio.Task[V]:
        if len(self._loads) >= self._max_loads:
            raise Refusal(Code.OVERLOADED, "Too many callers are being checked at once; try again.")
        task = asyncio.create_task(self._load(key, load))
        self._loads[key] = task
        task.add_done_callback(lambda done: self._ended(key, done))
        return task

    async def _load(self, key: K, load: Callable[[], Awaitable[V]]) -> V:
        begun = self._now()  # what is answered was true when it was asked
        value = await load()
        self._entries[key] = (begun + self._lifetime_s(value), value)
        self._entries.move_to_end(key)
        while len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)
        return value

    def _ended(self, key: K, task: asyncio.Task[V]) -> None:
        self._loads.pop(key, None)
        if not task.cancelled():
            task.exception()  # every asker may be gone; then nobody else would fetch it

    async def aclose(self) -> None:
        """End the loads that are under way."""
        tasks = tuple(self._loads.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
