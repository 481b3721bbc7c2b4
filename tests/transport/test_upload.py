"""Bodies on their way to a backend: of a known length, and of an unknown one, which goes in chunks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from yarl import URL

from stow.errors import BackendFailedError, BackendTimeoutError, BodyTooShortError
from stow.storage.egress import LOOPBACK, EgressPolicy
from stow.transport.connections import Connections
from stow.transport.deadlines import Deadlines
from stow.transport.upload import Upload


@dataclass
class Arrived:
    """What a server saw of one request: its head, the raw bytes behind it, and whether the client left before an answer."""

    head: str = ""
    raw: bytes = b""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    url: URL = field(default_factory=URL)


@contextlib.asynccontextmanager
async def server(end: bytes) -> AsyncIterator[Arrived]:
    """Answers 201 when the body ends so; reads on until then."""
    arrived = Arrived()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            arrived.head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            while not arrived.raw.endswith(end):
                chunk = await reader.read(65536)
                if not chunk:
                    arrived.left.set()
                    return
                arrived.raw += chunk
            writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
        except ConnectionError:
            arrived.left.set()
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    arrived.url = URL(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/k")
    try:
        yield arrived
    finally:
        listening.close()


@contextlib.asynccontextmanager
async def connections(*, idle_s: float = 5.0) -> AsyncIterator[Connections]:
    made = Connections(
        deadlines=Deadlines(connect_s=2, idle_s=idle_s, request_s=5), egress=EgressPolicy(allowed=LOOPBACK)
    )
    try:
        yield made
    finally:
        await made.aclose()


async def source(*chunks: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if error is not None:
        raise error


async def test_a_body_of_unknown_length_goes_in_chunks_and_ends_with_the_last_one() -> None:
    async with server(b"0\r\n\r\n") as arrived, connections() as http:
        upload = Upload(source(b"one", b"twelve bytes"), None)
        response = await http.send("PUT", arrived.url, headers={}, body=upload)
        response.close()
    assert response.status == 201
    assert arrived.raw == b"3\r\none\r\nc\r\ntwelve bytes\r\n0\r\n\r\n"
    assert "transfer-encoding: chunked" in arrived.head
    assert "content-length" not in arrived.head
    assert (upload.complete, upload.sent_bytes) == (True, 15)


async def test_an_empty_body_of_unknown_length_is_the_last_chunk_alone() -> None:
    async with server(b"0\r\n\r\n") as arrived, connections() as http:
        upload = Upload(source(), None)
        (await http.send("PUT", arrived.url, headers={}, body=upload)).close()
    assert arrived.raw == b"0\r\n\r\n"
    assert upload.complete


@pytest.mark.parametrize("size", [None, 100])
async def test_a_source_that_raises_is_heard_and_the_body_never_ends(size: int | None) -> None:
    async with server(b"0\r\n\r\n") as arrived, connections() as http:
        upload = Upload(source(b"one", error=BodyTooShortError("the source's own")), size)
        with pytest.raises(BodyTooShortError, match="own"):
            await http.send("PUT", arrived.url, headers={}, body=upload)
        await asyncio.wait_for(arrived.left.wait(), 5)
    assert not upload.complete
    assert b"0\r\n\r\n" not in arrived.raw


async def test_a_cancelled_body_of_unknown_length_never_ends() -> None:
    asked = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"one"
        asked.set()
        await asyncio.Event().wait()

    async with server(b"0\r\n\r\n") as arrived, connections() as http:
        upload = Upload(endless(), None)
        sending = asyncio.create_task(http.send("PUT", arrived.url, headers={}, body=upload))
        await asked.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait_for(arrived.left.wait(), 5)
        await upload.stopped()
    assert not upload.complete
    assert b"0\r\n\r\n" not in arrived.raw


async def test_a_slow_source_costs_no_deadline_but_a_silent_backend_does() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(0.5)
        yield b"two"

    async with server(b"0\r\n\r\n") as arrived, connections(idle_s=0.2) as http:
        (await http.send("PUT", arrived.url, headers={}, body=Upload(slow(), None))).close()
        assert b"two" in arrived.raw
    async with server(b"never") as arrived, connections(idle_s=0.2) as http:
        with pytest.raises(BackendTimeoutError):
            await http.send("PUT", arrived.url, headers={}, body=Upload(source(b"one"), None))


async def test_an_announced_length_is_sent_and_no_chunks() -> None:
    async with server(b"four") as arrived, connections() as http:
        (await http.send("PUT", arrived.url, headers={}, body=Upload(source(b"fou", b"r"), 4))).close()
    assert "content-length: 4" in arrived.head
    assert "transfer-encoding" not in arrived.head
    assert arrived.raw == b"four"


@pytest.mark.parametrize(("size", "reason"), [(3, "longer"), (5, "shorter")])
async def test_another_length_than_announced_is_refused(size: int, reason: str) -> None:
    async with server(b"never") as arrived, connections() as http:
        with pytest.raises(BackendFailedError, match=reason):
            await http.send("PUT", arrived.url, headers={}, body=Upload(source(b"fou", b"r"), size))
