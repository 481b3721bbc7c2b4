"""A client that goes away: within a second the backend's connection is closed too, in every verb and at every stage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from e2e.cluster import ALL_OBJECTS
from e2e.installation import Installation, s3_spec
from e2e.stub_s3 import Stall, StubS3, stub_s3
from e2e.web import container_path
from stow.reconcile.objects import ObjectRef

SOON_S = 1.0
MIB = 1024 * 1024
PART = 8 * MIB
"""Of an upload of unknown length."""


@dataclass(frozen=True, slots=True)
class Stalled:
    """A Ready container on the stub, and who may use it."""

    stub: StubS3
    path: str
    token: str
    port: int

    def head(self, method: str, rest: str, *headers: str) -> bytes:
        lines = [f"{method} {self.path}/{rest} HTTP/1.1", "Host: g", f"Authorization: Bearer {self.token}", *headers]
        return "\r\n".join([*lines, "", ""]).encode()


@pytest.fixture(scope="module")
async def stalled(installation: Installation) -> AsyncIterator[Stalled]:
    cluster = installation.cluster
    team = await cluster.namespace()
    async with stub_s3() as stub:
        await cluster.secret(team, "keys", {"AWS_ACCESS_KEY_ID": "stub", "AWS_SECRET_ACCESS_KEY": "stub"})
        location = await cluster.create("StowLocation", team, "main", s3_spec(stub.endpoint, "keys"))
        await cluster.ready(location)
        container = await installation.container(team, "reports")
        await cluster.ready(container)
        token = await cluster.workload(team, "app", ALL_OBJECTS)
        yield Stalled(stub, container_path(team, "reports"), token, installation.gateway_port)
        await cluster.delete(container)
        await cluster.gone(container)
        await cluster.delete(ObjectRef("StowLocation", team, "main"))


async def gone_at_the_backend(
    stalled: Stalled, stall: Stall, request: bytes, *, body: bytes = b"", reads: int = 0
) -> float:
    """Send, wait until the backend has stalled it (and until ``reads`` bytes came), go away; the seconds until the backend knew."""
    stalled.stub.stall = stall
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", stalled.port)
            writer.write(request + body)
            await stall.reached.wait()
            if reads:
                await reader.readexactly(reads)
            writer.transport.abort()
            left_at = loop.time()
            await stall.closed.wait()
            return loop.time() - left_at
    finally:
        stalled.stub.stall = None


async def test_get_before_the_first_byte(stalled: Stalled) -> None:
    took_s = await gone_at_the_backend(stalled, Stall("GET", "/k"), stalled.head("GET", "objects/k"))
    assert took_s < SOON_S


async def test_get_in_the_middle(stalled: Stalled) -> None:
    stall = Stall("GET", "/k", answer_bytes=MIB)
    took_s = await gone_at_the_backend(stalled, stall, stalled.head("GET", "objects/k"), reads=MIB // 2)
    assert took_s < SOON_S


async def test_head(stalled: Stalled) -> None:
    took_s = await gone_at_the_backend(stalled, Stall("HEAD", "/k"), stalled.head("HEAD", "objects/k"))
    assert took_s < SOON_S


async def test_put_in_the_middle(stalled: Stalled) -> None:
    """The backend has taken a part of the body and takes no more; the client has sent half of what it announced."""
    request = stalled.head("PUT", "objects/k", f"Content-Length: {2 * MIB}")
    took_s = await gone_at_the_backend(stalled, Stall("PUT", "/k", answer_bytes=1024), request, body=b"x" * MIB)
    assert took_s < SOON_S


async def test_put_whose_body_is_sent(stalled: Stalled) -> None:
    """All of the body is there, the backend does not confirm it."""
    request = stalled.head("PUT", "objects/k", "Content-Length: 1024")
    took_s = await gone_at_the_backend(stalled, Stall("PUT", "/k", answer_bytes=1024), request, body=b"x" * 1024)
    assert took_s < SOON_S


async def test_put_while_a_part_is_on_its_way(stalled: Stalled) -> None:
    request = stalled.head("PUT", "objects/k", "Transfer-Encoding: chunked")
    body = chunked(PART) + chunked(MIB)
    stall = Stall("PUT", "partNumber=1", answer_bytes=1024)
    took_s = await gone_at_the_backend(stalled, stall, request, body=body)
    assert took_s < SOON_S


async def test_put_between_parts_aborts_the_upload(stalled: Stalled) -> None:
    """One part is stored, the next one has not come: the upload is aborted, within a second."""
    stub, loop = stalled.stub, asyncio.get_running_loop()
    begun = len(stub.seen)
    async with asyncio.timeout(30):
        _, writer = await asyncio.open_connection("127.0.0.1", stalled.port)
        writer.write(stalled.head("PUT", "objects/parts", "Transfer-Encoding: chunked") + chunked(PART) + chunked(MIB))
        await stub.saw("PUT", "partNumber=1", since=begun)
        writer.transport.abort()
        left_at = loop.time()
        await stub.saw("DELETE", "uploadId=u1", since=begun)
    assert loop.time() - left_at < SOON_S


async def test_list(stalled: Stalled) -> None:
    took_s = await gone_at_the_backend(stalled, Stall("GET", "list-type=2"), stalled.head("GET", "objects"))
    assert took_s < SOON_S


async def test_delete(stalled: Stalled) -> None:
    took_s = await gone_at_the_backend(stalled, Stall("DELETE", "/k"), stalled.head("DELETE", "objects/k"))
    assert took_s < SOON_S


def chunked(size_bytes: int) -> bytes:
    return b"%x\r\n" % size_bytes + b"x" * size_bytes + b"\r\n"
