"""What a store counts, under which names and labels."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from stow.errors import BackendUnreachableError, NotModifiedError, StowError
from stow.storage.metrics import OPERATIONS, StoreMetrics

LABELS = {"kind": "s3", "location": "team/main"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_each_operation_has_a_histogram_and_its_own_failures(registry: CollectorRegistry) -> None:
    metrics = StoreMetrics(registry).bind(kind="s3", location="team/main")
    for name in OPERATIONS:
        with metrics.operation(name):
            pass
        with pytest.raises(BackendUnreachableError), metrics.operation(name):
            raise BackendUnreachableError("down")
        assert registry.get_sample_value(f"stow_{name}_seconds_count", LABELS) == 2
        failed = {**LABELS, "operation": name, "type": "backend_unreachable"}
        assert registry.get_sample_value("stow_failures_total", failed) == 1


@pytest.mark.parametrize("raised", [NotModifiedError("same", etag="e"), ValueError(), asyncio.CancelledError()])
def test_what_is_no_failure_of_ours_is_timed_but_not_counted(
    registry: CollectorRegistry, raised: BaseException
) -> None:
    metrics = StoreMetrics(registry).bind(kind="s3", location="team/main")
    with pytest.raises(type(raised)), metrics.operation("read"):
        raise raised
    assert registry.get_sample_value("stow_read_seconds_count", LABELS) == 1
    assert not [s for family in registry.collect() for s in family.samples if s.name == "stow_failures_total"]


def test_counters_keep_the_names_of_the_original(registry: CollectorRegistry) -> None:
    metrics = StoreMetrics(registry).bind(kind="s3", location="team/main")
    metrics.bad_key()
    metrics.bad_container()
    metrics.read(5)
    metrics.written(7)
    values = {
        name: registry.get_sample_value(f"stow_{name}_total", LABELS)
        for name in ("bad_key", "bad_container", "read_bytes", "written_bytes")
    }
    assert values == {"bad_key": 1, "bad_container": 1, "read_bytes": 5, "written_bytes": 7}


def test_no_label_holds_a_key_or_a_container(registry: CollectorRegistry) -> None:
    metrics = StoreMetrics(registry).bind(kind="s3", location="team/main")
    with pytest.raises(StowError), metrics.operation("head"):
        raise StowError("no", container="canary-box", key="canary-key")
    samples = [sample for family in registry.collect() for sample in family.samples]
    assert {name for sample in samples for name in sample.labels} <= {"kind", "location", "operation", "type", "le"}
    assert "canary" not in str(samples)
