"""When objects are looked at, with time moved by hand."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Hashable
from datetime import timedelta

import pytest

from stow.api.reasons import Reason
from stow.handlers.scheduler import FIRST_BACKOFF_S, LONGEST_BACKOFF_S, Limits, Scheduler
from stow.reconcile.objects import ObjectRef
from stow.reconcile.outcome import Gone, Outcome, Ready, Stalled, Suspended, Waiting

WAITING = Waiting(Reason.UNREACHABLE, "down")
READY = Ready(Reason.SUCCEEDED, "good")


class Bench:
    """A scheduler over passes that the test answers."""

    def __init__(self, *, limits: Limits | None = None, jitter: float = 0.0) -> None:
        self.now = 0.0
        self.outcomes: dict[ObjectRef, Outcome] = {}
        self.runs: list[tuple[float, ObjectRef]] = []
        self.running: list[ObjectRef] = []
        self.most = 0
        self.gates: dict[ObjectRef, asyncio.Event] = {}
        self.errors: dict[ObjectRef, Exception] = {}
        self.scheduler = Scheduler(
            self._pass, self._group, monotonic=lambda: self.now, jitter=lambda: jitter, limits=limits
        )

    async def _pass(self, ref: ObjectRef) -> Outcome:
        assert ref not in self.running, "two passes over one object at once"
        self.running.append(ref)
        self.most = max(self.most, len(self.running))
        self.runs.append((self.now, ref))
        try:
            if ref in self.gates:
                await self.gates[ref].wait()
            await asyncio.sleep(0)
            return self.outcomes.get(ref, READY)
        finally:
            self.running.remove(ref)

    def _group(self, ref: ObjectRef) -> Hashable:
        return ref.namespace

    async def advance_to(self, at: float) -> None:
        """Move time from due time to due time, as the loop would."""
        while True:
            due = self.scheduler.pump()
            await self.scheduler.settle()
            due = self.scheduler.pump()
            if due is None or due > at:
                break
            self.now = max(self.now, due)
        self.now = at

    def times(self, ref: ObjectRef) -> list[float]:
        return [at for at, of in self.runs if of == ref]

    def gate(self, ref: ObjectRef) -> asyncio.Event:
        return self.gates.setdefault(ref, asyncio.Event())


def ref(name: str, namespace: str = "a") -> ObjectRef:
    return ObjectRef("StowContainer", namespace, name)


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_waiting_backs_off_to_five_minutes() -> None:
    bench = Bench()
    bench.outcomes[ref("x")] = WAITING
    bench.scheduler.wake(ref("x"))
    await bench.advance_to(3600)
    times = bench.times(ref("x"))
    pauses = [round(b - a) for a, b in itertools.pairwise(times)]
    assert pauses[:9] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert set(pauses[9:]) == {LONGEST_BACKOFF_S}


@pytest.mark.parametrize("jitter", [0.0, 0.5, 0.999])
async def test_jitter_makes_pauses_longer_by_a_tenth_at_most(jitter: float) -> None:
    bench = Bench(jitter=jitter)
    bench.outcomes[ref("x")] = WAITING
    bench.scheduler.wake(ref("x"))
    await bench.advance_to(1.2)
    assert bench.times(ref("x"))[1] == pytest.approx(FIRST_BACKOFF_S * (1 + 0.1 * jitter))


@pytest.mark.parametrize("kind", [Waiting, Ready, Stalled])
async def test_a_pause_of_its_own_is_kept(kind: type[Waiting] | type[Ready] | type[Stalled]) -> None:
    bench = Bench()
    bench.outcomes[ref("x")] = kind(Reason.SUCCEEDED, "m", timedelta(seconds=7))
    bench.scheduler.wake(ref("x"))
    await bench.advance_to(22)
    assert bench.times(ref("x")) == [0, 7, 14, 21]


@pytest.mark.parametrize("outcome", [READY, Stalled(Reason.CONFLICT, "m"), Suspended(), Gone()])
async def test_without_a_pause_nothing_happens_until_something_does(outcome: Outcome) -> None:
    bench = Bench()
    bench.outcomes[ref("x")] = outcome
    bench.scheduler.wake(ref("x"))
    await bench.advance_to(100_000)
    assert bench.times(ref("x")) == [0]
    bench.scheduler.wake(ref("x"))
    await bench.advance_to(100_001)
    assert len(bench.runs) == 2


async def test_what_is_gone_is_forgotten() -> None:
    bench = Bench()
    bench.outcomes[ref("x")] = Gone()
    bench.scheduler.wake(ref("x"))
    await bench.advance_to(1)
    assert bench.scheduler.known == 0


async def test_a_wake_is_now_and_many_wakes_are_one() -> None:
    bench = Bench()
    bench.outcomes[ref("x")] = WAITING
    bench.scheduler.wake(ref("x"))
    await bench.advance_to(0.5)
    for _ in range(10):
        bench.scheduler.wake(ref("x"))
    await bench.advance_to(0.6)
    assert bench.times(ref("x")) == [0, 0.5]


async def test_a_delayed_wake_collects_a_burst() -> None:
    bench = Bench()
    for n in range(10):
        bench.now = n * 0.01
        bench.scheduler.wake(ref("x"), after_s=0.3)
    await bench.advance_to(1)
    assert bench.times(ref("x")) == [0.3]


async def test_wakes_during_a_run_make_one_more_run_after_it() -> None:
    bench = Bench()
    gate = bench.gate(ref("x"))
    bench.scheduler.wake(ref("x"))
    bench.scheduler.pump()
    await _turns()
    for _ in range(5):
        bench.scheduler.wake(ref("x"))
    assert len(bench.runs) == 1
    gate.set()
    await bench.scheduler.settle()
    assert len(bench.runs) == 2


async def test_a_fresh_start_of_the_backoff_after_a_change() -> None:
    bench = Bench()
    bench.outcomes[ref("x")] = WAITING
    bench.scheduler.wake(ref("x"))
    await bench.advance_to(100)
    bench.runs.clear()
    bench.scheduler.wake(ref("x"), afresh=True)
    await bench.advance_to(102.5)
    assert bench.times(ref("x")) == [100, 101]


async def test_workers_are_bounded() -> None:
    bench = Bench(limits=Limits(workers=3, per_group=3))
    refs = [ref(f"x-{n}", namespace=f"ns-{n}") for n in range(20)]
    for each in refs:
        bench.gate(each)
        bench.scheduler.wake(each)
    bench.scheduler.pump()
    await _turns()
    assert len(bench.running) == 3
    assert bench.scheduler.depth == 17
    for each in refs:
        bench.gates[each].set()
    await bench.scheduler.settle()
    assert len(bench.runs) == 20
    assert bench.most == 3


async def test_one_stuck_location_never_starves_the_others() -> None:
    bench = Bench(limits=Limits(workers=4, per_group=2))
    stuck = [ref(f"s-{n}", namespace="stuck") for n in range(50)]
    for each in stuck:
        bench.gate(each)
        bench.scheduler.wake(each)
    good = [ref(f"g-{n}", namespace="good") for n in range(50)]
    for each in good:
        bench.scheduler.wake(each)
    async with asyncio.timeout(5):
        while not set(good) <= {of for _, of in bench.runs}:
            bench.scheduler.pump()
            await asyncio.sleep(0)
    assert sum(of.namespace == "stuck" for _, of in bench.runs) == 2
    for each in stuck:
        bench.gates[each].set()
    await bench.scheduler.settle()
    assert bench.scheduler.depth == 0


async def test_many_stuck_locations_never_starve_the_others() -> None:
    """Each of them holds a worker for the patience, and then only a place among all that may run."""
    bench = Bench(limits=Limits(workers=2, per_group=1, patience_s=1.0, most=5))
    stuck = [ref("s", namespace=f"stuck-{n}") for n in range(6)]
    for each in stuck:
        bench.gate(each)
        bench.scheduler.wake(each)
    good = ref("g", namespace="good")
    bench.scheduler.wake(good)
    assert bench.scheduler.pump() == 1.0
    await _turns()
    assert len(bench.running) == 2
    bench.now = 1.0
    assert bench.scheduler.pump() == 2.0
    await _turns()
    assert len(bench.running) == 4
    bench.now = 2.0
    bench.scheduler.pump()
    await _turns()
    assert len(bench.running) == 5, "what waits is bounded too"
    bench.gates[stuck[0]].set()
    async with asyncio.timeout(5):
        while good not in {of for _, of in bench.runs}:
            bench.now += 1.0
            bench.gates[stuck[1]].set()
            bench.scheduler.pump()
            await asyncio.sleep(0)
    for each in stuck:
        bench.gates[each].set()
    await bench.scheduler.settle()


async def test_groups_take_turns() -> None:
    bench = Bench(limits=Limits(workers=1, per_group=1))
    for n in range(5):
        bench.scheduler.wake(ref(f"a-{n}", namespace="long"))
    bench.scheduler.wake(ref("b", namespace="short"))
    await bench.scheduler.settle()
    assert [of.namespace for _, of in bench.runs].index("short") <= 1


async def test_the_loop_runs_what_is_due_and_ends_with_its_passes() -> None:
    bench = Bench()
    bench.gate(ref("stuck"))
    task = asyncio.create_task(bench.scheduler.run())
    bench.scheduler.wake(ref("x"))
    bench.scheduler.wake(ref("stuck"))
    await _turns()
    assert {of for _, of in bench.runs} == {ref("x"), ref("stuck")}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert bench.running == []
    assert bench.scheduler.busy == 0


async def test_wakes_of_what_is_due_much_later_do_not_pile_up() -> None:
    bench = Bench()
    bench.outcomes[ref("x")] = Ready(Reason.SUCCEEDED, "m", timedelta(hours=24))
    for second in range(2000):
        bench.scheduler.wake(ref("x"))
        await bench.advance_to(float(second))
    assert len(bench.times(ref("x"))) == 2000
    assert bench.scheduler.times < 100
    await bench.advance_to(2000 + 24 * 3600)
    assert len(bench.times(ref("x"))) == 2001


async def test_a_tenant_with_many_stuck_locations_leaves_room_for_the_others() -> None:
    """Each location is a group of its own, so only a bound for all of a namespace's together keeps passes free."""
    bench = TenantBench(limits=Limits(workers=2, per_group=1, patience_s=1.0, most=5, per_tenant=3))
    stuck = [ref(f"stuck-{n}", "evil") for n in range(20)]
    for each in stuck:
        bench.gate(each)
        bench.scheduler.wake(each)
    for _ in range(20):
        bench.scheduler.pump()
        await _turns()
        bench.now += 1.5
    assert len(bench.running) == 3
    bench.scheduler.wake(ref("good", "honest"))
    bench.scheduler.pump()
    await _turns()
    assert len(bench.times(ref("good", "honest"))) == 1
    for each in stuck:
        bench.gate(each).set()
    await bench.scheduler.settle()
    assert {of for _, of in bench.runs} == {*stuck, ref("good", "honest")}


class TenantBench(Bench):
    """Each object is at a namespaced location of its own."""

    def _group(self, ref: ObjectRef) -> Hashable:
        return ObjectRef("StowLocation", ref.namespace, f"of-{ref.name}")
