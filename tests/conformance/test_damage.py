"""Damage on a real disk: a flipped bit in what the local driver stored, seen through StowStore and through HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.clients import ObjectClient
from conformance.http_gateway import ServingGateway
from conformance.world import direct, kind_of, make_world
from stow.drivers.local.driver import LocalDriver
from stow.errors import BackendError, IntegrityError
from stow.storage.clock import utc_now

DATA = bytes(range(256)) * 4000


def flip_a_bit(folder: Path) -> None:
    """In the middle of the one file that holds the bytes."""
    (stored,) = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size >= len(DATA)]
    damaged = bytearray(stored.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    stored.chmod(0o600)
    stored.write_bytes(damaged)


async def drained(client: ObjectClient, seen: list[bytes]) -> None:
    async with await client.open("k") as stream:
        iterator = aiter(stream)
        while (chunk := await anext(iterator, None)) is not None:
            seen.append(chunk)


@pytest.mark.parametrize("over_http", [False, True], ids=["store", "http"])
async def test_flipped_bit_on_disk_cuts_the_read(tmp_path: Path, over_http: bool, gateway: ServingGateway) -> None:
    driver = LocalDriver(root=tmp_path / "team", base=tmp_path, clock=utc_now)
    world = await make_world(kind_of(driver, kind_name="local"), gateway.serve if over_http else direct)
    try:
        await world.client.write("k", DATA)
        flip_a_bit(tmp_path)
        seen: list[bytes] = []
        with pytest.raises(BackendError if over_http else IntegrityError):
            await drained(world.client, seen)
        assert sum(map(len, seen)) < len(DATA)
    finally:
        await driver.aclose()
