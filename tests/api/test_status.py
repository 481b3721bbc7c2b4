"""Status is read leniently and written whole."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stow.api.status import (
    ContainerMapEntry,
    ContainerStatus,
    Deletion,
    Intent,
    LocationStatus,
    Origin,
    Provisioned,
    container_status,
    location_status,
)
from stow.storage.model import ContainerSettings

STEADY = settings(deadline=None, derandomize=True, database=None)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
ENTRY = ContainerMapEntry(name="abc", fqn="s3://abc", origin=Origin.DYNAMIC, ready=True, loaded_at=NOW)
INTENT = Intent(nonce="n", container_name="abc", backend_identity="s3|h|abc", seen_absent_at=NOW)


def test_a_new_status_says_only_that_nothing_was_observed() -> None:
    assert LocationStatus().to_dict() == {"observedGeneration": -1, "conditions": [], "containers": []}
    assert ContainerStatus().to_dict() == {"observedGeneration": -1, "conditions": []}


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ("x", None),
        ({}, ContainerSettings()),
        ({"tags": ["a"], "versioning": "yes", "expireAfterDays": -1}, ContainerSettings()),
        ({"tags": {"a": 1}, "versioning": True}, ContainerSettings(tags={"a": "1"}, versioning=True)),
    ],
)
def test_damaged_settings_count_as_never_set(raw: object, found: ContainerSettings | None) -> None:
    assert container_status({"settings": raw}).settings == found


def test_a_location_status_is_read_back() -> None:
    status = LocationStatus(
        observed_generation=2,
        base_container_fqn="s3://b",
        backend_identity="s3|h",
        capabilities=(("a", "true"), ("b", "none")),
        container_count=0,
        containers_truncated=True,
        containers=(ENTRY,),
    )

    assert location_status(status.to_dict()) == status


def test_a_container_status_is_read_back() -> None:
    status = ContainerStatus(
        observed_generation=2,
        container_name="abc",
        fqn="s3://abc",
        provisioned=Provisioned.LOADED,
        backend_identity="s3|h|abc",
        intent=INTENT,
        deletion=Deletion(started_at=NOW, objects=0, versions=1, uploads=2, is_partial=True),
        settings=ContainerSettings(tags={}, versioning=False, expire_after_days=0),
    )

    assert container_status(status.to_dict()) == status


def test_a_count_of_zero_is_written() -> None:
    assert LocationStatus(container_count=0).to_dict()["containerCount"] == 0
    assert Deletion(started_at=NOW, objects=0).to_dict()["objects"] == 0


@pytest.mark.parametrize("field", ["nonce", "containerName", "backendIdentity", "seenAbsentAt"])
@pytest.mark.parametrize("damage", [None, "", 5, []])
def test_a_damaged_intent_claims_nothing(field: str, damage: object) -> None:
    assert container_status({"intent": INTENT.to_dict() | {field: damage}}).intent is None


@pytest.mark.parametrize("field", ["name", "fqn", "origin", "loadedAt"])
@pytest.mark.parametrize("damage", [None, "", 5, {}])
def test_a_damaged_entry_is_left_out(field: str, damage: object) -> None:
    assert location_status({"containers": [ENTRY.to_dict() | {field: damage}, ENTRY.to_dict()]}).containers == (ENTRY,)


@pytest.mark.parametrize(("field", "value"), [("origin", "Stolen"), ("loadedAt", "2026"), ("loadedAt", "today")])
def test_an_entry_of_an_unknown_kind_is_left_out(field: str, value: str) -> None:
    assert location_status({"containers": [ENTRY.to_dict() | {field: value}]}).containers == ()


def test_what_is_not_exactly_true_is_not_ready() -> None:
    [entry] = location_status({"containers": [ENTRY.to_dict() | {"ready": "true"}]}).containers

    assert not entry.ready


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
HOSTILE = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
KEYS = (
    "observedGeneration", "conditions", "containers", "capabilities", "containerCount", "intent", "deletion", "fqn",
    "provisioned", "backendIdentity", "containersTruncated",
)  # fmt: skip


@STEADY
@given(st.dictionaries(st.sampled_from(KEYS), HOSTILE | st.lists(HOSTILE, max_size=2)) | HOSTILE)
def test_a_hostile_status_is_read_without_an_error(raw: object) -> None:
    assert isinstance(location_status(raw), LocationStatus)
    assert isinstance(container_status(raw), ContainerStatus)
