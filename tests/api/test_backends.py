"""The kinds of backends of a location, and who it may be towards each."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from stow.api.backend import AzureSpec, GoogleSpec, OracleSpec, S3Spec, SwiftSpec
from stow.api.location import location_spec
from stow.api.principal import AmbientCredentials, AnonymousCredentials, Credentials, SecretCredentials
from stow.errors import InvalidSpecError

CANARY = "C4NARY"
SECRET: dict[str, Any] = {"secretRef": {"name": "keys"}}
KEYSTONE = "https://keystone.example:5000/v3"
SMALL: dict[str, dict[str, Any]] = {
    "s3": {"region": "eu-central-1"},
    "google": {},
    "azure": {"account": "acme"},
    "swift": {"authURL": KEYSTONE, "projectID": "a"},
    "oracle": {"namespace": "acme", "region": "eu-frankfurt-1"},
}


def read(member: str, value: Any, credentials: Any = SECRET, **more: Any) -> Any:
    return location_spec("StowLocation", {member: value, "credentials": credentials, **more})


@pytest.mark.parametrize(
    ("member", "value", "found"),
    [
        ("s3", SMALL["s3"], S3Spec(None, "eu-central-1")),
        ("google", {}, GoogleSpec()),
        (
            "google",
            {"project": "acme.com:storage", "endpoint": "http://gcs:4443/", "signerServiceAccount": "a@b.iam.x.com"},
            GoogleSpec("acme.com:storage", "http://gcs:4443", "a@b.iam.x.com"),
        ),
        ("azure", SMALL["azure"], AzureSpec("acme")),
        (
            "azure",
            {"account": "devstoreaccount1", "endpoint": "http://azurite:10000/devstoreaccount1"},
            AzureSpec("devstoreaccount1", "http://azurite:10000/devstoreaccount1"),
        ),
        ("swift", SMALL["swift"], SwiftSpec(KEYSTONE, project_id="a")),
        (
            "swift",
            {
                "authURL": "https://k.example/identity/v3/",
                "authVersion": "V3",
                "region": "Region One",
                "projectName": "Größe",
                "projectDomainName": "Acme",
                "userDomainName": "Users",
                "interface": "internal",
            },
            SwiftSpec(
                "https://k.example/identity/v3",
                "V3",
                "Region One",
                "Größe",
                None,
                "Acme",
                "Users",
                "internal",
            ),
        ),
        ("oracle", SMALL["oracle"], OracleSpec("acme", "eu-frankfurt-1")),
    ],
)
def test_each_kind_is_read_with_its_defaults(member: str, value: dict[str, Any], found: object) -> None:
    spec = read(member, value)

    assert spec.backend == found
    assert spec.member == member


@pytest.mark.parametrize(
    ("url", "version", "is_v1"),
    [
        ("https://s.example/auth/v1.0", "Auto", True),
        ("https://s.example/auth/v1.0/", "Auto", True),
        ("https://s.example/auth/v1", "Auto", True),
        ("https://s.example/v1", "Auto", True),
        ("https://s.example/v3", "Auto", False),
        ("https://s.example", "Auto", False),
        ("https://s.example/v1/identity", "Auto", False),
        ("https://s.example/auth/v10", "Auto", False),
        ("https://s.example/auth", "V1", True),
        ("https://s.example/auth/v1.0", "V3", False),
    ],
)
def test_the_version_of_swift_s_authentication_is_known_by_its_url(url: str, version: str, is_v1: bool) -> None:
    project = {} if is_v1 else {"projectID": "a"}
    assert read("swift", {"authURL": url, "authVersion": version, **project}).backend.is_v1 is is_v1


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("google", {"project": f"../{CANARY}"}, "spec.google.project: must match"),
        ("google", {"endpoint": f"https://h/{CANARY}"}, "spec.google.endpoint: must have no path"),
        ("google", {"signerServiceAccount": f"a@b/{CANARY}"}, "spec.google.signerServiceAccount: must match"),
        ("azure", {}, "spec.azure.account: is required"),
        ("azure", {"account": f"{CANARY}"}, "spec.azure.account: must match"),
        ("azure", {"account": "a.evil.example#"}, "spec.azure.account: must match"),
        ("azure", {"account": "acme", "endpoint": f"https://h?{CANARY}"}, "spec.azure.endpoint: must be a URL"),
        ("swift", {}, "spec.swift.authURL: is required"),
        ("swift", {"authURL": f"https://u:{CANARY}@h/v3"}, "spec.swift.authURL: must be a URL"),
        ("swift", {"authURL": KEYSTONE, "authVersion": "V2"}, "spec.swift.authVersion: must be one of Auto, V1, V3"),
        ("swift", {"authURL": KEYSTONE, "interface": CANARY}, "spec.swift.interface: must be one of public"),
        ("swift", {"authURL": KEYSTONE, "region": "a\nb"}, "spec.swift.region: must match"),
        ("swift", {"authURL": KEYSTONE, "projectID": "a/b"}, "spec.swift.projectID: must match"),
        (
            "swift",
            {"authURL": KEYSTONE, "projectID": "a", "projectName": "a"},
            "spec.swift.projectID: must be absent beside projectName",
        ),
        *(
            (
                "swift",
                {"authURL": "https://h/v1.0", name: "a"},
                "spec.swift.authVersion: V1 has no region and no project",
            )
            for name in ("region", "projectID", "projectName")
        ),
        ("swift", {"authURL": KEYSTONE}, "spec.swift.projectName: is required with Keystone"),
        ("oracle", {"region": "eu-frankfurt-1"}, "spec.oracle.namespace: is required"),
        ("oracle", {"namespace": "acme"}, "spec.oracle.region: is required"),
        ("oracle", {"namespace": f"a.{CANARY}", "region": "eu-frankfurt-1"}, "spec.oracle.namespace: must match"),
        ("oracle", {"namespace": "a", "region": f"eu.{CANARY}/"}, "spec.oracle.region: must match"),
    ],
)
def test_what_could_lead_a_request_elsewhere_is_refused(member: str, value: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpecError) as raised:
        read(member, value)

    assert raised.value.message.startswith(message)
    assert CANARY not in raised.value.message


@pytest.mark.parametrize(("one", "other"), tuple(permutations(SMALL, 2)))
def test_two_kinds_are_no_location(one: str, other: str) -> None:
    with pytest.raises(InvalidSpecError, match="exactly one of s3, google, azure, swift, oracle, local"):
        read(one, SMALL[one], **{other: SMALL[other]})


def test_an_anonymous_swift_location_names_its_account_in_the_url() -> None:
    found = read("swift", {"authURL": "https://h/v1/AUTH_x"}, {"anonymous": {}})
    assert found.backend.project_id is None
    with pytest.raises(InvalidSpecError, match=r"spec\.signedURL\.credentials: must be absent"):
        location_spec(
            "StowLocation",
            {
                "swift": {"authURL": "https://h/v1/AUTH_x"},
                "credentials": {"anonymous": {}},
                "signedURL": {"credentials": {"secretRef": {"name": "signer"}}},
            },
        )
    with pytest.raises(InvalidSpecError, match=r"spec\.swift\.authURL: must be the storage URL"):
        read("swift", {"authURL": "https://h"}, {"anonymous": {}})


SECRETS = SecretCredentials("keys")
TAKEN: dict[str, set[Credentials]] = {
    "s3": {SECRETS, AmbientCredentials(), AnonymousCredentials()},
    "google": {SECRETS, AmbientCredentials(), AnonymousCredentials()},
    "azure": {SECRETS, AmbientCredentials(), AnonymousCredentials()},
    "swift": {SECRETS, AnonymousCredentials()},
    "oracle": {SECRETS},
}


def taken(member: str, **spec: Any) -> Any:
    """What was read, None where it was refused."""
    try:
        return read(member, SMALL[member], **spec)
    except InvalidSpecError:
        return None


@pytest.mark.parametrize("member", SMALL)
def test_each_kind_takes_its_own_credentials(member: str) -> None:
    offered = ({"ambient": {}}, {"anonymous": {}}, SECRET)
    found = [taken(member, credentials=each) for each in offered]

    assert {each.credentials for each in found if each is not None} == TAKEN[member]


@pytest.mark.parametrize("member", SMALL)
def test_each_kind_signs_with_what_it_takes_but_for_anonymous(member: str) -> None:
    offered = ({"ambient": {}}, {"anonymous": {}}, SECRET)
    found = [taken(member, signedURL={"credentials": each}) for each in offered]

    signers = {each.signed_url.credentials for each in found if each is not None}
    assert signers == TAKEN[member] - {AnonymousCredentials()}


@pytest.mark.parametrize("member", SMALL)
def test_each_kind_needs_credentials(member: str) -> None:
    with pytest.raises(InvalidSpecError, match=r"spec\.credentials: is required"):
        read(member, SMALL[member], credentials=None)
