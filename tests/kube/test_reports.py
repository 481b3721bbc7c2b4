"""LoadReporter and ReportReader: how little is written, and what the operator makes of many replicas' reports."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient

from fakes.kube import START, FakeApi, FakeClock, refusal, settle, snapshot
from kubehelp import DEADLINE_S
from stow.errors import ControlPlaneError
from stow.kube.cache import ObjectCache
from stow.kube.reports import MAX_ENTRIES, STALE_AFTER, LoadReporter, Replica, ReportReader
from stow.kube.rest import Requests, collection_path, lines, object_path
from stow.reconcile.objects import ObjectRef
from stow.reconcile.ports import DynamicLoad
from stow.storage.crashpoints import CrashPoint
from stow.storage.model import ContainerEntry, Origin

LOCATION = ObjectRef("StowLocation", "team", "main")
POD = Replica("stow-system", "gateway-1", "gateway-1", "pod-uid-1")
NO_POD = Replica("stow-system", "laptop")


def entry(name: str, *, after_s: float = 0, origin: Origin = Origin.DYNAMIC, uid: str = "loc") -> ContainerEntry:
    return ContainerEntry(name, f"s3://{name}", origin, START + timedelta(seconds=after_s), uid)


class World:
    """Gateways and an operator that share a fake API server."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.api = FakeApi()
        self.cache = ObjectCache()
        self.cache.apply(snapshot("StowLocation", "main", uid="loc"))
        self.crashes: list[CrashPoint] = []
        self.woken: list[ObjectRef] = []
        self.reader = ReportReader(
            self.api, self.cache, namespace="stow-system", clock=self.clock, sleep=self.clock.sleep
        )
        self.reader.subscribe(self.woken.append)

    def reporter(self, replica: Replica = POD) -> LoadReporter:
        return LoadReporter(self.api, replica, clock=self.clock, crash=self.crashes.append, sleep=self.clock.sleep)

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.api.writes]


async def test_loads_arrive_at_the_operator_and_the_earliest_time_counts() -> None:
    world = World()
    for replica, after_s in ((POD, 7), (Replica("stow-system", "gateway-2", "gateway-2", "pod-uid-2"), 3)):
        reporter = world.reporter(replica)
        reporter.loaded(LOCATION, entry("photos", after_s=after_s))
        await reporter.flush()
    await world.reader.refresh()
    assert list(world.reader.of(LOCATION)) == [DynamicLoad("photos", START + timedelta(seconds=3))]
    assert world.crashes == [CrashPoint.LOAD_RECORDED] * 2


async def test_many_loads_in_five_seconds_are_one_write() -> None:
    world = World()
    reporter = world.reporter()
    writing = asyncio.create_task(reporter.run())
    reporter.loaded(LOCATION, entry("first"))
    await settle()
    assert world.methods == ["PUT", "POST"]  # the first one creates it
    for at in range(50):
        reporter.loaded(LOCATION, entry(f"more-{at:02}"))
    await world.clock.advance(4.9)
    assert len(world.methods) == 2
    await world.clock.advance(0.2)
    assert world.methods == ["PUT", "POST", "PUT"]
    assert len(json.loads(world.api.bodies[-1]["data"]["loads.json"])["loads"]) == 51
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing


async def test_what_is_known_already_or_not_dynamic_writes_nothing() -> None:
    world = World()
    reporter = world.reporter()
    reporter.loaded(LOCATION, entry("photos"))
    await reporter.flush()
    before = len(world.api.writes)
    reporter.loaded(LOCATION, entry("photos", after_s=60))
    reporter.loaded(LOCATION, entry("base", origin=Origin.BASE))
    reporter.loaded(LOCATION, entry("declared", origin=Origin.DECLARED))
    await world.clock.advance(timedelta(hours=5).total_seconds())
    await reporter.flush()
    assert len(world.api.writes) == before


async def test_a_gateway_without_loads_writes_nothing() -> None:
    world = World()
    reporter = world.reporter(NO_POD)
    await reporter.flush()
    await world.clock.advance(timedelta(hours=5).total_seconds())
    await reporter.flush()
    await reporter.withdraw()
    assert world.api.requests == []


