"""What never changes: not by adding, changing or removing it, nor by removing it first and adding it then."""

from typing import Any, NamedTuple

import pytest

from crds import kinds
from crds.cases import CSL, SC, SL, container, local, s3
from crds.conftest import Api, path_of

NAME = "containerName is immutable, whether it is set or not; create another StowContainer instead"
REF = "locationRef is immutable; create another StowContainer instead"
PROVISION = "provision is immutable; create another StowContainer instead"
BACKEND = "the kind of backend is immutable; create another location instead"
UNION = "exactly one of s3, google, azure, swift, oracle and local must be set"


class Step(NamedTuple):
    kind: str
    before: dict[str, Any]
    after: dict[str, Any]
    message: str


LOCAL_TO_BOTH = s3(local={"path": "a"})
OTHER_REF = {"locationRef": {"kind": SL, "name": "other"}}
CLUSTER_REF = {"locationRef": {"kind": CSL, "name": "primary"}}

MEMBERS = {"s3": s3(), **{member: kinds.of(member, spec) for member, spec in kinds.SMALL.items()}}

REFUSED = {
    "containerName-add": Step(SC, container(), container(containerName="abc"), NAME),
    "containerName-add-the-default": Step(SC, container(), container(containerName="object"), NAME),
    "containerName-change": Step(SC, container(containerName="abc"), container(containerName="abd"), NAME),
    "containerName-remove": Step(SC, container(containerName="abc"), container(), NAME),
    "locationRef-change-name": Step(SC, container(), OTHER_REF, REF),
    "locationRef-change-kind": Step(SC, container(), CLUSTER_REF, REF),
    "locationRef-remove": Step(SC, container(), {}, "spec.locationRef: Required value"),
    "locationRef-remove-kind": Step(SC, CLUSTER_REF, {"locationRef": {"name": "primary"}}, REF),
    "provision-add": Step(SC, container(), container(provision="Load"), PROVISION),
    "provision-change": Step(SC, container(provision="Load"), container(provision="LoadOrCreate"), PROVISION),
    "provision-remove": Step(SC, container(provision="Load"), container(), PROVISION),
    **{
        f"{kind}-{name}": Step(kind, before, after, message)
        for kind in (SL, CSL)
        for name, before, after, message in (
            ("s3-to-local", s3(), local("a"), BACKEND),
            ("local-to-s3", local("a"), s3(), BACKEND),
            ("local-beside-s3", s3(), LOCAL_TO_BOTH, UNION),
            ("s3-beside-local", local("a"), LOCAL_TO_BOTH, BACKEND),
            ("remove-s3", s3(), {"credentials": {"anonymous": {}}}, UNION),
            ("remove-local", local("a"), {}, UNION),
        )
    },
    **{
        f"{one}-to-{other}": Step(SL, before, after, BACKEND)
        for one, before in MEMBERS.items()
        for other, after in MEMBERS.items()
        if one != other
    },
}


@pytest.mark.parametrize("step", REFUSED.values(), ids=REFUSED)
def test_an_immutable_field_is_not_changed(api: Api, namespace: str, created: Any, step: Step) -> None:
    stored = created(step.kind, step.before)

    answer = api.request(
        "PUT", path_of(step.kind, namespace, stored["metadata"]["name"]), stored | {"spec": step.after}
    )

    assert answer.status == 422
    assert step.message in answer.message


@pytest.mark.parametrize(
    ("kind", "before", "removal", "then", "message"),
    [
        (SC, container(containerName="abc"), {"containerName": None}, {"containerName": "abd"}, NAME),
        (SC, container(provision="Load"), {"provision": None}, {"provision": "Create"}, PROVISION),
        (SC, container(), {"locationRef": None}, OTHER_REF, REF),
        (SL, s3(), {"s3": None, "credentials": None}, local("a", credentials=None), BACKEND),
        (CSL, local("a"), {"local": None}, s3(local=None), BACKEND),
    ],
    ids=["containerName", "provision", "locationRef", "s3", "local"],
)
def test_remove_then_add_is_no_way_around(
    api: Api,
    namespace: str,
    created: Any,
    kind: str,
    before: dict[str, Any],
    removal: dict[str, Any],
    then: dict[str, Any],
    message: str,
) -> None:
    stored = created(kind, before)
    path = path_of(kind, namespace, stored["metadata"]["name"])
    merge = "application/merge-patch+json"

    removed = api.request("PATCH", path, {"spec": removal}, content_type=merge)
    added = api.request("PATCH", path, {"spec": then}, content_type=merge)

    # What has a default of its own may go from the text that was applied, and stands there again at once.
    assert removed.status == 422
    assert added.status == 422
    assert message in added.message
    assert api.request("GET", path).body["spec"] == stored["spec"]


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (SL, s3(), s3(s3={"endpoint": "https://other.example.com"}, suspend=True)),
        (SL, s3(), s3(credentials={"anonymous": {}})),
        (CSL, local("a"), local("b")),
        (SC, container(), container(deletionPolicy="DeleteIfEmpty", suspend=True)),
        (SC, container(tags={"a": "b"}), container(versioning=True, expireAfterDays=1, driftPolicy="Enforce")),
        (SC, container(), container(provision="Create")),
        (SC, {"locationRef": {"name": "a"}}, {"locationRef": {"kind": SL, "name": "a"}}),
    ],
)
def test_what_may_change_changes(
    api: Api, namespace: str, created: Any, kind: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    stored = created(kind, before)

    answer = api.request("PUT", path_of(kind, namespace, stored["metadata"]["name"]), stored | {"spec": after})

    assert (answer.status, answer.message) == (200, "")
