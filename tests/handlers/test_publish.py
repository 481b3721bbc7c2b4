"""From a result to conditions, status and Events."""

from __future__ import annotations

import pytest

from reconcileworld import World
from stow.api.conditions import Wanted
from stow.api.reasons import REASONS, ConditionType, Reason, needs_person
from stow.api.status import container_status
from stow.handlers.publish import compose
from stow.reconcile.objects import ObjectRef
from stow.reconcile.outcome import Gone, Outcome, Ready, Result, Stalled, Suspended, Waiting


@pytest.fixture
def world() -> World:
    return World()


async def _publish(world: World, ref: ObjectRef, outcome: Outcome, *conditions: Wanted) -> None:
    snapshot = world.get(ref)
    await world.publisher.publish(snapshot, Result(outcome, container_status(snapshot.status), conditions))


async def test_ready_alone_stands_when_all_is_good(world: World) -> None:
    ref = world.container()
    await _publish(
        world, ref, Stalled(Reason.CONFLICT, "m"), Wanted(ConditionType.CONFLICT, "True", Reason.CONFLICT, "m")
    )
    await _publish(world, ref, Ready(Reason.PROVISIONED, "m"))
    assert [each["type"] for each in world.get(ref).status["conditions"]] == ["Ready"]
    assert world.get(ref).status["observedGeneration"] == 1


@pytest.mark.parametrize("reason", [each for each in Reason if not needs_person(each)])
async def test_waiting_is_in_progress_with_a_reason_made_for_it(world: World, reason: Reason) -> None:
    ref = world.container()
    await _publish(world, ref, Waiting(reason, "m"))
    found = world.condition(ref, "Reconciling")
    assert found is not None
    assert ConditionType.RECONCILING in REASONS[Reason(found[1])].conditions
    assert world.condition(ref, "Stalled") is None


@pytest.mark.parametrize("reason", [each for each in Reason if needs_person(each)])
async def test_stalled_is_not_in_progress(world: World, reason: Reason) -> None:
    ref = world.container()
    await _publish(world, ref, Stalled(reason, "m"))
    assert world.condition(ref, "Stalled") == ("True", reason.value)
    assert world.condition(ref, "Reconciling") is None


async def test_the_same_result_is_written_once(world: World) -> None:
    ref = world.container()
    for _ in range(5):
        await _publish(world, ref, Waiting(Reason.UNREACHABLE, "m"))
        world.advance(minutes=1)
    assert world.writes(ref) == ["status"]


async def test_a_backend_that_fails_in_turns_is_told_once(world: World) -> None:
    ref = world.container()
    for n in range(6):
        await _publish(world, ref, Waiting(Reason.UNREACHABLE, f"another way to fail: {n % 2}"))
    assert world.writes(ref) == ["status"]
    assert world.message(ref).endswith("0")
    await _publish(world, ref, Waiting(Reason.DENIED, "one"))
    await _publish(world, ref, Waiting(Reason.DENIED, "two"))
    assert world.message(ref) == "two"


async def test_an_event_goes_out_only_when_the_reason_of_ready_changes(world: World) -> None:
    ref = world.container()
    await _publish(world, ref, Waiting(Reason.PROGRESSING, "m"))
    await _publish(world, ref, Waiting(Reason.UNREACHABLE, "one"))
    await _publish(world, ref, Waiting(Reason.UNREACHABLE, "two"))
    await _publish(world, ref, Ready(Reason.PROVISIONED, "good"))
    assert world.seen.events == [("Unreachable", "one", True), ("Provisioned", "good", False)]


async def test_a_silent_wait_and_an_end_write_nothing(world: World) -> None:
    ref = world.container()
    await _publish(world, ref, Waiting(Reason.LOCATION_NOT_READY, "m", silent=True))
    await _publish(world, ref, Gone())
    assert world.api.writes == []


async def test_suspended_keeps_the_last_state(world: World) -> None:
    ref = world.container()
    await _publish(world, ref, Waiting(Reason.UNREACHABLE, "m"))
    await _publish(world, ref, Suspended())
    assert world.condition(ref) == ("False", "Suspended")
    assert world.condition(ref, "Reconciling") is None


def test_what_is_composed_is_what_the_api_server_stores(world: World) -> None:
    snapshot = world.get(world.container())
    result = Result(Ready(Reason.PROVISIONED, "m"), container_status(snapshot.status))
    status = compose(snapshot, result, world.clock)
    assert set(status) == {"observedGeneration", "conditions"}


async def test_events_of_cluster_locations_name_nobody_of_another_namespace(world: World) -> None:
    """They stand in the namespace `default`, where people read who may not know which namespaces there are."""
    place = await world.location(cluster=True, allowedNamespaces={"names": ["team"]})
    ref = world.container("quarterly-reports", cluster=True)
    await world.reconcile(ref)
    await world.reconcile(place)
    world.delete(place)
    await world.reconcile(place)
    assert "team/quarterly-reports" in world.message(place)
    told = [message for reason, message, _ in world.seen.events if reason == "InUse"]
    assert told == ["StowContainers still refer to the location. Its status says more."]
