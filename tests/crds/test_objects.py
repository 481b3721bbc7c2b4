"""The schema refuses what is wrong in words that its author understands, and takes the rest."""

from typing import Any

import pytest

from crds.cases import BAD, CSL, GOOD, SC, SL, Case, container, local, s3
from crds.conftest import Api, custom_resource, path_of
from stow.api.container import container_spec
from stow.api.location import location_spec
from stow.errors import InvalidSpecError

STRICT = "fieldValidation=Strict&dryRun=All"


def typed(kind: str, spec: Any) -> object:
    return container_spec(spec) if kind == SC else location_spec(kind, spec)


def ids(case: Case) -> str:
    return f"{case.kind}-{case.id}"


@pytest.mark.parametrize("case", BAD, ids=ids)
def test_a_bad_object_is_refused_in_human_words(api: Api, namespace: str, case: Case) -> None:
    body = custom_resource(case.kind, case.spec, case.name)

    answer = api.request("POST", f"{path_of(case.kind, namespace)}?{STRICT}", body)

    assert answer.status in (400, 422)
    assert case.message in answer.message
    assert "evaluating rule" not in answer.message


@pytest.mark.parametrize("case", GOOD, ids=ids)
def test_a_good_object_is_taken(api: Api, namespace: str, case: Case) -> None:
    body = custom_resource(case.kind, case.spec, case.name)

    answer = api.request("POST", f"{path_of(case.kind, namespace)}?{STRICT}", body)

    assert (answer.status, answer.message) == (201, "")
    assert answer.warnings is None


@pytest.mark.parametrize("case", [case for case in BAD if not case.only_schema], ids=ids)
def test_the_typed_spec_refuses_what_the_schema_refuses(case: Case) -> None:
    with pytest.raises(InvalidSpecError):
        typed(case.kind, case.spec)


@pytest.mark.parametrize("case", GOOD, ids=ids)
def test_the_typed_spec_has_the_defaults_of_the_schema(api: Api, namespace: str, case: Case) -> None:
    body = custom_resource(case.kind, case.spec, case.name)

    served = api.request("POST", f"{path_of(case.kind, namespace)}?{STRICT}", body).body

    assert typed(case.kind, served["spec"]) == typed(case.kind, case.spec)


@pytest.mark.parametrize(
    ("kind", "spec", "defaults"),
    [
        (
            SL,
            s3(
                signedURL={},
                dynamicContainers={},
                baseContainer={"name": "abc"},
                caBundle={"secretRef": {"name": "tls"}},
            ),
            {
                "containerNamePattern": "*",
                "probeInterval": "5m",
                "suspend": False,
                "signedURL": {"methods": ["GET"], "defaultTTL": "15m", "maxTTL": "1h"},
                "dynamicContainers": {"enabled": False, "namePattern": "*"},
                "baseContainer": {"name": "abc", "createIfNotFound": False},
                "caBundle": {"secretRef": {"name": "tls", "key": "ca.crt"}},
                "s3": {
                    "endpoint": "https://s3.example.com",
                    "region": "eu-central-1",
                    "addressingStyle": "Auto",
                    "dialect": "Auto",
                },
            },
        ),
        (
            CSL,
            local("a", dynamicContainers={}),
            {"containerNamePattern": "{namespace}-*", "dynamicContainers": {"enabled": False}, "probeInterval": "5m"},
        ),
        (
            SC,
            {"locationRef": {"name": "a"}},
            {
                "locationRef": {"kind": "StowLocation", "name": "a"},
                "provision": "Create",
                "deletionPolicy": "Retain",
                "suspend": False,
                "driftPolicy": "Report",
            },
        ),
    ],
    ids=[SL, CSL, SC],
)
def test_defaults_are_served(created: Any, kind: str, spec: dict[str, Any], defaults: dict[str, Any]) -> None:
    served = created(kind, spec)

    assert {key: served["spec"][key] for key in defaults} == defaults


@pytest.mark.parametrize(("kind", "spec"), [(SL, s3()), (CSL, s3()), (SC, container())])
def test_a_new_object_is_unobserved_at_once(created: Any, kind: str, spec: dict[str, Any]) -> None:
    assert created(kind, spec)["status"] == {"observedGeneration": -1}


def test_a_status_that_comes_with_the_object_is_dropped(api: Api, namespace: str) -> None:
    """Only the status subresource writes status, so nobody applies an object that claims to be Ready."""
    body = custom_resource(SC, container(), "claims-ready") | {"status": {"observedGeneration": 1, "fqn": "s3://x"}}

    answer = api.request("POST", f"{path_of(SC, namespace)}?{STRICT}", body)

    assert answer.status == 201
    assert answer.body["status"] == {"observedGeneration": -1}
