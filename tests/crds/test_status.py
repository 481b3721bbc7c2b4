"""The status that operator/stow/api writes is the status that the API server stores."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crds.cases import CSL, SC, SL, container, s3
from crds.conftest import Api, path_of
from stow.api.conditions import Wanted, merge_conditions
from stow.api.reasons import ConditionType, Reason
from stow.api.status import (
    MAX_MAP_ENTRIES,
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

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CONDITIONS = merge_conditions(
    (),
    [
        Wanted(ConditionType.READY, "False", Reason.CONFLICT, "in use elsewhere"),
        Wanted(ConditionType.STALLED, "True", Reason.CONFLICT, "in use elsewhere"),
        Wanted(ConditionType.REACHABLE, "Unknown", Reason.UNREACHABLE),
    ],
    generation=1,
    now=NOW,
)


def entry(name: str, origin: Origin = Origin.DECLARED, **more: Any) -> ContainerMapEntry:
    return ContainerMapEntry(name=name, fqn=f"s3://{name}", origin=origin, ready=True, loaded_at=NOW, **more)


def write(api: Api, namespace: str, stored: dict[str, Any], status: dict[str, Any]) -> Any:
    path = path_of(stored["kind"], namespace, stored["metadata"]["name"], "status")
    return api.request("PUT", f"{path}?fieldValidation=Strict", stored | {"status": status})


def test_a_whole_location_status_is_stored_as_it_is(api: Api, namespace: str, created: Any) -> None:
    status = LocationStatus(
        observed_generation=1,
        conditions=CONDITIONS,
        base_container_fqn="s3://base",
        backend_identity="s3|https://s3.example.com",
        capabilities=(("createOnce", "true"), ("integrity", "crc32c")),
        container_count=3,
        containers_truncated=True,
        containers=(entry("base", Origin.BASE), entry("abc", namespace="team-a", resource="abc"), entry("dyn", Origin.DYNAMIC)),
    )  # fmt: skip

    answer = write(api, namespace, created(CSL, s3()), status.to_dict())

    assert (answer.status, answer.message) == (200, "")
    assert answer.body["status"] == status.to_dict()
    assert location_status(answer.body["status"]) == status


def test_a_whole_container_status_is_stored_as_it_is(api: Api, namespace: str, created: Any) -> None:
    status = ContainerStatus(
        observed_generation=1,
        conditions=CONDITIONS,
        container_name="reports",
        fqn="s3://reports",
        provisioned=Provisioned.CREATED,
        backend_identity="s3|https://s3.example.com|reports",
        intent=Intent(
            nonce="n1", container_name="reports", backend_identity="s3|x|reports", seen_absent_at=NOW, refused=True
        ),
        deletion=Deletion(started_at=NOW + timedelta(hours=1), objects=7, versions=0, uploads=1, is_partial=True),
        settings=ContainerSettings(tags={"a": "", "b": "ü"}, versioning=False, expire_after_days=0),
    )

    answer = write(api, namespace, created(SC, container()), status.to_dict())

    assert (answer.status, answer.message) == (200, "")
    assert answer.body["status"] == status.to_dict()
    assert container_status(answer.body["status"]) == status


def test_the_largest_container_map_fits(api: Api, namespace: str, created: Any) -> None:
    status = LocationStatus(
        observed_generation=1,
        containers=tuple(entry(f"c{at:062d}", resource="r" * 63) for at in range(MAX_MAP_ENTRIES)),
    )

    answer = write(api, namespace, created(SL, s3()), status.to_dict())

    assert (answer.status, answer.message) == (200, "")


def test_a_namespaced_location_cannot_name_a_namespace(api: Api, namespace: str, created: Any) -> None:
    status = LocationStatus(containers=(entry("abc", namespace="team-a"),))

    answer = write(api, namespace, created(SL, s3()), status.to_dict())

    assert answer.status == 400
    assert 'unknown field "status.containers[0].namespace"' in answer.message


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ({"conditions": [CONDITIONS[0].to_dict()] * 2}, "Duplicate value"),
        ({"conditions": [CONDITIONS[0].to_dict() | {"reason": "not one word"}]}, "should match"),
        ({"conditions": [CONDITIONS[0].to_dict() | {"status": "Maybe"}]}, "Unsupported value"),
        ({"conditions": [CONDITIONS[0].to_dict() | {"lastTransitionTime": "today"}]}, "date-time"),
        ({"containers": [entry("abc").to_dict()] * 2}, "Duplicate value"),
        ({"containers": [entry("abc").to_dict() | {"origin": "Stolen"}]}, "Unsupported value"),
        ({"observedGeneration": -2}, "greater than or equal to -1"),
        ({"capabilities": {"a": True}}, "must be of type string"),
    ],
)
def test_a_status_that_cannot_be_is_refused(
    api: Api, namespace: str, created: Any, status: dict[str, Any], message: str
) -> None:
    answer = write(api, namespace, created(SL, s3()), status)

    assert answer.status == 422
    assert message in answer.message
