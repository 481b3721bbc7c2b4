"""Specs are read whole or refused with the path of what is wrong, whatever came past the schema.

The table of good and bad specs stands beside the schema's tests, where both judge it.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crds.cases import CSL, SL, container, local, s3
from stow.api.backend import LocalSpec, S3Spec
from stow.api.container import (
    ContainerSpec,
    DeletionPolicy,
    DriftPolicy,
    LocationRef,
    Provision,
    container_name_of,
    container_spec,
)
from stow.api.location import (
    BaseContainerSpec,
    DynamicContainersSpec,
    LimitsSpec,
    LoadableContainer,
    LocationSpec,
    SignedURLSpec,
    location_spec,
)
from stow.api.principal import AmbientCredentials, AnonymousCredentials, SecretCredentials
from stow.errors import InvalidSpecError
from stow.storage.model import ContainerSettings

CANARY = "C4NARY"


def test_a_small_location_has_the_documented_defaults() -> None:
    assert location_spec(SL, s3()) == LocationSpec(
        is_cluster=False,
        backend=S3Spec("https://s3.example.com", "eu-central-1", "Auto", "Auto"),
        credentials=SecretCredentials("keys"),
        container_name_pattern="*",
        dynamic_containers=DynamicContainersSpec(enabled=False, name_pattern="*"),
        signed_url=SignedURLSpec(None, ("GET",), timedelta(minutes=15), timedelta(hours=1)),
        limits=LimitsSpec(None, None),
        probe_interval=timedelta(minutes=5),
        suspend=False,
    )


def test_a_whole_cluster_location_is_read() -> None:
    spec = location_spec(
        CSL,
        {
            "local": {"path": "data/media"},
            "baseContainer": {"name": "base", "createIfNotFound": True},
            "dynamicContainers": {"enabled": True, "namePattern": "{namespace}.*"},
            "signedURL": {"endpoint": "https://h/x/", "methods": ["PUT"], "defaultTTL": "1m", "maxTTL": "2m"},
            "containerNamePattern": "x-*",
            "loadableContainers": [{"namespace": "a", "name": "abc"}],
            "allowedNamespaces": {"names": ["a"]},
            "limits": {"maxReadBytes": 5, "maxWriteBytes": 6},
            "probeInterval": "30s",
            "suspend": True,
        },
    )

    assert (spec.backend, spec.credentials, spec.member) == (LocalSpec("data/media"), None, "local")
    assert spec.base_container == BaseContainerSpec("base", create_if_not_found=True)
    assert spec.dynamic_containers == DynamicContainersSpec(enabled=True, name_pattern="{namespace}.*")
    assert spec.signed_url == SignedURLSpec("https://h/x", ("PUT",), timedelta(minutes=1), timedelta(minutes=2))
    assert spec.container_name_pattern == "x-*"
    assert spec.loadable_containers == {LoadableContainer("a", "abc")}
    assert spec.allowed_namespaces.allows("a", {})
    assert spec.limits == LimitsSpec(5, 6)
    assert (spec.is_cluster, spec.probe_interval, spec.suspend) == (True, timedelta(seconds=30), True)


def test_a_cluster_location_gives_names_by_namespace() -> None:
    assert location_spec(CSL, local("a")).container_name_pattern == "{namespace}-*"


@pytest.mark.parametrize(
    ("raw", "credentials"),
    [
        ({"ambient": {}}, AmbientCredentials()),
        ({"anonymous": {}}, AnonymousCredentials()),
        ({"secretRef": {"name": "a.b"}, "ambient": None}, SecretCredentials("a.b")),
    ],
)
def test_credentials_are_one_of_three(raw: dict[str, Any], credentials: object) -> None:
    assert location_spec(SL, s3(credentials=raw)).credentials == credentials


def test_another_kind_is_no_location() -> None:
    with pytest.raises(ValueError, match="neither"):
        location_spec("StowContainer", s3())


def test_a_small_container_has_the_documented_defaults() -> None:
    assert container_spec({"locationRef": {"name": "a"}}) == ContainerSpec(
        LocationRef("StowLocation", "a"), None, Provision.CREATE, DeletionPolicy.RETAIN, suspend=False
    )


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (container(), "photos"),
        ({"locationRef": {"kind": CSL, "name": "shared"}}, "team-a-photos"),
        (container(containerName="given"), "given"),
        ({"locationRef": {"kind": CSL, "name": "shared"}, "containerName": "given"}, "given"),
    ],
)
def test_a_container_has_its_own_name_or_the_default_of_its_kind(spec: dict[str, Any], name: str) -> None:
    assert container_name_of(container_spec(spec), namespace="team-a", name="photos") == name


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (s3(s3={"endpoint": "https://user:" + CANARY + "@h"}), "spec.s3.endpoint: must be a URL"),
        (s3(s3={"endpoint": "https://h:99999"}), "spec.s3.endpoint: must be a URL"),
        (s3(s3={"endpoint": "https://[::1"}), "spec.s3.endpoint: must be a URL"),
        (s3(s3={"endpoint": "https://h/" + CANARY}), "spec.s3.endpoint: must have no path"),
        (s3(s3={"endpoint": "https://h" + "a" * 600}), "spec.s3.endpoint: must have at most 512 characters"),
        (s3(s3={"region": CANARY + "/"}), "spec.s3.region: must match"),
        (s3(s3={"region": "a", "dialect": CANARY}), "spec.s3.dialect: must be one of Auto, AWS"),
        (local("../" + CANARY), "spec.local.path: must be relative"),
        (s3(baseContainer={"name": CANARY}), "spec.baseContainer.name: must be 3 to 63"),
        (s3(containerNamePattern=CANARY), "spec.containerNamePattern: must consist of"),
        (s3(limits={"maxReadBytes": True}), "spec.limits.maxReadBytes: must be a whole number of at least 1"),
        (s3(limits={"maxReadBytes": 2**63}), "spec.limits.maxReadBytes: must be a whole number of at least 1"),
        (s3(loadableContainers=None, allowedNamespaces={}), "spec.allowedNamespaces: belongs to ClusterStowLocation"),
        (s3(probeInterval="1ms"), "spec.probeInterval: must be at least 1s"),
        (CANARY, "spec: must be an object"),
    ],
)
def test_what_came_past_the_schema_is_refused_with_its_path(spec: object, message: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        location_spec(SL, spec)

    assert caught.value.message.startswith(message)
    assert CANARY not in caught.value.message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"tags": {"": "v"}}, "spec.tags: keys must be"),
        ({"tags": {"-a": "v"}}, "spec.tags: keys must be"),
        ({"tags": {"a/b": "v"}}, "spec.tags: keys must be"),
        ({"tags": {"a" * 64: "v"}}, "spec.tags: keys must be"),
        ({"tags": {"ü": "v"}}, "spec.tags: keys must be"),
        ({"tags": {"StowStore.io-uid": "v"}}, "spec.tags: keys must be"),
        ({"tags": {"stowstoreio_uid": "v"}}, "spec.tags: keys must be"),
        ({"tags": {"a": CANARY + "\n"}}, "spec.tags: values must have"),
        ({"tags": {"a": 5}}, "spec.tags: values must have"),
        ({"tags": {f"k{at}": "" for at in range(41)}}, "spec.tags: must have at most 40"),
        ({"versioning": 1}, "spec.versioning: must be true or false"),
        ({"expireAfterDays": -1}, "spec.expireAfterDays: must be a whole number"),
        ({"expireAfterDays": True}, "spec.expireAfterDays: must be a whole number"),
        ({"expireAfterDays": 36_501}, "spec.expireAfterDays: must be at most 36500"),
        ({"driftPolicy": CANARY}, "spec.driftPolicy: must be one of Report, Enforce"),
    ],
)
def test_settings_that_no_backend_has_are_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        container_spec(container(**spec))

    assert caught.value.message.startswith(message)
    assert CANARY not in caught.value.message


def test_settings_are_read_and_what_is_absent_is_left_alone() -> None:
    found = container_spec(container(tags={"a.b_c-d": "v w", "x": ""}, expireAfterDays=0, driftPolicy="Enforce"))

    assert found.settings == ContainerSettings(tags={"a.b_c-d": "v w", "x": ""}, versioning=None, expire_after_days=0)
    assert found.drift_policy is DriftPolicy.ENFORCE
    assert container_spec(container()).settings == ContainerSettings()
    assert container_spec(container(tags={})).settings.tags == {}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
HOSTILE = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
LOCATION_KEYS = (
    "s3", "local", "credentials", "baseContainer", "dynamicContainers", "signedURL", "containerNamePattern",
    "loadableContainers", "allowedNamespaces", "limits", "probeInterval", "suspend", "caBundle",
)  # fmt: skip
CONTAINER_KEYS = (
    "locationRef", "containerName", "provision", "deletionPolicy", "suspend", "tags", "versioning", "expireAfterDays", "driftPolicy",
)  # fmt: skip
INNER_KEYS = (
    "name", "names", "path", "endpoint", "region", "secretRef", "selector", "matchLabels", "matchExpressions", "methods",
    "maxTTL", "defaultTTL", "namePattern", "enabled", "kind", "maxReadBytes", "namespace", "configMapRef", "key", "credentials",
)  # fmt: skip
INNER = st.dictionaries(st.sampled_from(INNER_KEYS), HOSTILE, max_size=4) | HOSTILE


STEADY = settings(deadline=None, derandomize=True, database=None)


def refusal(read: Callable[[], object]) -> str:
    """What the one error says, or the path itself where the spec was understood."""
    try:
        read()
    except InvalidSpecError as error:
        return error.message
    return "spec"


@STEADY
@given(st.sampled_from([SL, CSL]), st.sampled_from(LOCATION_KEYS), INNER | st.lists(INNER, max_size=2))
@example(SL, "s3", {"endpoint": "https://[v1.x]"})
@example(SL, "s3", {"endpoint": "https://\ud800"})
@example(CSL, "allowedNamespaces", {"selector": {"matchLabels": {1: "a"}}})
def test_a_hostile_location_ends_in_a_spec_or_its_one_error(kind: str, key: str, value: object) -> None:
    assert refusal(lambda: location_spec(kind, s3(**{key: value}))).startswith("spec")


@STEADY
@given(st.sampled_from(CONTAINER_KEYS), INNER)
def test_a_hostile_container_ends_in_a_spec_or_its_one_error(key: str, value: object) -> None:
    assert refusal(lambda: container_spec(container(**{key: value}))).startswith("spec")
