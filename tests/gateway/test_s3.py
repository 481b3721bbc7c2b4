"""The gateway over S3: uploads that are cut leave nothing at a real server, and a client's end is seen at the backend's own socket."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest

from drivers.s3.setup import QUICK, SMALL_PARTS, server_driver, stub_driver
from gateway.test_bodies import framed, in_flight, reset
from gateway.world import BASE, FAST, World, request, until
from servers.minio import MinioServer
from servers.moto import MotoServer
from stow.drivers.s3.config import Dialect
from stow.gateway.settings import GatewaySettings
from stow.storage.driver import Driver
from stow.storage.model import MIB, Marker

DATA = random.Random(6).randbytes(12 * MIB)
"""More than one part."""
S3_SPEC: dict[str, Any] = {"local": None, "s3": {"region": "us-east-1"}, "credentials": {"anonymous": {}}}
POINTS = [0, 1, len(DATA) - 1, random.Random(7).randrange(2, 5 * MIB), random.Random(8).randrange(6 * MIB, 11 * MIB)]


@asynccontextmanager
async def world_over(driver: Driver, *, settings: GatewaySettings | None = None) -> AsyncIterator[World]:
    world = World()
    store = world.location(driver=driver, spec=S3_SPEC)
    await world.container(create=False)
    try:
        async with world.serving(settings or GatewaySettings(drain_grace_s=1.0)):
            yield world
    finally:
        await store.aclose()


@pytest.fixture(params=["minio", "moto"])
async def s3(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    server: MinioServer | MotoServer = request.getfixturevalue("minio" if request.param == "minio" else "moto_server")
    driver = server_driver(server, dialect=Dialect.MINIO if request.param == "minio" else Dialect.AWS)
    bucket = f"reports-{random.SystemRandom().randrange(10**10)}"
    world = World()
    store = world.location(driver=cast("Driver", driver), spec=S3_SPEC)
    await store.create_container(bucket, marker=Marker("test", "team", "reports", "uid-team-reports"))
    snapshot = await world.container(create=False)
    status = {**snapshot.status, "containerName": bucket, "backendIdentity": f"{store.identity}/{bucket}"}
    world.memory.known[snapshot.ref] = replace(snapshot, status=status)
    async with world.serving(GatewaySettings(drain_grace_s=1.0)):
        yield world
    await store.aclose()


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
async def test_an_upload_that_is_cut_anywhere_leaves_the_old_object(s3: World, chunked: bool) -> None:
    assert (await s3.ask("PUT", f"{BASE}/objects/k", body=b"old")).status == 200
    raw, head = framed(DATA, chunked=chunked)
    for cut in POINTS:
        for how in ("fin", "reset"):
            audited = len(s3.audit)
            async with s3.wire() as wire:
                wire.send(raw[: head + cut])
                await wire.writer.drain()
                await until(lambda: in_flight(s3) == 1)
                if how == "reset":
                    reset(wire.writer.get_extra_info("socket"))
                wire.writer.close()
                await until(lambda seen=audited: len(s3.audit) > seen, timeout_s=30)  # type: ignore[misc]  # mypy infers no lambda defaults
            got = await s3.ask("GET", f"{BASE}/objects/k")
            assert (got.status, got.body) == (200, b"old"), (cut, how)
    page = (await s3.ask("GET", f"{BASE}/objects")).json
    assert [each["key"] for each in page["objects"]] == ["k"]


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
async def test_the_same_upload_uncut_comes_back(s3: World, chunked: bool) -> None:
    raw, _ = framed(DATA, chunked=chunked)
    async with s3.wire() as wire:
        wire.send(raw)
        assert (await wire.answer(timeout_s=30)).status == 200
    got = await s3.ask("GET", f"{BASE}/objects/k")
    assert got.body == DATA
    tail = await s3.ask("GET", f"{BASE}/objects/k", "Range: bytes=-5")
    assert (tail.status, tail.body) == (206, DATA[-5:])


# At the backend's own socket


class Backend:
    """An S3 that answers what it must and else nothing: ``requests`` came in, ``ended`` counts connections that the driver ended."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.ended = 0
        self.begin_get = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line = head.split(b"\r\n", 1)[0].decode()
                self.requests.append(line)
                if not await self._answer(line, head, reader, writer):
                    while await reader.read(65536):
                        pass
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.ended += 1
            writer.close()

    async def _answer(self, line: str, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the request was answered."""
        if line.startswith("POST") and "uploads" in line:
            await self._say(
                writer, b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
            )
        elif "partNumber=1" in line:
            length = re.search(rb"(?i)content-length: (\d+)", head)
            assert length is not None
            await reader.readexactly(int(length[1]))
            await self._say(writer, b"", 'ETag: "p1"\r\n')
        elif line.startswith("DELETE") and "uploadId" in line:
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        elif line.startswith("GET") and self.begin_get:
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\nETag: "v1"\r\n\r\n' + bytes(1000))
            return False
        else:
            return False
        return True

    @staticmethod
    async def _say(writer: asyncio.StreamWriter, body: bytes, extra: str = "") -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body)
        await writer.drain()


@pytest.fixture
async def backend() -> AsyncIterator[tuple[Backend, World]]:
    stub = Backend()
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    patient = replace(QUICK, idle_s=30, request_s=30)
    driver = stub_driver(f"http://127.0.0.1:{port}", multipart=SMALL_PARTS, deadlines=patient)
    async with world_over(cast("Driver", driver)) as world:
        yield stub, world
    server.close()


CASES = [("GET", "/objects/k"), ("HEAD", "/objects/k"), ("DELETE", "/objects/k"), ("GET", "/objects")]


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize(("method", "rest"), CASES)
async def test_a_client_that_leaves_before_the_first_byte_is_seen_at_the_backend(
    backend: tuple[Backend, World], method: str, rest: str, how: str
) -> None:
    stub, world = backend
    async with world.wire() as wire:
        wire.send(request(method, BASE + rest))
        await until(lambda: len(stub.requests) == 1)
        if how == "reset":
            reset(wire.writer.get_extra_info("socket"))
        wire.writer.close()
        assert await until(lambda: stub.ended == 1) < 1


async def test_a_client_that_leaves_in_the_middle_of_a_read_is_seen_at_the_backend(
    backend: tuple[Backend, World],
) -> None:
    stub, world = backend
    stub.begin_get = True
    async with world.wire() as wire:
        wire.send(request("GET", f"{BASE}/objects/k"))
        await wire.reader.readuntil(b"\r\n\r\n")
        wire.writer.close()
        assert await until(lambda: stub.ended == 1) < 1


async def test_a_client_that_leaves_in_the_middle_of_a_write_is_seen_at_the_backend(
    backend: tuple[Backend, World],
) -> None:
    stub, world = backend
    async with world.wire() as wire:
        wire.send(request("PUT", f"{BASE}/objects/k", "Content-Length: 1000000") + bytes(500_000))
        await until(lambda: len(stub.requests) == 1)
        wire.writer.close()
        assert await until(lambda: stub.ended == 1) < 1


async def test_a_client_that_leaves_between_two_parts_aborts_the_upload(backend: tuple[Backend, World]) -> None:
    stub, world = backend
    async with world.wire() as wire:
        head = request("PUT", f"{BASE}/objects/k", "Transfer-Encoding: chunked")
        piece = bytes(6 * MIB)
        wire.send(head + f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await until(lambda: any("partNumber=1" in line for line in stub.requests))
        await asyncio.sleep(0.1)
        wire.writer.close()
        assert await until(lambda: any(line.startswith("DELETE") for line in stub.requests)) < 1


@pytest.mark.parametrize("header", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
async def test_a_body_that_stalls_is_408_and_the_backend_call_ends(header: str) -> None:
    stub = Backend()
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    patient = replace(QUICK, idle_s=30, request_s=30)
    driver = stub_driver(f"http://127.0.0.1:{port}", multipart=SMALL_PARTS, deadlines=patient)
    settings = GatewaySettings(deadlines=FAST, drain_grace_s=0.2)
    async with world_over(cast("Driver", driver), settings=settings) as world, world.wire() as wire:
        body = bytes(500_000) if header.startswith("Content") else b"10\r\n" + bytes(16) + b"\r\n"
        wire.send(request("PUT", f"{BASE}/objects/k", header) + body)
        got = await wire.answer()
        assert (got.status, got.code) == (408, "request_timeout")
        await until(lambda: stub.ended == min(1, len(stub.requests)), timeout_s=1)
    server.close()