async def test_a_report_belongs_to_its_pod_and_holds_the_latest_two_hundred() -> None:
    world = World()
    reporter = world.reporter()
    for at in range(MAX_ENTRIES + 5):
        reporter.loaded(LOCATION, entry(f"c-{at:03}", after_s=at))
    await reporter.flush()
    body = world.api.bodies[-1]
    assert body["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": "gateway-1", "uid": "pod-uid-1"}
    ]
    names = {each["container"] for each in json.loads(body["data"]["loads.json"])["loads"]}
    assert len(names) == MAX_ENTRIES
    assert "c-004" not in names
    assert "c-005" in names


async def test_a_write_that_fails_is_tried_again() -> None:
    world = World()
    reporter = world.reporter()
    writing = asyncio.create_task(reporter.run())
    world.api.fail = refusal(500)
    reporter.loaded(LOCATION, entry("photos"))
    await settle()
    assert world.crashes == []
    world.api.fail = None
    await world.clock.advance(5.1)
    assert world.crashes == [CrashPoint.LOAD_RECORDED]
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing


async def test_without_a_pod_a_heartbeat_keeps_the_report_and_its_end_ends_it() -> None:
    world = World()
    reporter = world.reporter(NO_POD)
    reporter.loaded(LOCATION, entry("photos"))
    writing = asyncio.create_task(reporter.run())
    await settle()
    for _ in range(800):  # 66 minutes
        await world.clock.advance(5)
    assert 6 <= world.methods.count("PUT") - 1 <= 7
    await world.reader.refresh()
    assert len(world.reader.of(LOCATION)) == 1
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await world.clock.advance(STALE_AFTER.total_seconds() + 60)
    await world.reader.refresh()
    assert len(world.reader.of(LOCATION)) == 0


async def test_a_report_with_a_pod_needs_no_heartbeat() -> None:
    world = World()
    reporter = world.reporter()
    reporter.loaded(LOCATION, entry("photos"))
    await reporter.flush()
    await world.clock.advance(timedelta(days=3).total_seconds())
    await world.reader.refresh()
    assert len(world.reader.of(LOCATION)) == 1


async def test_an_orderly_end_takes_the_report_away() -> None:
    world = World()
    reporter = world.reporter(NO_POD)
    reporter.loaded(LOCATION, entry("photos"))
    await reporter.flush()
    await reporter.withdraw()
    assert world.api.objects == {}
    await reporter.withdraw()  # gone already: no error


async def test_loads_of_a_former_namesake_are_not_the_location_s() -> None:
    world = World()
    reporter = world.reporter()
    reporter.loaded(LOCATION, entry("photos", uid="former"))
    await reporter.flush()
    await world.reader.refresh()
    assert len(world.reader.of(LOCATION)) == 0
    assert len(world.reader.of(ObjectRef("StowLocation", "team", "unknown"))) == 0


async def test_only_locations_whose_loads_changed_are_woken() -> None:
    world = World()
    reporter = world.reporter()
    reporter.loaded(LOCATION, entry("photos"))
    await reporter.flush()
    await world.reader.refresh()
    await world.reader.refresh()
    assert world.woken == [LOCATION]
    await reporter.withdraw()
    await world.reader.refresh()
    assert world.woken == [LOCATION, LOCATION]


