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
