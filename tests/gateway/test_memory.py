"""Memory is bounded: a large object passes through a gateway process that hardly grows."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from gateway.world import BASE, TOKEN

MIB = 1024 * 1024
SIZE = 1024 * MIB
ALLOWED_GROWTH = 64 * MIB
HERE = Path(__file__).resolve().parent


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[int, int]]:
    """(port, pid) of a gateway process over a local folder."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "local_server.py"),
        str(tmp_path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": f"{HERE.parent}:{HERE.parent.parent / 'operator'}", "PATH": "/usr/bin:/bin"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(30):
        port = int(await process.stdout.readline())
    try:
        yield port, process.pid
    finally:
        process.stdin.close()
        async with asyncio.timeout(20):
            assert await process.wait() == 0


def peak_bytes(pid: int) -> int:
    """The process' largest resident memory so far."""
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("sized", [True, False], ids=["sized", "chunked"])
async def test_a_gibibyte_goes_in_and_out_in_bounded_memory(server: tuple[int, int], sized: bool) -> None:
    port, pid = server
    chunk = bytes(range(256)) * 4096
    sent = hashlib.sha256()

    async def body() -> AsyncIterator[bytes]:
        for _ in range(SIZE // len(chunk)):
            sent.update(chunk)
            yield chunk

    url = URL(f"http://127.0.0.1:{port}{BASE}/objects/large", encoded=True)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers, auto_decompress=False) as session:
        async with session.get(URL(f"http://127.0.0.1:{port}{BASE}/objects", encoded=True)) as warm:
            assert warm.status == 200
        before = peak_bytes(pid)
        extra = {"Content-Length": str(SIZE)} if sized else {}
        async with session.put(url, data=body(), headers=extra) as put:
            assert put.status == 200
        received, size = hashlib.sha256(), 0
        async with session.get(url) as got:
            async for piece in got.content.iter_chunked(MIB):
                received.update(piece)
                size += len(piece)
    assert (size, received.digest()) == (SIZE, sent.digest())
    assert peak_bytes(pid) - before < ALLOWED_GROWTH
