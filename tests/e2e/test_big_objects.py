"""1 GiB in and out through the gateway's process, in bounded memory, the same bytes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.cluster import ALL_OBJECTS
from e2e.installation import Installation
from e2e.web import container_path

MIB = 1024 * 1024
SIZE_BYTES = 1024 * MIB
MAX_GROWTH_BYTES = 64 * MIB
SAMPLE_S = 0.1


@dataclass(slots=True)
class Memory:
    """Resident memory of a process: at first, and the most that was seen since."""

    pid: int
    first_bytes: int = 0
    most_bytes: int = 0

    def look(self) -> None:
        status = Path(f"/proc/{self.pid}/status").read_text()
        lines = (line.split() for line in status.splitlines())
        resident = next(int(words[1]) * 1024 for words in lines if words and words[0] == "VmRSS:")
        self.first_bytes = self.first_bytes or resident
        self.most_bytes = max(self.most_bytes, resident)


@asynccontextmanager
async def watched(pid: int) -> AsyncIterator[Memory]:
    """Samples in between; VmHWM would also count what the process once had before."""
    memory = Memory(pid)
    memory.look()

    async def sample() -> None:
        while True:
            memory.look()
            await asyncio.sleep(SAMPLE_S)

    task = asyncio.create_task(sample())
    try:
        yield memory
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Blocks:
    """1 GiB that is nowhere: each MiB differs, so a lost, doubled or exchanged block changes the digest."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._block = bytearray(hashlib.shake_256(b"stow").digest(MIB))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number in range(SIZE_BYTES // MIB):
            self._block[:8] = number.to_bytes(8, "big")
            block = bytes(self._block)
            self.digest.update(block)
            yield block


@pytest.mark.parametrize(("kind", "with_length"), [("local", True), ("minio", True), ("minio", False)])
async def test_a_gibibyte_goes_in_and_out_in_bounded_memory(
    installation: Installation, kind: str, with_length: bool
) -> None:
    """Without a length it goes to S3 in parts, which are buffered."""
    cluster, web = installation.cluster, installation.web
    team = await cluster.namespace()
    await installation.location(kind, team)
    await cluster.ready(await installation.container(team, "reports"))
    token = await cluster.workload(team, "app", ALL_OBJECTS)
    path = f"{container_path(team, 'reports')}/objects/big"
    # Loads what is loaded at first use: the SDK, the driver, pools.
    assert (await web.ask("PUT", path, token=token, body=b"x" * MIB)).status == 200
    assert (await web.ask("GET", path, token=token)).status == 200

    assert installation.gateway is not None
    sent, got, size_bytes = Blocks(), hashlib.sha256(), 0
    async with watched(installation.gateway.pid) as memory:
        headers = {"Content-Length": str(SIZE_BYTES)} if with_length else {}
        async with web.send("PUT", path, token=token, headers=headers, body=aiter(sent)) as answer:
            assert answer.status == 200, await answer.text()
        async with web.send("GET", path, token=token) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Length"] == str(SIZE_BYTES)
            async for chunk in answer.content.iter_any():
                got.update(chunk)
                size_bytes += len(chunk)
    assert size_bytes == SIZE_BYTES
    assert got.digest() == sent.digest.digest()
    growth = memory.most_bytes - memory.first_bytes
    assert growth < MAX_GROWTH_BYTES, f"{growth / MIB:.0f} MiB over {memory.first_bytes / MIB:.0f} MiB"
    assert (await web.ask("DELETE", path, token=token)).status == 204
