"""An upload that is cut at any byte leaves no object, and the old one as it was; nothing unfinished stays at the backend."""

from __future__ import annotations

import asyncio
import random

import pytest

from e2e.backends import keys_in
from e2e.cluster import ALL_OBJECTS
from e2e.installation import Installation
from e2e.web import container_path

SIZE_BYTES = 300_000
"""More than the gateway's and the kernel's buffers take at once, so that the backend has seen the beginning of it."""
RANDOM = random.Random(20260101)
"""The same points in every run."""
POINTS = (0, 1, SIZE_BYTES - 1, *(RANDOM.randrange(2, SIZE_BYTES - 1) for _ in range(3)))
OLD = b"as it was"


@pytest.mark.parametrize("with_length", [True, False], ids=["length", "chunked"])
@pytest.mark.parametrize("kind", ["local", "minio"])
async def test_a_cut_upload_leaves_everything_as_it_was(
    installation: Installation, kind: str, with_length: bool
) -> None:
    cluster, web = installation.cluster, installation.web
    team = await cluster.namespace()
    await installation.location(kind, team)
    await cluster.ready(await installation.container(team, "reports"))
    token, base = await cluster.workload(team, "app", ALL_OBJECTS), container_path(team, "reports")
    assert (await web.ask("PUT", f"{base}/objects/old", token=token, body=OLD)).status == 200
    for key in ("old", "fresh"):
        for sent_bytes in POINTS:
            await cut(installation, f"{base}/objects/{key}", token, sent_bytes, with_length=with_length)
    async with installation.backend(kind, team) as backend:
        async with asyncio.timeout(30):
            while (await backend.container_contents(f"{team}-reports")).uploads:  # noqa: ASYNC110 - another process ends them
                await asyncio.sleep(0.05)
        assert await keys_in(backend, f"{team}-reports") == {"old": len(OLD)}
    assert (await web.ask("GET", f"{base}/objects/old", token=token)).body == OLD


async def cut(installation: Installation, path: str, token: str, sent_bytes: int, *, with_length: bool) -> None:
    """Send so much of the body, then reset the connection."""
    length = f"Content-Length: {SIZE_BYTES}" if with_length else "Transfer-Encoding: chunked"
    lines = [f"PUT {path} HTTP/1.1", "Host: g", f"Authorization: Bearer {token}", length]
    body = b"n" * sent_bytes
    if not with_length and sent_bytes:
        body = b"%x\r\n" % sent_bytes + body + b"\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", installation.gateway_port)
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    async with asyncio.timeout(30):
        await writer.drain()
    writer.close()
    await asyncio.wait_for(writer.wait_closed(), 30)
