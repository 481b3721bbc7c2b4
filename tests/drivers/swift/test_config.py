"""Which account a configuration means, told without asking anybody, and which configurations make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.swift.setup import stub_driver
from stow.drivers.swift.config import Anonymous, ApplicationCredential, AuthVersion, Password, SwiftConfig, V1User
from stow.drivers.swift.endpoint import Account, encoded, presign_origin, storage_url
from stow.errors import InvalidSpecError

KEYSTONE = "https://keys.example:5000/v3"
PASSWORD = Password("user", "password-canary")


def account(auth_url: str, credentials: Any, **changes: Any) -> Account:
    return Account.of(SwiftConfig(auth_url, credentials, **changes))


@pytest.mark.parametrize(
    ("auth_url", "credentials", "changes", "expected"),
    [
        (KEYSTONE, PASSWORD, {"project_id": "p1"}, "sw://keys.example:5000/-/projects/p1"),
        (KEYSTONE, PASSWORD, {"project_id": "p1", "region": "One"}, "sw://keys.example:5000/One/projects/p1"),
        (KEYSTONE, PASSWORD, {"project_name": "a/b"}, "sw://keys.example:5000/-/domains/Default/projects/a%2Fb"),
        ("https://KEYS.example./", PASSWORD, {"project_id": "p1"}, "sw://keys.example/-/projects/p1"),
        ("https://keys.example:443/v3/", PASSWORD, {"project_id": "p1"}, "sw://keys.example/-/projects/p1"),
        ("http://[2001:DB8::1]/v3", PASSWORD, {"project_id": "p1"}, "sw://[2001:db8::1]/-/projects/p1"),
        ("http://swift.example/auth/v1.0", V1User("stow:admin", "k"), {}, "sw://swift.example/accounts/stow"),
        ("http://swift.example/auth/v1/", V1User("stow", "k"), {}, "sw://swift.example/accounts/stow"),
        ("http://swift.example/v1/AUTH_a/", Anonymous(), {}, "sw://swift.example/v1/AUTH_a"),
    ],
)
def test_the_identity_is_host_region_and_project(
    auth_url: str, credentials: Any, changes: dict[str, Any], expected: str
) -> None:
    assert account(auth_url, credentials, **changes).identity == expected


def test_rotating_credentials_changes_no_identity() -> None:
    """Nor does another interface of the catalog: they lead to the same containers."""
    same = [
        account(KEYSTONE, credentials, project_id="p1", **changes).identity
        for credentials in (PASSWORD, Password("other", "o"), ApplicationCredential("i", "s"))
        for changes in ({}, {"interface": "internal"}, {"temp_url_key": "k"}, {"user_domain_name": "x"})
    ]
    assert len(set(same)) == 1
    v1 = [account("http://h/auth/v1.0", V1User(user, "k")).identity for user in ("a:one", "a:two", "b:one")]
    assert v1[0] == v1[1] != v1[2]


@pytest.mark.parametrize(
    ("auth_url", "version", "expected"),
    [
        ("http://h/auth/v1.0", AuthVersion.AUTO, AuthVersion.V1),
        ("http://h/v1", AuthVersion.AUTO, AuthVersion.V1),
        ("http://h/v3", AuthVersion.AUTO, AuthVersion.V3),
        ("http://h", AuthVersion.AUTO, AuthVersion.V3),
        ("http://h/v1.0/more", AuthVersion.AUTO, AuthVersion.V3),
        ("http://h/xv1", AuthVersion.AUTO, AuthVersion.V3),
        ("http://h/anything", AuthVersion.V1, AuthVersion.V1),
        ("http://h/auth/v1.0", AuthVersion.V3, AuthVersion.V3),
    ],
)
def test_the_version_is_the_paths_unless_it_is_said(auth_url: str, version: AuthVersion, expected: AuthVersion) -> None:
    credentials = V1User("a:u", "k") if expected is AuthVersion.V1 else PASSWORD
    project = {} if expected is AuthVersion.V1 else {"project_id": "p"}
    assert account(auth_url, credentials, auth_version=version, **project).version is expected


@pytest.mark.parametrize(
    ("auth_url", "credentials", "changes", "reason"),
    [
        ("keys.example", PASSWORD, {"project_id": "p"}, "auth URL is malformed"),
        ("ftp://keys.example", PASSWORD, {"project_id": "p"}, "auth URL is malformed"),
        ("http://u:canary@keys.example", PASSWORD, {"project_id": "p"}, "auth URL is malformed"),
        ("http://keys.example/?a=b", PASSWORD, {"project_id": "p"}, "auth URL is malformed"),
        ("http://keys.example/#f", PASSWORD, {"project_id": "p"}, "auth URL is malformed"),
        ("http://keys.example:x", PASSWORD, {"project_id": "p"}, "auth URL is malformed"),
        (KEYSTONE, PASSWORD, {}, "projectID, or projectName"),
        (KEYSTONE, ApplicationCredential("i", "s"), {}, "projectID, or projectName"),
        (KEYSTONE, V1User("a:u", "k"), {}, "do not belong"),
        ("http://h/auth/v1.0", PASSWORD, {"project_id": "p"}, "do not belong"),
        ("http://h/auth/v1.0", V1User("a:u", "k"), {"project_id": "p"}, "neither regions nor projects"),
        ("http://h/auth/v1.0", V1User("a:u", "k"), {"region": "One"}, "neither regions nor projects"),
        ("http://h", Anonymous(), {}, "storage URL"),
    ],
)
def test_what_makes_no_sense_is_refused_and_says_why(
    auth_url: str, credentials: Any, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidSpecError, match=reason) as raised:
        account(auth_url, credentials, **changes)
    assert "canary" not in str(raised.value)


def test_secrets_show_in_no_repr() -> None:
    for credentials in (PASSWORD, ApplicationCredential("i", "secret-canary"), V1User("a:u", "key-canary")):
        assert "canary" not in repr(SwiftConfig(KEYSTONE, credentials, temp_url_key="temp-canary"))


def test_a_malformed_endpoint_of_signed_urls_makes_no_driver() -> None:
    with pytest.raises(InvalidSpecError, match="signed URLs"):
        stub_driver(KEYSTONE, presign_endpoint="https://user@cdn.example")
    assert presign_origin("https://CDN.example:443/base/") == "https://cdn.example/base"


@pytest.mark.parametrize(
    ("storage", "info"),
    [
        ("http://h:8080/v1/AUTH_a", "http://h:8080/info"),
        ("https://h/swift/v1/AUTH_a/", "https://h/swift/info"),
        ("https://h/v1.0/AUTH_v1", "https://h/info"),
        ("https://h/swift/v1", "https://h/swift/info"),
    ],
)
def test_limits_are_told_beside_the_version_of_the_storage_url(storage: str, info: str) -> None:
    assert str(storage_url(storage).info_url) == info


def test_keys_stand_in_urls_as_they_are() -> None:
    assert encoded("c", "/a//b/../é ?#%2F\n~") == "/c//a//b/../%C3%A9%20%3F%23%252F%0A~"
    url = storage_url("http://h/v1/AUTH_a").url("c", "../x", "format=json")
    assert str(url) == "http://h/v1/AUTH_a/c/../x?format=json"
    assert url.raw_path == "/v1/AUTH_a/c/../x"
