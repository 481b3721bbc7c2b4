"""How each kind's backend is opened for the suite, and where an emulator falls short of what it stands for."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from conformance.world import Kind, kind_of
from stow.drivers.memory import MemoryDriver
from stow.storage.clock import utc_now
from stow.storage.local_signing import HMACLocalSigner, Keyring, SigningKey

KindBuilder = Callable[[], Awaitable[Kind]]

SHORTFALLS: Final[dict[tuple[str, str], str]] = {}
"""(kind, promise) -> server, version, the answer that was seen, and why it is the server's. Each is a strict xfail: one that begins to
work fails the run."""


def local_signer() -> tuple[HMACLocalSigner, str]:
    """A signer of the kinds without signing of their own, and its secret as text."""
    secret = secrets.token_hex(32)
    ring = Keyring(SigningKey("k1", secret.encode(), utc_now()))
    signer = HMACLocalSigner(
        "https://objects.example",
        lambda: ring,
        route_of=lambda entry: f"namespaces/team/containers/{entry.name}",
        clock=utc_now,
    )
    return signer, secret


def _memory() -> KindBuilder:
    async def build() -> Kind:
        signer, secret = local_signer()
        return kind_of(MemoryDriver(clock=utc_now, signer=signer), kind_name="memory", secrets=(secret,))

    return build


def builders(request: pytest.FixtureRequest, folders: pytest.TempPathFactory) -> dict[str, Callable[[], KindBuilder]]:
    """Each entry starts what its kind needs (servers are fixtures, and those cannot be asked for inside a running loop)."""
    return {"memory": _memory}
