"""The definitions themselves: accepted without a warning, explained, bounded, and readable in a terminal."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from crds import cases, test_immutable
from crds.conftest import CRD_FOLDER, CRD_PATH, Api, crd_documents, eventually, path_of
from crds.test_status import NOW, entry, write
from stow.api import meta
from stow.api.conditions import Wanted, merge_conditions
from stow.api.reasons import ConditionType, Reason
from stow.api.status import ContainerStatus, LocationStatus, Origin

DOCUMENTS = crd_documents()
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def schema_of(kind: str) -> dict[str, Any]:
    return DOCUMENTS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def walk(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from walk(schema[key], f"{path}[]")


def fields(kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [(path, schema) for path, schema in walk(schema_of(kind), kind) if path != f"{kind}.metadata"]


def test_there_is_one_file_for_each_kind() -> None:
    assert DOCUMENTS.keys() == meta.KINDS.keys()
    assert {path.stem for path in CRD_FOLDER.iterdir()} == {each.plural for each in meta.KINDS.values()}


@pytest.mark.parametrize("kind", meta.KINDS.values(), ids=meta.KINDS)
def test_the_names_are_those_of_the_code(kind: meta.ResourceKind) -> None:
    spec = DOCUMENTS[kind.kind]["spec"]

    assert DOCUMENTS[kind.kind]["metadata"]["name"] == kind.crd_name
    assert spec["group"] == meta.GROUP
    assert [version["name"] for version in spec["versions"]] == [meta.VERSION]
    assert spec["scope"] == ("Namespaced" if kind.namespaced else "Cluster")
    assert (spec["names"]["plural"], spec["names"]["singular"]) == (kind.plural, kind.singular)
    assert spec["names"]["shortNames"][0] == kind.short_name
    assert spec["names"]["categories"] == [meta.CATEGORY]


@pytest.mark.parametrize("kind", meta.KINDS)
def test_the_definition_is_taken_without_a_warning(api: Api, kind: str) -> None:
    path = f"{CRD_PATH}/{DOCUMENTS[kind]['metadata']['name']}"

    answer = api.request(
        "PATCH",
        f"{path}?fieldManager=crd-tests&force=true&dryRun=All&fieldValidation=Strict",
        DOCUMENTS[kind],
        content_type="application/apply-patch+yaml",
    )

    assert (answer.status, answer.warnings) == (200, None)
    conditions = {each["type"]: each["status"] for each in api.request("GET", path).body["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.parametrize("kind", meta.KINDS)
def test_every_field_is_explained(kind: str) -> None:
    unexplained = [path for path, schema in fields(kind) if not schema.get("description", "").endswith(".")]

    assert unexplained == []


def test_the_explanations_are_served(api: Api) -> None:
    def explanation() -> Any:
        served = api.request("GET", "/openapi/v3/apis/stowstore.io/v1alpha1").body
        schemas = served.get("components", {}).get("schemas", {})
        return schemas.get("io.stowstore.v1alpha1.StowLocation", {}).get("properties", {}).get("spec")

    eventually(lambda: explanation() is not None)

    served = explanation()["properties"]["s3"]
    ours = schema_of("StowLocation")["properties"]["spec"]["properties"]["s3"]
    assert served["description"] == ours["description"]
    assert {name: each["description"] for name, each in served["properties"].items()} == {
        name: each["description"] for name, each in ours["properties"].items()
    }


@pytest.mark.parametrize("kind", meta.KINDS)
def test_every_field_is_bounded(kind: str) -> None:
    bounds = {"string": ("maxLength", "enum", "format"), "array": ("maxItems",)}
    own = [(path, schema) for path, schema in fields(kind) if path not in (f"{kind}.apiVersion", f"{kind}.kind")]

    unbounded = [path for path, schema in own if not any(b in schema for b in bounds.get(schema["type"], ("type",)))]
    open_maps = [path for path, schema in own if "additionalProperties" in schema and "maxProperties" not in schema]

    assert (unbounded, open_maps) == ([], [])


def test_both_location_kinds_have_one_schema() -> None:
    """Everything but the words, the cluster kind's own fields and the rule on its dynamic containers."""

    def bare(schema: Any) -> Any:
        if isinstance(schema, dict):
            return {key: bare(each) for key, each in schema.items() if key != "description" or isinstance(each, dict)}
        return [bare(each) for each in schema] if isinstance(schema, list) else schema

    namespaced, cluster = bare(schema_of("StowLocation")), bare(schema_of("ClusterStowLocation"))
    spec = cluster["properties"]["spec"]["properties"]
    del spec["allowedNamespaces"], spec["loadableContainers"]
    del spec["dynamicContainers"]["x-kubernetes-validations"]
    spec["dynamicContainers"]["properties"]["namePattern"]["default"] = "*"
    spec["containerNamePattern"]["default"] = "*"
    del cluster["properties"]["status"]["properties"]["containers"]["items"]["properties"]["namespace"]

    assert cluster == namespaced


