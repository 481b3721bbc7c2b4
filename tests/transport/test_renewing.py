"""Credentials that end: one fetch for all who wait, before the end, and never one for each request."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from stow.errors import BackendUnreachableError
from stow.transport.renewing import EARLY, Lease, Renewing

START = datetime(2026, 1, 2, tzinfo=UTC)


class Source:
    """Gives "1", "2", ... each living ``life``; fails while ``down``."""

    def __init__(self, life: timedelta | None) -> None:
        self.now = START
        self.life = life
        self.fetched = 0
        self.down = False
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.renewing = Renewing(self._fetch, clock=lambda: self.now)

    async def _fetch(self) -> Lease[str]:
        self.fetched += 1
        self.asked.set()
        await self.gate.wait()
        if self.down:
            raise BackendUnreachableError("down")
        return Lease(str(self.fetched), None if self.life is None else self.now + self.life)

    async def value(self) -> str:
        return (await self.renewing.get()).value


async def test_thirty_two_callers_share_one_fetch_at_the_start_and_at_each_renewal() -> None:
    source = Source(timedelta(seconds=2))
    for nth in ("1", "2", "3"):
        source.gate.clear()
        asked = [asyncio.create_task(source.value()) for _ in range(32)]
        await asyncio.sleep(0)
        source.gate.set()
        assert await asyncio.gather(*asked) == [nth] * 32
        source.now += timedelta(seconds=1.6)
    assert source.fetched == 3


async def test_a_short_life_is_renewed_in_its_last_quarter_and_a_long_one_minutes_before_its_end() -> None:
    for life, early in ((timedelta(seconds=2), timedelta(seconds=0.5)), (timedelta(hours=1), EARLY)):
        source = Source(life)
        assert await source.value() == "1"
        source.now = START + life - early - timedelta(milliseconds=1)
        assert await source.value() == "1"
        source.now = START + life - early
        assert await source.value() == "2"


async def test_what_never_ends_is_fetched_once() -> None:
    source = Source(None)
    assert await source.value() == "1"
    source.now += timedelta(days=3650)
    assert await source.value() == "1"


async def test_a_failed_renewal_leaves_the_value_that_holds_and_is_not_tried_by_every_request() -> None:
    source = Source(timedelta(minutes=40))
    await source.value()
    source.down = True
    source.now += timedelta(minutes=36)
    assert [await source.value() for _ in range(10)] == ["1"] * 10
    assert source.fetched == 2
    source.now += timedelta(seconds=6)
    assert await source.value() == "1"
    assert source.fetched == 3
    source.now = START + timedelta(minutes=40)
    with pytest.raises(BackendUnreachableError):
        await source.value()
    source.down = False
    source.now += timedelta(seconds=1)
    assert await source.value() == "5"


async def test_a_source_that_fails_is_not_asked_by_every_request_where_nothing_holds() -> None:
    source = Source(None)
    source.down = True
    for _ in range(10):
        with pytest.raises(BackendUnreachableError, match="down"):
            await source.value()
    assert source.fetched == 1
    source.now += timedelta(seconds=1)
    source.down = False
    assert await source.value() == "2"


async def test_each_who_waits_is_given_an_error_of_its_own() -> None:
    """The wire gives each a cause; on one that is shared these would pile up."""
    source = Source(None)
    source.down = True
    found = await asyncio.gather(*(source.value() for _ in range(4)), return_exceptions=True)
    assert source.fetched == 1
    assert len({id(error) for error in found}) == 4
    assert {str(error) for error in found} == {"down"}


async def test_a_clock_that_was_set_back_does_not_lengthen_a_life() -> None:
    source = Source(timedelta(hours=1))
    await source.value()
    source.now -= timedelta(hours=2)
    assert await source.value() == "2"
    assert await source.value() == "2"
    source.now -= timedelta(hours=2)
    source.down = True
    assert [await source.value() for _ in range(10)] == ["2"] * 10
    assert source.fetched == 3, "a source that is down is not asked by every request then, either"


async def test_a_caller_that_goes_away_does_not_end_the_fetch_for_the_others() -> None:
    source = Source(None)
    source.gate.clear()
    one, other = asyncio.create_task(source.value()), asyncio.create_task(source.value())
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.sleep(0)
    source.gate.set()
    assert await other == "1"
    assert one.cancelled() or one.cancelling()
    assert source.fetched == 1


async def test_a_refused_value_is_dropped_once_and_a_newer_one_stays() -> None:
    source = Source(None)
    first = await source.renewing.get()
    source.renewing.drop(first)
    assert await source.value() == "2"
    source.renewing.drop(first)
    assert await source.value() == "2"


async def test_a_backend_that_refuses_each_value_does_not_cost_one_for_each_request() -> None:
    source = Source(None)
    for _ in range(10):
        source.renewing.drop(await source.renewing.get())
    assert source.fetched == 2


async def test_a_value_that_is_to_last_is_renewed_where_that_gains_something() -> None:
    source = Source(timedelta(hours=1))
    await source.value()
    assert (await source.renewing.get_lasting(START + timedelta(minutes=59))).value == "1"
    assert (await source.renewing.get_lasting(START + timedelta(hours=8))).value == "1", "a new one lives no longer"
    source.now += timedelta(minutes=30)
    lasting = await source.renewing.get_lasting(source.now + timedelta(minutes=45))
    assert (lasting.value, lasting.expires_at) == ("2", source.now + timedelta(hours=1))
    source.now += timedelta(minutes=30)
    source.down = True
    assert (await source.renewing.get_lasting(source.now + timedelta(minutes=45))).value == "2", "better than nothing"


async def test_closing_ends_a_fetch_that_runs_and_says_so_to_who_waits() -> None:
    source = Source(None)
    source.gate.clear()
    asked, cancelled = asyncio.create_task(source.value()), asyncio.create_task(source.value())
    await source.asked.wait()
    cancelled.cancel()
    await source.renewing.aclose()
    with pytest.raises(BackendUnreachableError, match="closed"):
        await asked
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    with pytest.raises(BackendUnreachableError, match="closed"):
        await source.value()
    assert source.fetched == 1


async def test_a_value_that_has_ended_when_it_comes_is_not_fetched_for_each_request() -> None:
    """The clock here is ahead of the one that made it; the backend may still take it."""
    source = Source(timedelta(hours=-1))
    assert [await source.value() for _ in range(10)] == ["1"] * 10
    source.now += timedelta(seconds=1)
    assert (await source.renewing.get_lasting(source.now + timedelta(hours=1))).value == "1"
    source.now += timedelta(seconds=5)
    assert await source.value() == "2"
