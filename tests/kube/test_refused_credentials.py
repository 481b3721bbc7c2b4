"""Credentials in a Secret are data, never configuration: each refused type, with a planted file and a listening server.

Real: the driver factories, the file, the server, and the interpreter's audit events, which see every file that is opened,
every name that is resolved, every connection and every program that is started. Asserted: none of them, and an error without
a planted value.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fakes.kube import FakeClock, FakeSecrets, snapshot
from stow.errors import BackendError, CredentialsError, CredentialsInvalidError, UnsupportedCredentialTypeError
from stow.kube.cache import ObjectCache
from stow.kube.factories import driver_factories
from stow.kube.keys import NewKeys
from stow.kube.plans import PlanSettings
from stow.kube.stores import PoolParts, StorePool
from stow.reconcile.objects import Snapshot
from stow.storage.budget import ByteBudget
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.storage.metrics import StoreMetrics
from stow.storage.model import MIB

PLANTED = "planted-9f31c7"
GOOD = {"AWS_ACCESS_KEY_ID": f"AKIA{PLANTED}", "AWS_SECRET_ACCESS_KEY": f"{PLANTED}-secret"}


@dataclass
class Seen:
    """What the process did while it was watched."""

    opened: list[str] = field(default_factory=list)
    reached: list[str] = field(default_factory=list)


_watching: Seen | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook cannot be taken out again, so it looks away while nobody watches."""
    if _watching is None:
        return
    if event == "open":
        _watching.opened.append(str(arguments[0]))
    elif event in {
        "socket.connect",
        "socket.getaddrinfo",
        "socket.sendto",
        "subprocess.Popen",
        "os.exec",
        "os.posix_spawn",
    }:
        _watching.reached.append(event)


@pytest.fixture(scope="module", autouse=True)
def _hook() -> None:
    sys.addaudithook(_audit)


@contextmanager
def watching() -> Iterator[Seen]:
    global _watching  # noqa: PLW0603 - the hook is the interpreter's, so its switch is global too
    _watching = seen = Seen()
    try:
        yield seen
    finally:
        _watching = None


@dataclass
class Trap:
    """A file with working-looking credentials, and a server that counts its visitors."""

    path: str
    url: str
    visitors: list[int]