def test_every_rule_has_a_case() -> None:
    """A CEL rule that nothing breaks may as well be wrong."""
    messages = {
        rule["message"]
        for kind in meta.KINDS
        for _, schema in walk(schema_of(kind), kind)
        for rule in schema.get("x-kubernetes-validations", ())
    }
    covered = [case.message for case in cases.BAD] + [step.message for step in test_immutable.REFUSED.values()]

    assert [message for message in sorted(messages) if not any(part and part in message for part in covered)] == []


def cells(answer: Any) -> list[list[str]]:
    """The columns that kubectl shows without `-o wide`."""
    shown = [at for at, column in enumerate(answer["columnDefinitions"]) if column["priority"] == 0]
    header = [answer["columnDefinitions"][at]["name"].upper() for at in shown]
    return [header, *([str(row["cells"][at]) for at in shown] for row in answer["rows"])]


def width(kind: meta.ResourceKind, namespace: str, rows: list[list[str]]) -> int:
    """The longest line of `kubectl get sl,csl,stc -A`: the name bears its kind, three spaces between columns."""
    header, *lines = rows
    full = [["NAMESPACE", *header]]
    full += [
        [namespace if kind.namespaced else "", f"{kind.singular}.{meta.GROUP}/{name}", *rest] for name, *rest in lines
    ]
    return sum(max(map(len, column)) + 3 for column in zip(*full, strict=True)) - 3


def test_the_columns_read_well_at_120(api: Api, namespace: str, created: Any) -> None:
    ready = merge_conditions((), [Wanted(ConditionType.READY, "True", Reason.PROVISIONED)], generation=1, now=NOW)
    location = LocationStatus(
        observed_generation=1,
        conditions=ready,
        base_container_fqn="s3://team-a-base",
        container_count=2,
        containers=(entry("team-a-base", Origin.BASE), entry("abc")),
    )
    container = ContainerStatus(observed_generation=1, conditions=ready, fqn="s3://team-a-photos")
    specs = {"StowLocation": cases.s3(), "ClusterStowLocation": cases.s3(), "StowContainer": cases.container()}
    names = {"StowLocation": "primary", "ClusterStowLocation": f"pool-{namespace[-4:]}", "StowContainer": "photos"}
    for kind, spec in specs.items():
        status = container if kind == "StowContainer" else location
        assert write(api, namespace, created(kind, spec, names[kind]), status.to_dict()).status == 200

    tables = {
        kind: cells(api.request("GET", path_of(kind, namespace, name), accept=TABLE).body)
        for kind, name in names.items()
    }

    base = ["NAME", "BASE", "CONTAINERS", "READY", "REASON", "AGE"]
    assert tables["StowLocation"][0] == base
    assert tables["ClusterStowLocation"][0] == base
    assert tables["StowLocation"][1][:5] == ["primary", "s3://team-a-base", "2", "True", "Provisioned"]
    assert tables["StowContainer"][0] == ["NAME", "LOCATION", "CONTAINER", "READY", "REASON", "AGE"]
    assert tables["StowContainer"][1][:5] == ["photos", "primary", "s3://team-a-photos", "True", "Provisioned"]
    assert {kind: width(meta.KINDS[kind], namespace, rows) <= 120 for kind, rows in tables.items()} == dict.fromkeys(
        tables, True
    )


def test_no_short_name_is_one_of_kubernetes(api: Api) -> None:
    """`sc` is StorageClass's: kubectl prefers that, and would warn whoever types it in a cluster with our CRDs."""
    served = {
        each["name"]: each.get("shortNames")
        for each in api.request("GET", "/apis/stowstore.io/v1alpha1").body["resources"]
    }
    storage = api.request("GET", "/apis/storage.k8s.io/v1").body["resources"]
    taken = {short for each in storage for short in each.get("shortNames", ())}

    ours = {name: served[name] for name in ("stowlocations", "clusterstowlocations", "stowcontainers")}
    assert ours == {"stowlocations": ["sl"], "clusterstowlocations": ["csl"], "stowcontainers": ["stc"]}
    assert taken.isdisjoint(each for names in ours.values() for each in names)


def test_stowcontainers_are_found_by_their_location(api: Api, namespace: str, created: Any) -> None:
    wanted = created("StowContainer", {"locationRef": {"name": "archive"}})["metadata"]["name"]
    created("StowContainer", {"locationRef": {"name": "primary"}})

    found = api.request("GET", f"{path_of('StowContainer', namespace)}?fieldSelector=spec.locationRef.name=archive")

    assert [each["metadata"]["name"] for each in found.body["items"]] == [wanted]


def test_the_files_hold_one_document_each() -> None:
    assert all(len(list(yaml.safe_load_all(path.read_text()))) == 1 for path in CRD_FOLDER.glob("*.yaml"))
