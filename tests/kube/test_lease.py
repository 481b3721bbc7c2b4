"""At most one leads: two processes over one Lease, with time moved by hand, and once on the real API server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stow.errors import ControlPlaneError
from stow.kube.lease import DURATION_S, RENEW_DEADLINE_S, RETRY_S, Lease, LeaseName
from stow.kube.rest import Requests
from stow.storage.clock import utc_now

START = datetime(2030, 1, 1, tzinfo=UTC)


class OneLease:
    """The API server's side: versions and conflicts."""

    def __init__(self) -> None:
        self.record: dict[str, Any] | None = None
        self.version = 0
        self.away = False

    async def __call__(self, method: str, path: str, *, query: Any = (), body: Any = None) -> dict[str, Any]:
        if self.away:
            raise ControlPlaneError("away")
        if method == "GET":
            if self.record is None:
                raise ControlPlaneError("absent", status=404)
            return {**self.record, "spec": dict(self.record["spec"]), "metadata": dict(self.record["metadata"])}
        known = None if self.record is None else self.record["metadata"]["resourceVersion"]
        if body["metadata"].get("resourceVersion") != known:
            raise ControlPlaneError("changed", status=409)
        self.version += 1
        self.record = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.record


class Bench:
    def __init__(self) -> None:
        self.now = 0.0
        self.server = OneLease()
        self.first, self.second = self.lease("first"), self.lease("second")

    def lease(self, identity: str) -> Lease:
        return Lease(
            self.server,
            LeaseName("stow-system", identity),
            clock=lambda: START + timedelta(seconds=self.now),
            monotonic=lambda: self.now,
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_first_leads_and_the_second_waits(bench: Bench) -> None:
    await bench.first.step()
    await bench.second.step()
    assert (bench.first.is_leading, bench.second.is_leading) == (True, False)


async def test_who_sees_another_holder_stands_by_and_who_cannot_look_does_not(bench: Bench) -> None:
    await bench.first.step()
    await bench.second.step()
    assert (bench.first.stands_by, bench.second.stands_by) == (False, True)
    bench.server.away = True
    await bench.second.step()
    assert not bench.second.stands_by


async def test_a_holder_that_renews_keeps_it(bench: Bench) -> None:
    for _ in range(100):
        await bench.first.step()
        await bench.second.step()
        bench.now += 2
    assert (bench.first.is_leading, bench.second.is_leading) == (True, False)


async def test_a_dead_holder_is_succeeded_after_its_duration_and_not_before(bench: Bench) -> None:
    await bench.first.step()
    await bench.second.step()
    bench.now += DURATION_S - 1
    await bench.second.step()
    assert not bench.second.is_leading
    bench.now += 1
    await bench.second.step()
    assert bench.second.is_leading
    assert bench.server.record is not None
    assert bench.server.record["spec"]["leaseTransitions"] == 1


async def test_a_cut_off_holder_stops_before_another_may_begin(bench: Bench) -> None:
    await bench.first.step()
    bench.server.away = True
    bench.now += RENEW_DEADLINE_S - 0.1
    await bench.first.step()
    assert bench.first.is_leading
    bench.now += 0.1
    await bench.first.step()
    assert not bench.first.is_leading
    assert RENEW_DEADLINE_S < DURATION_S
    await asyncio.wait_for(bench.first.lost(), 1)


async def test_one_that_was_taken_over_notices_at_once(bench: Bench) -> None:
    await bench.first.step()
    await bench.second.step()
    bench.now += DURATION_S
    await bench.second.step()
    await bench.first.step()
    assert (bench.first.is_leading, bench.second.is_leading) == (False, True)


async def test_it_leads_again_when_the_api_server_is_back(bench: Bench) -> None:
    await bench.first.step()
    bench.server.away = True
    bench.now += 60
    await bench.first.step()
    bench.server.away = False
    await bench.first.step()
    assert bench.first.is_leading


async def test_racing_for_a_free_lease_has_one_winner(bench: Bench) -> None:
    many = [bench.lease(f"n-{n}") for n in range(8)]
    await asyncio.gather(*(each.step() for each in many))
    assert sum(each.is_leading for each in many) == 1


async def test_on_the_real_api_server_a_lease_is_taken_given_back_and_taken_again(
    request_as_admin: Requests, namespace: str, unique_name: Callable[[str], str]
) -> None:
    def lease(identity: str) -> Lease:
        now = asyncio.get_running_loop().time
        return Lease(request_as_admin, LeaseName(namespace, identity, "it"), clock=utc_now, monotonic=now)

    first, second = lease("first"), lease("second")
    running = asyncio.create_task(first.run())
    await asyncio.wait_for(first.leading(), 30)
    await second.step()
    assert not second.is_leading
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not first.is_leading
    await second.step()
    assert second.is_leading


async def test_a_holder_with_a_slow_server_stops_before_another_may_begin(bench: Bench) -> None:
    """The server takes the record at once and answers late; then it answers nothing, each time as late as it may."""
    slow_s = 4.9

    async def slow(method: str, path: str, *, query: Any = (), body: Any = None) -> dict[str, Any]:
        if bench.server.away:
            bench.now += slow_s
        answer = await bench.server(method, path, query=query, body=body)
        if method != "GET":
            bench.now += slow_s
            bench.server.away = True
        return answer

    lease = Lease(
        slow,
        LeaseName("stow-system", "slow"),
        clock=lambda: START + timedelta(seconds=bench.now),
        monotonic=lambda: bench.now,
    )
    await lease.step()
    assert lease.is_leading
    while lease.is_leading:
        bench.now += RETRY_S
        await lease.step()
    assert bench.now < DURATION_S, "the record was taken at 0"


async def test_a_holder_whose_time_is_over_stops_before_it_asks_again(bench: Bench) -> None:
    """Such as one that was suspended: its reconciles have to go, even where it gets the Lease again."""
    await bench.first.step()
    lost = asyncio.create_task(bench.first.lost())
    await asyncio.sleep(0)
    bench.now += RENEW_DEADLINE_S
    await bench.first.step()
    await asyncio.wait_for(lost, 1)
    assert bench.first.is_leading