@pytest.fixture
async def trap(tmp_path: Path) -> AsyncIterator[Trap]:
    visitors: list[int] = []

    async def visited(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visitors.append(1)
        writer.close()

    file = tmp_path / "credentials"
    file.write_text(f"[default]\naws_access_key_id = AKIA\naws_secret_access_key = {PLANTED}\n")
    server = await asyncio.start_server(visited, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield Trap(str(file), f"http://{host}:{port}", visitors)


def pool(secrets: FakeSecrets) -> StorePool:
    clock = FakeClock()
    egress = EgressPolicy(allowed=LOOPBACK)
    keys = NewKeys(clock).first()
    factories = driver_factories(
        clock=clock, keyring=lambda: keys.keyring(clock()), egress=egress, budget=ByteBudget(64 * MIB)
    )
    parts = PoolParts(
        objects=ObjectCache(),
        secrets=secrets,
        factories=factories,
        metrics=StoreMetrics(CollectorRegistry()),
        clock=clock,
        cursor_key=lambda: keys.cursor,
        egress=egress,
    )
    return StorePool(parts, PlanSettings(namespace="stow-system"))


def location(trap: Trap) -> Snapshot:
    spec = {"s3": {"endpoint": trap.url, "region": "eu-west-1"}, "credentials": {"secretRef": {"name": "key"}}}
    return snapshot("StowLocation", "main", spec=spec)


EXTERNAL_ACCOUNT = json.dumps(
    {
        "type": "external_account",
        "token_url": "URL",
        "credential_source": {"file": "FILE"},
        "service_account_impersonation_url": "URL",
    }
)

REFUSED = {
    "profile": {"AWS_PROFILE": "default"},
    "default profile": {"AWS_DEFAULT_PROFILE": "default"},
    "configuration file": {"AWS_CONFIG_FILE": "FILE"},
    "shared credentials file": {"AWS_SHARED_CREDENTIALS_FILE": "FILE"},
    "legacy file": {"AWS_CREDENTIAL_FILE": "FILE"},
    "boto file": {"BOTO_CONFIG": "FILE"},
    "inline configuration": {"config": "[default]\ncredential_process = cat FILE\n"},
    "inline credentials": {"credentials": "[default]\nrole_arn = arn:aws:iam::1:role/x\n"},
    "program": {"credential_process": "cat FILE"},
    "program, in capitals": {"AWS_CREDENTIAL_PROCESS": "cat FILE"},
    "role": {"AWS_ROLE_ARN": "arn:aws:iam::1:role/x"},
    "role, lower case": {"role_arn": "arn:aws:iam::1:role/x"},
    "web identity": {"AWS_WEB_IDENTITY_TOKEN_FILE": "FILE", "AWS_ROLE_ARN": "arn:aws:iam::1:role/x"},
    "container credentials": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "URL"},
    "container credentials, relative": {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/get"},
    "container token": {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "FILE"},
    "metadata service": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "URL"},
    "single sign-on": {"AWS_SSO_START_URL": "URL"},
    "endpoint": {"AWS_ENDPOINT_URL": "URL"},
    "endpoint of the service": {"AWS_ENDPOINT_URL_S3": "URL"},
    "certificates": {"AWS_CA_BUNDLE": "FILE"},
    "model files": {"AWS_DATA_PATH": "FILE"},
    "google file": {"GOOGLE_APPLICATION_CREDENTIALS": "FILE"},
    "google external account": {"credentials.json": EXTERNAL_ACCOUNT},
    "google fields": {"type": "external_account", "token_url": "URL", "credential_source": "FILE"},
    "azure": {"AZURE_FEDERATED_TOKEN_FILE": "FILE", "AZURE_AUTHORITY_HOST": "URL"},
}


@pytest.mark.parametrize("beside_good", [False, True], ids=["alone", "beside a good key"])
@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
async def test_a_refused_type_opens_no_file_and_makes_no_connection(
    trap: Trap, refused: dict[str, str], beside_good: bool
) -> None:
    planted = {key: value.replace("FILE", trap.path).replace("URL", trap.url) for key, value in refused.items()}
    secrets = FakeSecrets()
    secrets.put("team", "key", **(GOOD if beside_good else {}), **planted)
    stores = pool(secrets)
    with watching() as seen, pytest.raises(UnsupportedCredentialTypeError) as raised:
        await stores.open(location(trap))
    await stores.aclose()
    assert seen.reached == []
    assert trap.path not in seen.opened
    assert trap.visitors == []
    for value in (*planted.values(), *GOOD.values()):
        assert value not in raised.value.message


FULL_DOCUMENT = {"type": "external_account", "token_url": "URL", "credential_source": {"file": "FILE"}}
EXECUTABLE = {
    "type": "external_account",
    "token_url": "URL",
    "credential_source": {"executable": {"command": "cat FILE"}},
}
IMPERSONATED = {
    "type": "impersonated_service_account",
    "service_account_impersonation_url": "URL",
    "source_credentials": FULL_DOCUMENT,
}
USER = {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c", "token_uri": "URL"}
OTHER_KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "google external account": ("google", {"credentials.json": json.dumps(FULL_DOCUMENT)}),
    "google executable": ("google", {"key.json": json.dumps(EXECUTABLE)}),
    "google impersonation": ("google", {"GOOGLE_CREDENTIALS": json.dumps(IMPERSONATED)}),
    "google user": ("google", {"GOOGLE_APPLICATION_CREDENTIALS_JSON": json.dumps(USER)}),
    "google file": ("google", {"GOOGLE_APPLICATION_CREDENTIALS": "FILE"}),
    "google fields": ("google", {"type": "external_account", "token_url": "URL", "credential_source": "FILE"}),
    "google metadata": ("google", {"GCE_METADATA_HOST": "URL", "GOOGLE_CLOUD_PROJECT": "x"}),
    "azure connection string": (
        "azure",
        {"AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=URL;AccountKey=cGxhbnRlZA=="},
    ),
    "azure federated token": ("azure", {"AZURE_FEDERATED_TOKEN_FILE": "FILE", "AZURE_CLIENT_ID": "a"}),
    "azure authority": (
        "azure",
        {"AZURE_AUTHORITY_HOST": "URL", "AZURE_STORAGE_KEY": "cGxhbnRlZC1wbGFudGVkLXBsYW50ZWQ="},
    ),
    "azure certificate": ("azure", {"AZURE_CLIENT_CERTIFICATE_PATH": "FILE"}),
    "azure identity endpoint": ("azure", {"IDENTITY_ENDPOINT": "URL"}),
    "swift auth url": ("swift", {"OS_AUTH_URL": "URL", "OS_USERNAME": "a", "OS_PASSWORD": "b"}),
    "swift cloud": ("swift", {"OS_CLOUD": "planted", "OS_CLIENT_CONFIG_FILE": "FILE"}),
    "swift clouds.yaml": ("swift", {"clouds.yaml": "clouds: {planted: {auth: {auth_url: URL}}}"}),
    "swift certificate": ("swift", {"OS_CACERT": "FILE", "OS_CERT": "FILE"}),
    "swift storage url": ("swift", {"OS_STORAGE_URL": "URL", "OS_AUTH_TOKEN": "x"}),
    "swift v1 url": ("swift", {"ST_AUTH": "x", "ST_AUTH_URL": "URL"}),
    "oracle configuration": (
        "oracle",
        {"config": "key_file=FILE", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
    ),
    "oracle key file": ("oracle", {"OCI_CLI_KEY_FILE": "FILE"}),
    "oracle role": ("oracle", {"AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "FILE"}),
}


def location_of(member: str, trap: Trap) -> Snapshot:
    """Of another kind, with the listening server as its backend."""
    spec: dict[str, dict[str, Any]] = {
        "google": {"endpoint": trap.url, "project": "acme"},
        "azure": {"endpoint": f"{trap.url}/acme", "account": "acme"},
        "swift": {"authURL": f"{trap.url}/v3", "projectID": "acme"},
        "oracle": {"endpoint": trap.url, "namespace": "acme", "region": "eu-frankfurt-1"},
    }
    whole = {member: spec[member], "credentials": {"secretRef": {"name": "key"}}}
    return snapshot("StowLocation", "main", spec=whole)


@pytest.mark.parametrize(("member", "refused"), OTHER_KINDS.values(), ids=OTHER_KINDS.keys())
async def test_no_kind_follows_what_its_secret_points_to(trap: Trap, member: str, refused: dict[str, str]) -> None:
    planted = {key: value.replace("FILE", trap.path).replace("URL", trap.url) for key, value in refused.items()}
    secrets = FakeSecrets()
    secrets.put("team", "key", **planted)
    stores = pool(secrets)
    with watching() as seen, pytest.raises(UnsupportedCredentialTypeError) as raised:
        await stores.open(location_of(member, trap))
    await stores.aclose()
    assert seen.reached == []
    assert trap.path not in seen.opened
    assert trap.visitors == []
    assert trap.path not in raised.value.message
    assert trap.url not in raised.value.message


PLAIN: dict[str, dict[str, str]] = {
    "azure": {"AZURE_STORAGE_KEY": "cGxhbnRlZC1wbGFudGVkLXBsYW50ZWQ="},
    "swift": {"OS_USERNAME": "planted", "OS_PASSWORD": "planted"},
    "oracle": {"AWS_ACCESS_KEY_ID": "planted", "AWS_SECRET_ACCESS_KEY": "planted"},
}


@pytest.mark.parametrize(("member", "data"), PLAIN.items())
async def test_plain_credentials_of_each_kind_do_connect_so_the_trap_works(
    trap: Trap, member: str, data: dict[str, str]
) -> None:
    """Google asks for a token first, at an address of its own, which nothing in a Secret can change."""
    secrets = FakeSecrets()
    secrets.put("team", "key", **data)
    stores = pool(secrets)
    with watching() as seen, pytest.raises((BackendError, CredentialsError)):
        await stores.open(location_of(member, trap))
    await stores.aclose()
    assert "socket.connect" in seen.reached
    assert trap.visitors


WRONG = {
    "nothing": {},
    "no secret key": {"AWS_ACCESS_KEY_ID": f"AKIA{PLANTED}"},
    "unknown key": {**GOOD, "PASSWORD": PLANTED},
    "line break": {**GOOD, "AWS_SECRET_ACCESS_KEY": f"{PLANTED}\n"},
    "header injection": {**GOOD, "AWS_SESSION_TOKEN": f"{PLANTED}\r\nX-Evil: 1"},
    "empty": {**GOOD, "AWS_SECRET_ACCESS_KEY": ""},
    "endless": {**GOOD, "AWS_SESSION_TOKEN": PLANTED * 5000},
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_secret_makes_no_connection_and_shows_no_value(trap: Trap, data: dict[str, str]) -> None:
    secrets = FakeSecrets()
    secrets.put("team", "key", **data)
    stores = pool(secrets)
    with watching() as seen, pytest.raises(CredentialsInvalidError) as raised:
        await stores.open(location(trap))
    await stores.aclose()
    assert seen.reached == []
    assert trap.visitors == []
    assert PLANTED not in raised.value.message


async def test_a_good_secret_does_connect_so_the_trap_works(
    trap: Trap, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And what the environment of the process says about AWS is not looked at."""
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, trap.path)
    monkeypatch.setenv("AWS_PROFILE", "default")
    secrets = FakeSecrets()
    secrets.put("team", "key", **GOOD)
    stores = pool(secrets)
    with watching() as seen, pytest.raises((BackendError, CredentialsError)) as raised:
        await stores.open(location(trap))
    await stores.aclose()
    assert "socket.connect" in seen.reached
    assert trap.visitors
    assert trap.path not in seen.opened
    assert PLANTED not in str(raised.value)
    assert PLANTED not in caplog.text
