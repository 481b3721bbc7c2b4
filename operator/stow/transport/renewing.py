"""Credentials that end, fetched anew before they do: once for all who wait, never once for each request.

Keeps no timer: who asks within the last part of the lifetime starts the renewal. What is still valid is given when the renewal fails, and
the next try waits a little, so that a source that is down is not asked by every request; where nothing is valid, the failure itself is
given until then. A clock that was set back makes a value look fresher than it is: then it is renewed.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from stow.errors import BackendUnreachableError, StowError
from stow.storage.clock import Clock

T = TypeVar("T")
EARLY: Final = timedelta(minutes=5)
"""So long before its end a value is renewed, or in the last quarter of a shorter life: what the SDKs of the three clouds do at most."""
_PAUSE: Final = timedelta(seconds=5)
"""After a failed renewal, while the value at hand still holds."""
_FAILURE: Final = timedelta(seconds=1)
"""After a failed fetch, where no value holds: short, because every request fails meanwhile."""
_DROP: Final = timedelta(seconds=1)
"""Between two values that are dropped: a backend that refuses each of them must not cost a new one for each request."""


@dataclass(frozen=True, slots=True)
class Lease(Generic[T]):
    """A value and its end; None is for ever."""

    value: T
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Held(Generic[T]):
    lease: Lease[T]
    fetched_at: datetime
    renew_at: datetime | None

    def fresh(self, now: datetime) -> bool:
        return self.renew_at is None or self.fetched_at <= now < self.renew_at


@dataclass(frozen=True, slots=True)
class _Failed:
    error: StowError
    """A copy: nobody has raised it, so it holds no frames."""
    at: datetime


class Renewing(Generic[T]):
    """One such value. ``fetch`` runs alone: concurrent callers share it, and one that goes away does not end it for the others."""

    def __init__(self, fetch: Callable[[], Awaitable[Lease[T]]], *, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._held: _Held[T] | None = None
        self._fetching: asyncio.Task[Lease[T]] | None = None
        self._failed: _Failed | None = None
        self._closed = False
        self._dropped_at: datetime | None = None

    async def get(self) -> Lease[T]:
        """The present value, renewed where it is time.

        Raises:
            StowError: there is none, and none could be fetched; each caller's own.
        """
        held, now = self._held, self._clock()
        if held is not None and held.fresh(now):
            return held.lease
        if self._failed is not None and self._failed.at <= now < self._failed.at + _FAILURE:
            raise copy.copy(self._failed.error)
        try:
            return await self._fetched()
        except StowError as exc:
            now = self._clock()
            if held is None or held.lease.expires_at is None or now >= held.lease.expires_at:
                self._failed = _Failed(copy.copy(exc), now)
                # One for each who waits: whoever raises it further gives it a cause of their own.
                raise copy.copy(exc) from exc
            if self._held is held:
                self._held = replace(held, fetched_at=min(held.fetched_at, now), renew_at=now + _PAUSE)
            return held.lease

    async def get_lasting(self, until: datetime) -> Lease[T]:
        """One that lives until then, or as long as a new one does: what signs a URL should outlive the URL.

        A value that was fetched a moment ago is not fetched again: another would not live longer.
        """
        lease = await self.get()
        held = self._held
        if lease.expires_at is None or lease.expires_at >= until or held is None or held.lease is not lease:
            return lease
        now = self._clock()
        life = lease.expires_at - held.fetched_at
        if life > timedelta(0) and now - held.fetched_at > life / 4:
            self._held = replace(held, renew_at=now)
            return await self.get()
        return lease

    def drop(self, lease: Lease[T]) -> None:
        """Forget this value, which the backend has refused; a newer one stays, and so does one that follows at once."""
        now = self._clock()
        soon = self._dropped_at is not None and self._dropped_at <= now < self._dropped_at + _DROP
        if self._held is not None and self._held.lease is lease and not soon:
            self._held, self._dropped_at = None, now

    async def aclose(self) -> None:
        """End a renewal that runs; who waits for it is told so. Later ones fail."""
        self._closed = True
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def _fetched(self) -> Lease[T]:
        fetching = self._shared()
        try:
            return await asyncio.shield(fetching)
        except asyncio.CancelledError:
            waiting = asyncio.current_task()
            if fetching.cancelled() and waiting is not None and not waiting.cancelling():
                raise _closed() from None  # the fetch was ended, not who waits for it
            raise

    def _shared(self) -> asyncio.Task[Lease[T]]:
        if self._closed:
            raise _closed()
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._renew())
            self._fetching.add_done_callback(self._done)
        return self._fetching

    def _done(self, task: asyncio.Task[Lease[T]]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # the callers that would have heard of it may all have gone

    async def _renew(self) -> Lease[T]:
        lease = await self._fetch()
        now = self._clock()
        self._held = _Held(lease, now, _renew_at(lease, now))
        self._failed = None
        return lease


def _renew_at(lease: Lease[T], now: datetime) -> datetime | None:
    if lease.expires_at is None:
        return None
    left = lease.expires_at - now
    if left <= timedelta(0):
        # Ended when it came: one of the clocks is wrong, and the backend says whether it takes it. A new one would be no better.
        return now + _PAUSE
    return lease.expires_at - min(EARLY, left / 4)


def _closed() -> StowError:
    return BackendUnreachableError("The connection to the backend is closed.")