async def test_reports_that_cannot_be_read_keep_what_is_known(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    reporter = world.reporter()
    reporter.loaded(LOCATION, entry("photos"))
    await reporter.flush()
    await world.reader.refresh()
    world.api.fail = refusal(403)
    for _ in range(3):
        await world.reader.refresh()
    assert len(world.reader.of(LOCATION)) == 1
    assert caplog.text.count("cannot be read") == 1


GOOD = {
    "kind": "StowLocation",
    "namespace": "team",
    "location": "main",
    "uid": "loc",
    "container": "photos",
    "loadedAt": "2030-01-01T00:00:00+00:00",
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "[]",
        "{}",
        '{"heartbeat": "never", "loads": []}',
        '{"heartbeat": "2030-01-01T00:00:00", "loads": []}',
        '{"heartbeat": "2030-01-01T00:00:00+00:00", "loads": 7}',
        *(
            json.dumps({"heartbeat": "2030-01-01T00:00:00+00:00", "loads": [bad]})
            for bad in (
                7,
                None,
                {},
                GOOD | {"kind": "Pod"},
                GOOD | {"container": "../x"},
                GOOD | {"container": 7},
                GOOD | {"loadedAt": "soon"},
                GOOD | {"loadedAt": None},
                GOOD | {"location": 7},
            )
        ),
    ],
)
async def test_what_is_not_understood_is_left_out_and_the_rest_is_taken(text: str) -> None:
    world = World()
    for name, data in (("bad", text), ("good", json.dumps({"heartbeat": START.isoformat(), "loads": [GOOD]}))):
        body: dict[str, Any] = {"metadata": {"name": name}, "data": {"loads.json": data}}
        await world.api("POST", collection_path("ConfigMap", "stow-system"), body=body)
    await world.reader.refresh()
    assert [load.name for load in world.reader.of(LOCATION)] == ["photos"]


@pytest.mark.parametrize("name", ["gateway-1", "Host_Name.local", "x" * 300, "name-."])
def test_a_replica_s_name_makes_a_valid_object_name(name: str) -> None:
    found = Replica("stow-system", name).config_map
    assert len(found) <= 253
    assert found == found.lower()
    assert found[-1].isalnum()


async def test_on_the_real_api_server_reports_are_found_by_their_label(
    request_as_admin: Requests, namespace: str
) -> None:
    clock, cache = FakeClock(), ObjectCache()
    cache.apply(snapshot("StowLocation", "main", uid="loc"))
    other = {"metadata": {"name": "other"}, "data": {"loads.json": json.dumps({"loads": [GOOD]})}}
    await request_as_admin("POST", collection_path("ConfigMap", namespace), body=other)
    for at in range(2):
        reporter = LoadReporter(request_as_admin, Replica(namespace, f"gateway-{at}"), clock=clock)
        reporter.loaded(LOCATION, entry(f"photos-{at}"))
        await reporter.flush()
        reporter.loaded(LOCATION, entry(f"films-{at}"))
        await reporter.flush()
    reader = ReportReader(request_as_admin, cache, namespace=namespace, clock=clock)
    await reader.refresh()
    assert {load.name for load in reader.of(LOCATION)} == {"photos-0", "films-0", "photos-1", "films-1"}
    await reporter.withdraw()
    await reader.refresh()
    assert {load.name for load in reader.of(LOCATION)} == {"photos-0", "films-0"}


async def test_on_the_real_api_server_a_report_goes_with_its_pod(
    api: ApiClient, request_as_admin: Requests, namespace: str
) -> None:
    pod = {"metadata": {"name": "gateway-1"}, "spec": {"containers": [{"name": "x", "image": "example.com/x"}]}}
    made = await request_as_admin("POST", collection_path("Pod", namespace), body=pod)
    replica = Replica(namespace, "gateway-1", "gateway-1", made["metadata"]["uid"])
    reporter = LoadReporter(request_as_admin, replica, clock=FakeClock())
    reporter.loaded(LOCATION, entry("photos"))
    await reporter.flush()
    path = collection_path("ConfigMap", namespace)
    watch = lines(
        api,
        path,
        query=[("watch", "true"), ("fieldSelector", f"metadata.name={replica.config_map}")],
        connect_timeout_s=10,
        idle_timeout_s=DEADLINE_S,
    )
    async with watch as events, asyncio.timeout(DEADLINE_S):
        await request_as_admin("DELETE", object_path("Pod", namespace, "gateway-1"))
        async for line in events:
            if json.loads(line)["type"] == "DELETED":
                break
    with pytest.raises(ControlPlaneError, match="404"):
        await request_as_admin("GET", object_path("ConfigMap", namespace, replica.config_map))
