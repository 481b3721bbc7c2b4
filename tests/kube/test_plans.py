"""store_plan and store_config: what a location may have, decided before anything is built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.kube import START, namespace_snapshot, snapshot
from stow.api.credentials.azure import AzureSASToken
from stow.api.credentials.s3 import S3AccessKey
from stow.api.credentials.swift import SwiftPassword, SwiftV1Key
from stow.api.location import location_spec
from stow.api.principal import AmbientCredentials, AnonymousCredentials
from stow.dev.certificates import Authority
from stow.errors import (
    AmbientCredentialsForbiddenError,
    CABundleInvalidError,
    CABundleMissingError,
    CredentialsInvalidError,
    CredentialsMissingError,
    InvalidSpecError,
    LocalDisabledError,
    StowError,
    UnsupportedCredentialTypeError,
)
from stow.kube.cache import ObjectCache
from stow.kube.plans import DriverPlan, LocalPlan, PlanSettings, RemotePlan, route_of, store_config, store_plan
from stow.kube.sources import Sources, source_refs
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.ports import SecretData
from stow.storage.model import ContainerEntry, Method, Origin, Scope

ROOT = Path("/srv/stow")
SETTINGS = PlanSettings(namespace="stow-system", local_root=ROOT)
S3 = {"endpoint": "https://s3.example.com", "region": "eu-west-1"}
GOOD = SecretData("u", "1", {"AWS_ACCESS_KEY_ID": b"AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": b"planted-secret"})


def namespaced(spec: dict[str, Any], name: str = "main") -> Snapshot:
    return snapshot("StowLocation", name, namespace="team", spec=spec)


def cluster(spec: dict[str, Any], name: str = "shared") -> Snapshot:
    return snapshot("ClusterStowLocation", name, namespace=None, spec=spec)


def plan(location: Snapshot, secret: SecretData | None = None, settings: PlanSettings = SETTINGS) -> DriverPlan:
    spec = location_spec(location.ref.kind, location.spec)
    return store_plan(location, spec, Sources(secret), settings=settings).main


def test_a_secret_is_read_in_the_location_s_namespace_and_for_a_cluster_location_in_the_operator_s() -> None:
    spec = {"s3": S3, "credentials": {"secretRef": {"name": "key"}}}
    for location, expected in ((namespaced(spec), ("team", "key")), (cluster(spec), ("stow-system", "key"))):
        parsed = location_spec(location.ref.kind, location.spec)
        found = source_refs(location, parsed, system_namespace="stow-system")
        assert found.all() == {ObjectRef("Secret", *expected)}


def test_local_folders_of_tenants_and_of_the_platform_never_meet() -> None:
    spec = {"local": {"path": "data/a"}}
    found = plan(namespaced(spec))
    shared = plan(cluster(spec))
    assert isinstance(found, LocalPlan)
    assert isinstance(shared, LocalPlan)
    assert found.root == ROOT / "team" / "data" / "a"
    assert shared.root == ROOT / "_cluster" / "data" / "a"


AMBIENT = {"s3": S3, "credentials": {"ambient": {}}}


@pytest.mark.parametrize(
    ("location", "settings", "secret", "error"),
    [
        pytest.param(
            namespaced({"local": {"path": "a"}}), PlanSettings("stow-system"), None, LocalDisabledError, id="no root"
        ),
        pytest.param(namespaced(AMBIENT), SETTINGS, None, AmbientCredentialsForbiddenError, id="tenant ambient"),
        pytest.param(
            cluster(AMBIENT),
            PlanSettings("stow-system", ambient_for_cluster=False),
            None,
            AmbientCredentialsForbiddenError,
            id="cluster ambient switched off",
        ),
        pytest.param(
            namespaced({"s3": S3, "credentials": {"secretRef": {"name": "key"}}}),
            SETTINGS,
            None,
            CredentialsMissingError,
            id="no Secret",
        ),
        pytest.param(
            namespaced({"s3": S3, "credentials": {"secretRef": {"name": "key"}}}),
            SETTINGS,
            SecretData("u", "1", {"AWS_ACCESS_KEY_ID": b"AKIAEXAMPLE"}),
            CredentialsInvalidError,
            id="key missing in the Secret",
        ),
        pytest.param(
            namespaced({"s3": S3, "credentials": {"secretRef": {"name": "key"}}}),
            SETTINGS,
            SecretData("u", "1", {**GOOD.data, "AWS_ROLE_ARN": b"arn:aws:iam::1:role/x"}),
            UnsupportedCredentialTypeError,
            id="role beside a good key",
        ),
    ],
)
def test_what_may_not_be_is_refused_with_its_own_error(
    location: Snapshot, settings: PlanSettings, secret: SecretData | None, error: type[StowError]
) -> None:
    with pytest.raises(error) as raised:
        plan(location, secret, settings)
    assert type(raised.value) is error


def test_a_missing_secret_is_named_to_its_own_namespace_only() -> None:
    spec = {"s3": S3, "credentials": {"secretRef": {"name": "the-key"}}}
    with pytest.raises(CredentialsMissingError, match="the-key"):
        plan(namespaced(spec))
    with pytest.raises(CredentialsMissingError) as raised:
        plan(cluster(spec))
    assert "the-key" not in raised.value.message
    assert "stow-system" not in raised.value.message


BUNDLED = {"s3": S3, "credentials": {"anonymous": {}}, "caBundle": {"configMapRef": {"name": "the-ca", "key": "x.pem"}}}


def bundled(location: Snapshot, data: dict[str, bytes] | None) -> DriverPlan:
    found = None if data is None else SecretData("u", "1", data)
    spec = location_spec(location.ref.kind, location.spec)
    return store_plan(location, spec, Sources(ca_bundle=found), settings=SETTINGS).main


@pytest.mark.parametrize("make", [namespaced, cluster])
def test_a_bundle_that_is_absent_is_told_apart_from_one_that_is_wrong(
    make: Callable[[dict[str, Any]], Snapshot],
) -> None:
    with pytest.raises(CABundleMissingError, match=r"spec\.caBundle\.configMapRef"):
        bundled(make(BUNDLED), None)
    with pytest.raises(CABundleMissingError, match=r"lacks the key x\.pem"):
        bundled(make(BUNDLED), {"ca.crt": b"planted"})
    with pytest.raises(CABundleInvalidError, match=r"x\.pem") as raised:
        bundled(make(BUNDLED), {"x.pem": b"planted"})
    assert "planted" not in raised.value.message


def test_a_missing_bundle_is_named_to_its_own_namespace_only() -> None:
    with pytest.raises(CABundleMissingError, match="the-ca"):
        bundled(namespaced(BUNDLED), None)
    with pytest.raises(CABundleMissingError) as raised:
        bundled(cluster(BUNDLED), None)
    assert "the-ca" not in raised.value.message


def test_bundles_with_the_same_certificates_give_equal_plans(tmp_path: Path) -> None:
    pem = Authority(tmp_path, now=START).path.read_bytes()
    found = bundled(namespaced(BUNDLED), {"x.pem": pem})
    assert isinstance(found, RemotePlan)
    assert found.ca_pem == pem
    assert found == bundled(namespaced(BUNDLED), {"x.pem": b"# renamed\n" + pem, "other": b"x"})
    assert found != bundled(namespaced(BUNDLED), {"x.pem": pem + pem})


OTHERS: dict[str, tuple[dict[str, Any], dict[str, str], object]] = {
    "azure": ({"account": "acme"}, {"AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=planted"}, AzureSASToken("sv=1&sig=planted")),
    "swift": (
        {"authURL": "https://h/v3", "projectID": "p"},
        {"OS_USERNAME": "a", "OS_PASSWORD": "b"},
        SwiftPassword("a", "b"),
    ),
    "swift v1": ({"authURL": "https://h/v1.0"}, {"ST_USER": "a", "ST_KEY": "b"}, SwiftV1Key("a", "b")),
    "oracle": (
        {"namespace": "acme", "region": "eu-frankfurt-1"},
        {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
        S3AccessKey("a", "b"),
    ),
}


@pytest.mark.parametrize(("backend", "data", "found"), OTHERS.values(), ids=OTHERS)
def test_each_kind_reads_its_own_keys_and_no_other_kind_s(
    backend: dict[str, Any], data: dict[str, str], found: object, request: pytest.FixtureRequest
) -> None:
    member = request.node.callspec.id.split()[0]
    location = namespaced({member: backend, "credentials": {"secretRef": {"name": "key"}}})
    secret = SecretData("u", "1", {key: value.encode() for key, value in data.items()})
    made = plan(location, secret)
    assert isinstance(made, RemotePlan)
    assert (made.member, made.credentials) == (member, found)
    assert "planted" not in repr(made)
    for _, other, _ in OTHERS.values():
        if set(other) != set(data):
            foreign = SecretData("u", "1", {key: value.encode() for key, value in other.items()})
            with pytest.raises((CredentialsInvalidError, UnsupportedCredentialTypeError)):
                plan(location, foreign)


def test_a_document_of_google_leaves_nothing_in_the_error_that_refuses_it() -> None:
    location = namespaced({"google": {}, "credentials": {"secretRef": {"name": "key"}}})
    with pytest.raises(CredentialsInvalidError) as raised:
        plan(location, SecretData("u", "1", {"key.json": b'{"private_key": "planted"'}))
    assert "planted" not in raised.value.message
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_a_tenant_may_not_sign_as_the_operator_either() -> None:
    location = namespaced({"s3": S3, "credentials": {"anonymous": {}}, "signedURL": {"credentials": {"ambient": {}}}})
    with pytest.raises(AmbientCredentialsForbiddenError, match=r"spec\.signedURL\.credentials\.secretRef"):
        plan(location)


def test_a_tenant_may_use_ambient_credentials_where_the_process_was_told_so() -> None:
    found = plan(namespaced(AMBIENT), settings=PlanSettings("stow-system", ambient_for_namespaced=True))
    assert isinstance(found, RemotePlan)
    assert found.credentials == AmbientCredentials()


def test_anonymous_needs_no_secret() -> None:
    found = plan(namespaced({"s3": S3, "credentials": {"anonymous": {}}}))
    assert isinstance(found, RemotePlan)
    assert found.credentials == AnonymousCredentials()


def test_a_plan_shows_no_secret() -> None:
    found = plan(namespaced({"s3": S3, "credentials": {"secretRef": {"name": "key"}}}), GOOD)
    assert "planted-secret" not in repr(found)
    assert "AKIAEXAMPLE" not in repr(found)


def test_a_path_that_leaves_its_tenant_is_refused() -> None:
    with pytest.raises(InvalidSpecError):
        plan(namespaced({"local": {"path": "../other"}}))


def rule(location: Snapshot, cache: ObjectCache, settings: PlanSettings = SETTINGS) -> Any:
    spec = location_spec(location.ref.kind, location.spec)
    return store_config(location, spec, cache, settings=settings)


DYNAMIC = {"enabled": True, "namePattern": "{namespace}-*"}


@pytest.fixture
def cache() -> ObjectCache:
    found = ObjectCache()
    for name, labels in (("team", {"tier": "gold"}), ("team-a", {"tier": "gold"}), ("other", {})):
        found.apply(namespace_snapshot(name, labels=labels))
    return found


@pytest.mark.parametrize(
    ("name", "scope", "allowed"),
    [
        ("team-data", Scope("team"), True),
        ("team-a-data", Scope("team-a"), True),
        ("team-a-data", Scope("team"), False),  # the longer namespace has the better claim
        ("other-data", Scope("other"), False),  # not let in
        ("team-data", Scope("other"), False),
        ("unknown-data", Scope("unknown"), False),
        ("team-data", None, False),
    ],
)
def test_a_cluster_location_loads_only_for_namespaces_that_it_lets_in_and_by_the_longest_name(
    cache: ObjectCache, name: str, scope: Scope | None, allowed: bool
) -> None:
    location = cluster(
        {
            "local": {"path": "a"},
            "dynamicContainers": DYNAMIC,
            "allowedNamespaces": {"selector": {"matchLabels": {"tier": "gold"}}},
        }
    )
    assert rule(location, cache).dynamic_allowed(name, scope) is allowed


def test_a_namespaced_location_loads_for_its_own_namespace_only(cache: ObjectCache) -> None:
    config = rule(namespaced({"local": {"path": "a"}, "dynamicContainers": {"enabled": True}}), cache)
    assert config.dynamic_allowed("anything", Scope("team"))
    assert not config.dynamic_allowed("anything", Scope("other"))


def test_nothing_is_loaded_where_dynamic_containers_are_off(cache: ObjectCache) -> None:
    assert not rule(namespaced({"local": {"path": "a"}}), cache).dynamic_allowed("anything", Scope("team"))


def test_what_a_stow_container_asks_for_is_not_loaded_on_demand(cache: ObjectCache) -> None:
    config = rule(namespaced({"local": {"path": "a"}, "dynamicContainers": {"enabled": True}}), cache)
    declared = snapshot("StowContainer", "photos", spec={"locationRef": {"name": "main"}})
    cache.apply(declared)
    assert not config.dynamic_allowed("photos", Scope("team"))
    cache.remove(declared.ref)
    assert config.dynamic_allowed("photos", Scope("team"))


def test_a_local_location_signs_only_where_somebody_said_under_which_url(cache: ObjectCache) -> None:
    spec: dict[str, Any] = {"local": {"path": "a"}, "signedURL": {"methods": ["GET", "PUT"]}}
    assert rule(namespaced(spec), cache).sign_methods == frozenset()
    public = PlanSettings("stow-system", local_root=ROOT, public_url="https://objects.example.com")
    assert rule(namespaced(spec), cache, public).sign_methods == {Method.GET, Method.PUT}
    spec["signedURL"]["endpoint"] = "https://own.example.com/base"
    assert rule(namespaced(spec), cache).sign_methods == {Method.GET, Method.PUT}
    found = plan(namespaced(spec), settings=public)
    assert isinstance(found, LocalPlan)
    assert found.public_url == "https://own.example.com/base"


@pytest.mark.parametrize(
    ("location", "entry", "route"),
    [
        (
            ObjectRef("StowLocation", "team", "main"),
            ContainerEntry("bucket", "file://bucket", Origin.DECLARED, START, "u", "team", "photos"),
            "namespaces/team/containers/photos",
        ),
        (
            ObjectRef("StowLocation", "team", "main"),
            ContainerEntry("bucket", "file://bucket", Origin.BASE, START, "u"),
            "namespaces/team/locations/main/containers/bucket",
        ),
        (
            ObjectRef("ClusterStowLocation", None, "shared.io"),
            ContainerEntry("bucket", "file://bucket", Origin.DYNAMIC, START, "u"),
            "clusterlocations/shared.io/containers/bucket",
        ),
    ],
)
def test_a_local_signature_names_the_route_of_its_container(
    location: ObjectRef, entry: ContainerEntry, route: str
) -> None:
    assert route_of(location)(entry) == route
