"""The container map's limits and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from stow.api.status import MAX_DYNAMIC_ENTRIES, MAX_PINNED_ENTRIES, Origin
from stow.reconcile.container_map import MapSources, build_map
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.ports import DynamicLoad

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def _container(name: str) -> Snapshot:
    status = {"provisioned": "Created", "containerName": name, "fqn": f"s3://{name}", "backendIdentity": f"x/{name}"}
    return Snapshot(ObjectRef("StowContainer", "team", name), f"uid-{name}", 1, "1", NOW, status=status)


def _sources(**changed: Any) -> MapSources:
    base: dict[str, Any] = {
        "is_cluster": False,
        "scheme": "s3",
        "base": "base",
        "base_ready": True,
        "containers": (),
        "dynamic": (),
    }
    return MapSources(**{**base, **changed})


def test_base_and_declared_are_never_evicted_by_dynamic_ones() -> None:
    dynamic = [DynamicLoad(f"d-{n:04}", NOW + timedelta(seconds=n)) for n in range(500)]
    drawn = build_map(_sources(containers=[_container("one")], dynamic=dynamic), previous=(), now=NOW)
    shown = [each for each in drawn.entries if each.origin is Origin.DYNAMIC]
    assert [each.name for each in drawn.entries[:2]] == ["base", "one"]
    assert len(shown) == MAX_DYNAMIC_ENTRIES
    assert {each.name for each in shown} == {f"d-{n:04}" for n in range(400, 500)}
    assert drawn.count == 502
    assert drawn.truncated


def test_beyond_a_thousand_the_map_says_that_it_is_cut() -> None:
    containers = [_container(f"c-{n:04}") for n in range(MAX_PINNED_ENTRIES)]
    drawn = build_map(_sources(containers=containers), previous=(), now=NOW)
    assert len(drawn.entries) == MAX_PINNED_ENTRIES
    assert drawn.count == MAX_PINNED_ENTRIES + 1
    assert drawn.truncated
    assert drawn.entries[0].name == "base"


def test_the_time_of_a_line_is_set_once() -> None:
    sources = _sources(containers=[_container("one")])
    first = build_map(sources, previous=(), now=NOW)
    later = build_map(sources, previous=first.entries, now=NOW + timedelta(days=1))
    assert later == first


def test_several_replicas_that_loaded_one_container_are_one_line_of_the_first_time() -> None:
    loads = [DynamicLoad("d", NOW + timedelta(seconds=5)), DynamicLoad("d", NOW)]
    drawn = build_map(_sources(dynamic=loads), previous=(), now=NOW)
    assert [(each.name, each.loaded_at) for each in drawn.entries[1:]] == [("d", NOW)]


def test_the_time_of_a_dynamic_line_outlives_the_replica_that_loaded_it_first() -> None:
    """A gateway's report goes with its Pod; the others still have the container, and no time moves."""
    second = DynamicLoad("d", NOW + timedelta(hours=1))
    both = build_map(_sources(dynamic=[DynamicLoad("d", NOW), second]), previous=(), now=NOW)
    one = build_map(_sources(dynamic=[second]), previous=both.entries, now=NOW + timedelta(days=1))
    assert one == both
