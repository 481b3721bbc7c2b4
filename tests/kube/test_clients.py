"""From a plan to a driver, for each kind: which backend it is, under which references. Nothing is connected."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fakes.kube import FakeClock, snapshot
from stow.api.location import location_spec
from stow.kube.factories import REMOTE_MEMBERS, driver_factories
from stow.kube.keys import NewKeys
from stow.kube.plans import PlanSettings, store_plan
from stow.kube.sources import Sources
from stow.reconcile.ports import SecretData
from stow.storage.budget import ByteBudget
from stow.storage.driver import Driver
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.model import MIB

SETTINGS = PlanSettings("stow-system", ambient_for_namespaced=True)
ACCESS_KEY = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "planted"}

SERVICE_ACCOUNT = json.dumps(
    {
        "type": "service_account",
        "client_email": "stow@acme.iam.gserviceaccount.com",
        "private_key": rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode(),
    }
)

CASES: dict[str, tuple[str, dict[str, Any], dict[str, str], str]] = {
    "s3": ("s3", {"region": "eu-central-1"}, ACCESS_KEY, "s3://aws/aws"),
    "s3 by its endpoint": ("s3", {"endpoint": "https://h.example:9000"}, ACCESS_KEY, "s3://h.example:9000"),
    "oracle": ("oracle", {"namespace": "acme", "region": "eu-frankfurt-1"}, ACCESS_KEY, "os://acme.eu-frankfurt-1"),
    "oracle by its endpoint": (
        "oracle",
        {"namespace": "acme", "region": "eu-frankfurt-1", "endpoint": "https://h.example"},
        ACCESS_KEY,
        "os://h.example",
    ),
    "google": ("google", {"project": "acme"}, {"credentials.json": SERVICE_ACCOUNT}, "gs://storage.googleapis.com"),
    "azure key": ("azure", {"account": "acme"}, {"AZURE_STORAGE_KEY": "cGxhbnRlZC1wbGFudGVkLXBsYW50ZWQ="}, "abfs://acme.blob.core.windows.net"),
    "azure SAS": ("azure", {"account": "acme"}, {"AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=planted"}, "abfs://acme.blob.core.windows.net"),
    "azure client": (
        "azure",
        {"account": "acme"},
        {"AZURE_TENANT_ID": "acme.example", "AZURE_CLIENT_ID": str(uuid4()), "AZURE_CLIENT_SECRET": "planted"},
        "abfs://acme.blob.core.windows.net",
    ),
    "swift password": (
        "swift",
        {"authURL": "https://k.example/v3", "projectID": "p1"},
        {"OS_USERNAME": "stow", "OS_PASSWORD": "planted"},
        "sw://k.example/-/projects/p1",
    ),
    "swift application": (
        "swift",
        {"authURL": "https://k.example/v3", "projectName": "acme", "region": "R", "interface": "internal"},
        {"OS_APPLICATION_CREDENTIAL_ID": "a", "OS_APPLICATION_CREDENTIAL_SECRET": "planted", "SWIFT_TEMP_URL_KEY": "planted"},
        "sw://k.example/R/domains/Default/projects/acme",
    ),
    "swift v1": (
        "swift",
        {"authURL": "https://k.example/auth/v1.0"},
        {"ST_USER": "test:tester", "ST_KEY": "planted"},
        "sw://k.example/accounts/test",
    ),
}  # fmt: skip
"""Member, its spec, the Secret, and the identity of the backend."""
SCHEMES = {"s3": "s3", "google": "gs", "azure": "abfs", "swift": "sw", "oracle": "os"}

Build = Callable[..., Driver]


@pytest.fixture
async def build() -> AsyncIterator[Build]:
    """Builds the driver of a location; all are closed after the test."""
    clock = FakeClock()
    keys = NewKeys(clock).first()
    factories = driver_factories(
        clock=clock,
        keyring=lambda: keys.keyring(clock()),
        egress=EgressPolicy(allowed=LOOPBACK),
        budget=ByteBudget(MIB),
    )
    made: list[Driver] = []

    def built(member: str, value: dict[str, Any], credentials: dict[str, Any], data: dict[str, str]) -> Driver:
        location = snapshot("StowLocation", "main", spec={member: value, "credentials": credentials})
        secret = SecretData("u", "1", {key: text.encode() for key, text in data.items()})
        parsed = location_spec("StowLocation", location.spec)
        made.append(factories[member](store_plan(location, parsed, Sources(secret), settings=SETTINGS).main))
        return made[-1]

    yield built
    for driver in made:
        await driver.aclose()


def test_every_kind_of_backend_is_built() -> None:
    assert {member for member, *_ in CASES.values()} == set(REMOTE_MEMBERS) == set(SCHEMES)


@pytest.mark.parametrize(("member", "value", "data", "identity"), CASES.values(), ids=CASES)
async def test_a_location_leads_to_its_own_backend(
    build: Build, member: str, value: dict[str, Any], data: dict[str, str], identity: str
) -> None:
    driver = build(member, value, {"secretRef": {"name": "key"}}, data)

    assert (driver.scheme, driver.identity) == (SCHEMES[member], identity)
    assert "planted" not in driver.identity


UNSIGNED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (member, value, credentials)
    for member, value, credentials in (
        ("s3", {"region": "eu-central-1"}, {"anonymous": {}}),
        ("google", {}, {"anonymous": {}}),
        ("azure", {"account": "acme"}, {"anonymous": {}}),
        ("swift", {"authURL": "https://h.example/v1/AUTH_acme"}, {"anonymous": {}}),
        ("s3", {"region": "eu-central-1"}, {"ambient": {}}),
        ("google", {}, {"ambient": {}}),
        ("azure", {"account": "acme"}, {"ambient": {}}),
    )
]


@pytest.mark.parametrize(("member", "value", "credentials"), UNSIGNED)
async def test_a_location_without_a_secret_is_built_without_a_look_for_credentials(
    build: Build, member: str, value: dict[str, Any], credentials: dict[str, Any]
) -> None:
    """What ambient finds is asked for with the first request, so that building costs nothing."""
    assert build(member, value, credentials, {}).scheme == SCHEMES[member]
