"""Secrets that were planted in what a store is built from show in no repr of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.kinds import local_signer
from stow.drivers.azure.config import AzureConfig, SasToken, ServicePrincipal, SharedKey
from stow.drivers.google.config import GoogleConfig, ServiceAccountKey
from stow.drivers.local.driver import LocalDriver
from stow.drivers.memory import MemoryDriver
from stow.drivers.s3.config import Dialect, S3Config, StaticCredentials
from stow.drivers.s3.driver import S3Driver
from stow.drivers.swift.config import ApplicationCredential, Password, SwiftConfig, V1User
from stow.storage.clock import utc_now
from stow.storage.cursor import CursorSeal
from stow.storage.local_signing import Keyring, SigningKey
from stow.storage.model import Method, SignedURL

CANARY = "canary-0123456789-abcdefghijklmnopqrstuv"
CREDENTIALS = StaticCredentials("access-key", CANARY, CANARY)
CONFIG = S3Config(credentials=CREDENTIALS, endpoint="https://s3.example", region="us-east-1", dialect=Dialect.GENERIC)


HELD: tuple[object, ...] = (
    ServiceAccountKey("app@project.example", CANARY),
    SharedKey(CANARY),
    SasToken(CANARY),
    ServicePrincipal("tenant", "client", CANARY),
    V1User("account:user", CANARY),
    Password("user", CANARY),
    ApplicationCredential("id", CANARY),
)


@pytest.mark.parametrize(
    "holder",
    [
        *HELD,
        GoogleConfig(ServiceAccountKey("app@project.example", CANARY)),
        AzureConfig("account", SharedKey(CANARY)),
        SwiftConfig("https://swift.example/auth/v1.0", V1User("account:user", CANARY), temp_url_key=CANARY),
        CREDENTIALS,
        CONFIG,
        SigningKey("k1", CANARY.encode(), utc_now()),
        Keyring(SigningKey("k1", CANARY.encode(), utc_now())),
        CursorSeal(CANARY.encode(), "uid"),
        SignedURL(f"https://host/k?sig={CANARY}", Method.GET, utc_now(), {"Authorization": CANARY}),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_canary_shows_in_no_repr_of_its_holder(holder: object) -> None:
    assert CANARY not in repr(holder)
    assert CANARY not in str(holder)


async def test_canary_shows_in_no_repr_or_identity_of_a_driver(tmp_path: Path) -> None:
    signer, secret, _ = local_signer()
    drivers = (
        S3Driver(CONFIG, clock=utc_now),
        LocalDriver(root=tmp_path / "a", base=tmp_path, clock=utc_now, signer=signer),
        MemoryDriver(clock=utc_now, signer=signer),
    )
    try:
        for driver in drivers:
            said = repr(driver) + driver.identity + repr(driver.capabilities) + repr(driver.capabilities.as_status())
            assert CANARY not in said
            assert secret not in said
    finally:
        for driver in drivers:
            await driver.aclose()
