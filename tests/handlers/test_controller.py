"""One pass over one object: what goes wrong in it stays in it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from reconcileworld import TEAM, World
from stow.errors import BackendUnreachableError, ControlPlaneError
from stow.handlers.controller import QUICK_CONFLICTS, Controller, ControllerParts
from stow.handlers.metrics import ReconcileMetrics
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.outcome import Gone, Ready, Reconciled, Waiting


@dataclass
class Broken:
    """A reconciler that does what it is told."""

    error: BaseException | None = None
    stuck: bool = False
    forgotten: list[ObjectRef] = field(default_factory=list)

    async def reconcile(self, snapshot: Snapshot) -> Reconciled:
        if self.stuck:
            await asyncio.Event().wait()
        assert self.error is not None
        raise self.error

    async def forget(self, ref: ObjectRef) -> None:
        self.forgotten.append(ref)


@pytest.fixture
def world() -> World:
    return World()


def _controller(world: World, broken: Broken | None = None, *, deadline_s: float = 30.0) -> Controller:
    def gone(ref: ObjectRef, uid: str) -> None:
        return world.cache.remove(ref, uid=uid)

    return Controller(
        ControllerParts(
            objects=world.cache,
            reader=world.api,
            containers=broken or world.containers,
            locations=broken or world.locations,
            publisher=world.publisher,
            metrics=ReconcileMetrics(CollectorRegistry()),
            gone=gone,
            deadline_s=deadline_s,
        )
    )


async def test_a_pass_publishes_what_it_ends_with(world: World) -> None:
    controller = _controller(world)
    place = await world.location(ready=False)
    assert isinstance(await controller.reconcile(place), Ready)
    assert world.condition(place) == ("True", "Succeeded")


async def test_an_unexpected_error_is_logged_once_and_shows_without_its_text(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    controller = _controller(world, Broken(ValueError("canary-secret")))
    ref = world.container()
    for _ in range(5):
        assert isinstance(await controller.reconcile(ref), Waiting)
    assert world.condition(ref) == ("False", "InternalError")
    assert "canary" not in str(world.get(ref).status)
    assert world.writes(ref) == ["status"]
    assert [line for line in caplog.messages if "ValueError at" in line] == caplog.messages
    assert len(caplog.messages) == 1
    assert "canary" not in caplog.text


async def test_a_pass_that_never_ends_is_cut_at_its_deadline(world: World) -> None:
    controller = _controller(world, Broken(stuck=True), deadline_s=0.01)
    ref = world.container()
    assert isinstance(await controller.reconcile(ref), Waiting)
    assert world.condition(ref) == ("False", "InternalError")


async def test_a_version_conflict_is_tried_again_soon_and_writes_nothing(world: World) -> None:
    controller = _controller(world, Broken(ControlPlaneError("changed", status=409)))
    ref = world.container()
    outcome = await controller.reconcile(ref)
    assert isinstance(outcome, Waiting)
    assert outcome.after is not None
    assert world.api.writes == []


@pytest.mark.parametrize("status", [None, 403, 429, 500, 503])
async def test_a_refusing_api_server_is_waited_for(world: World, status: int | None) -> None:
    controller = _controller(world, Broken(ControlPlaneError("no", status=status)))
    ref = world.container()
    outcome = await controller.reconcile(ref)
    assert outcome == Waiting(outcome.reason, "no")  # type: ignore[union-attr]  # it is compared as a whole
    assert world.api.writes == []


async def test_an_object_that_the_api_server_does_not_have_leaves_the_memory(world: World) -> None:
    ref = world.container()
    snapshot = world.get(ref)

    @dataclass
    class Absent:
        async def read(self, of: ObjectRef) -> Snapshot | None:
            return None

        async def namespace_terminating(self, name: str) -> bool:
            return False

    world.api.read = Absent().read  # type: ignore[method-assign]  # the fake's own
    await _controller(world, Broken(ControlPlaneError("gone", status=404))).reconcile(ref)
    assert world.cache.get(snapshot.ref) is None


async def test_a_location_that_is_gone_is_forgotten(world: World) -> None:
    broken = Broken()
    ref = ObjectRef("StowLocation", TEAM, "away")
    assert isinstance(await _controller(world, broken).reconcile(ref), Gone)
    assert broken.forgotten == [ref]


async def test_cancelling_a_pass_is_not_an_error_of_it(world: World) -> None:
    task = asyncio.create_task(_controller(world, Broken(stuck=True)).reconcile(world.container()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.api.writes == []


async def test_an_error_after_a_good_pass_is_logged_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    broken = Broken(ValueError("one"))
    controller = _controller(world, broken)
    ref = world.container()
    await controller.reconcile(ref)
    broken.error = BackendUnreachableError("another kind")
    await controller.reconcile(ref)
    assert len([line for line in caplog.messages if " at " in line]) == 2


async def test_conflicts_without_an_end_fall_back_to_the_backoff(world: World) -> None:
    """A watch that lags would else cost two writes a second for every object."""
    controller = _controller(world, Broken(ControlPlaneError("changed", status=409)))
    ref = world.container()
    outcomes = [await controller.reconcile(ref) for _ in range(8)]
    pauses = [outcome.after for outcome in outcomes if isinstance(outcome, Waiting)]
    assert [pause is None for pause in pauses] == [False] * QUICK_CONFLICTS + [True] * (8 - QUICK_CONFLICTS)
