"""Whose container is it: the tables, row by row."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stow.api.container import Provision
from stow.api.status import Intent, Provisioned
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.ownership import (
    IN_USE_ELSEWHERE,
    Found,
    Step,
    decide,
    identity_of,
    owner_text,
    provisioned_as,
    rival,
)
from stow.storage.model import ContainerState, Marker

ASKER = Marker("here", "team", "box", "uid-1")
MADE = Marker("here", "team", "box", "uid-1", "n1")
PREDECESSOR = Marker("here", "team", "box", "uid-0", "n0")
NAMESAKE_ELSEWHERE = Marker("there", "team", "box", "uid-1", "n1")
OTHER_OBJECT = Marker("here", "team", "crate", "uid-9", "n9")
AT = datetime(2030, 1, 1, tzinfo=UTC)
INTENT = Intent("n1", "box", "s3://host/box", AT)
IDENTITY = "s3://host/box"

ABSENT = "absent"
CREATE, LOAD, EITHER = Provision.CREATE, Provision.LOAD, Provision.LOAD_OR_CREATE

TABLE: dict[tuple[str, Provision], Step] = {
    ("absent", CREATE): Step.CREATE,
    ("absent", LOAD): Step.NOT_FOUND,
    ("absent", EITHER): Step.CREATE,
    ("unmarked", CREATE): Step.ALREADY_EXISTS,
    ("unmarked", LOAD): Step.ADOPT_LOADED,
    ("unmarked", EITHER): Step.ADOPT_LOADED,
    ("mine, made", CREATE): Step.ADOPT_CREATED,
    ("mine, made", LOAD): Step.ADOPT_LOADED,
    ("mine, made", EITHER): Step.ADOPT_CREATED,
    ("mine, without nonce", CREATE): Step.ADOPT_LOADED,
    ("mine, without nonce", LOAD): Step.ADOPT_LOADED,
    ("mine, without nonce", EITHER): Step.ADOPT_LOADED,
    ("predecessor, gone", CREATE): Step.ADOPT_CREATED,
    ("predecessor, gone", LOAD): Step.ADOPT_LOADED,
    ("predecessor, gone", EITHER): Step.ADOPT_CREATED,
    ("predecessor, living", CREATE): Step.ALREADY_EXISTS,
    ("predecessor, living", LOAD): Step.CONFLICT,
    ("predecessor, living", EITHER): Step.CONFLICT,
    ("other object", CREATE): Step.ALREADY_EXISTS,
    ("other object", LOAD): Step.CONFLICT,
    ("other object", EITHER): Step.CONFLICT,
    ("other installation", CREATE): Step.ALREADY_EXISTS,
    ("other installation", LOAD): Step.CONFLICT,
    ("other installation", EITHER): Step.CONFLICT,
}
MARKERS: dict[str, Marker | None] = {
    "unmarked": None,
    "mine, made": MADE,
    "mine, without nonce": ASKER,
    "predecessor, gone": PREDECESSOR,
    "predecessor, living": PREDECESSOR,
    "other object": OTHER_OBJECT,
    "other installation": NAMESAKE_ELSEWHERE,
}


def _decide(what: str, provision: Provision, **changed: Any) -> Step:
    found = ContainerState(exists=what != ABSENT, marker=MARKERS.get(what))
    arguments: dict[str, Any] = {
        "asker": ASKER,
        "intent": None,
        "predecessor_gone": what == "predecessor, gone",
        "loadable": True,
    }
    empty = changed.pop("empty", None)
    return decide(provision, Found(found, empty), **{**arguments, **changed})


def test_the_table_has_every_row() -> None:
    assert set(TABLE) == set(itertools.product([ABSENT, *MARKERS], Provision))


@pytest.mark.parametrize(("what", "provision"), TABLE, ids=str)
def test_provision_existence_and_marker_decide(what: str, provision: Provision) -> None:
    assert _decide(what, provision) is TABLE[what, provision]


@pytest.mark.parametrize("provision", [CREATE, EITHER])
def test_an_unknown_outcome_is_claimed_when_unmarked_and_empty(provision: Provision) -> None:
    assert _decide("unmarked", provision, intent=INTENT, empty=True) is Step.ADOPT_CREATED


@pytest.mark.parametrize(
    ("what", "empty"),
    [("unmarked", False), ("unmarked", None), ("other object", True), ("other installation", True)],
)
def test_an_intent_claims_nothing_that_is_full_or_foreign(what: str, empty: bool | None) -> None:
    assert _decide(what, CREATE, intent=INTENT, empty=empty) is Step.ALREADY_EXISTS


def test_a_load_never_claims_by_an_intent() -> None:
    assert _decide("unmarked", LOAD, intent=INTENT, empty=True) is Step.ADOPT_LOADED


@pytest.mark.parametrize("provision", [LOAD, EITHER])
def test_only_listed_or_own_containers_load_from_a_cluster_location(provision: Provision) -> None:
    assert _decide("unmarked", provision, loadable=False) is Step.LOAD_NOT_ALLOWED
    assert _decide("mine, made", provision, loadable=False) in {Step.ADOPT_LOADED, Step.ADOPT_CREATED}


def test_what_was_loaded_is_recorded_as_loaded() -> None:
    assert provisioned_as(Step.ADOPT_LOADED) is Provisioned.LOADED
    assert provisioned_as(Step.ADOPT_CREATED) is Provisioned.CREATED


# Among the cluster's objects


def _object(
    name: str, *, age_s: float = 0, recorded: str | None = None, namespace: str = "team", **more: Any
) -> Snapshot:
    status: dict[str, Any] = {"observedGeneration": 1}
    if recorded == "provisioned":
        status |= {"provisioned": "Created", "backendIdentity": IDENTITY, "containerName": "box"}
    if recorded == "intent":
        status["intent"] = INTENT.to_dict()
    if recorded == "elsewhere":
        status |= {"provisioned": "Created", "backendIdentity": "s3://other/box", "containerName": "box"}
    if recorded in {"AlreadyExists", "ContainerNotFound", "Denied", "Progressing"}:
        ready = {"type": "Ready", "status": "False", "reason": recorded, "message": "m"}
        status["conditions"] = [{**ready, "lastTransitionTime": "2030-01-01T00:00:00Z"}]
    if recorded in {"intent, denied", "intent, unreachable"}:
        reason = "Denied" if recorded == "intent, denied" else "Unreachable"
        ready = {"type": "Ready", "status": "False", "reason": reason, "message": "m"}
        status["conditions"] = [{**ready, "lastTransitionTime": "2030-01-01T00:00:00Z"}]
        status["intent"] = INTENT.to_dict()
    return Snapshot(
        ref=ObjectRef("StowContainer", namespace, name),
        uid=more.pop("uid", f"uid-{name}"),
        generation=1,
        resource_version="1",
        created_at=AT - timedelta(seconds=age_s),
        status=status,
        **more,
    )


@pytest.mark.parametrize(
    ("mine", "other", "loses"),
    [
        (("new", 0, None), ("old", 9, None), True),
        (("old", 9, None), ("new", 0, None), False),
        (("new", 0, None), ("old", 9, "Progressing"), True),
        (("new", 0, None), ("old", 9, "AlreadyExists"), False),
        (("new", 0, None), ("old", 9, "ContainerNotFound"), False),
        (("new", 0, None), ("old", 9, "Denied"), False),
        (("new", 0, None), ("old", 9, "intent, denied"), False),
        (("new", 0, None), ("old", 9, "intent, unreachable"), True),
        (("old", 9, None), ("new", 0, "provisioned"), True),
        (("old", 9, None), ("new", 0, "intent"), True),
        (("new", 0, "intent"), ("old", 9, None), False),
        (("new", 0, "intent"), ("old", 9, "intent"), True),
        (("old", 9, "intent"), ("new", 0, "intent"), False),
        (("old", 9, "intent"), ("new", 0, "provisioned"), True),
        (("new", 0, "provisioned"), ("old", 9, "intent"), False),
        (("new", 0, None), ("old", 9, "elsewhere"), False),
    ],
)
def test_the_recorded_owner_wins_and_age_decides_between_the_others(mine: Any, other: Any, loses: bool) -> None:
    me, them = (_object(name, age_s=age, recorded=how) for name, age, how in (mine, other))
    found = rival(me, IDENTITY, others=[me, them], wants=lambda _: IDENTITY)
    assert (found is not None) is loses


def test_the_uid_decides_between_objects_of_the_same_second() -> None:
    first, second = _object("a", uid="uid-a"), _object("b", uid="uid-b")
    assert rival(first, IDENTITY, others=[first, second], wants=lambda _: IDENTITY) is None
    assert rival(second, IDENTITY, others=[first, second], wants=lambda _: IDENTITY) is first


def test_an_older_object_without_a_right_to_the_name_takes_nothing() -> None:
    me, squatter = _object("me"), _object("squatter", age_s=99, namespace="evil")
    assert rival(me, IDENTITY, others=[me, squatter], wants=lambda _: None) is None


def test_an_older_object_that_is_being_deleted_takes_nothing() -> None:
    me, leaving = _object("me"), _object("leaving", age_s=99, deleting_since=AT)
    assert rival(me, IDENTITY, others=[me, leaving], wants=lambda _: IDENTITY) is None


def test_owners_are_named_within_their_namespace_only() -> None:
    def text(owner: Snapshot | Marker) -> str:
        return owner_text(owner, namespace="team", installation="here")

    assert "crate" in text(OTHER_OBJECT)
    assert "near" in text(_object("near"))
    assert text(Marker("here", "team", "location/disk", "u")) == "the base container of the StowLocation disk"
    for owner in (
        _object("far", namespace="other"),
        Marker("here", "", "location/x", "u"),
        NAMESAKE_ELSEWHERE,
        Marker("here", "other", "far", "u"),
    ):
        assert text(owner) == IN_USE_ELSEWHERE


def test_one_identity_is_one_container_at_one_backend() -> None:
    assert len({identity_of(b, n) for b in ("s3://a", "s3://b") for n in ("x1x", "x2x")}) == 4
