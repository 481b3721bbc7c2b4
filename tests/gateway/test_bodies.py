"""Bodies on their way: cut anywhere, expected or not, and clients that go away. What the backend sees is asserted."""

from __future__ import annotations

import asyncio
import fcntl
import random
import socket
import struct
import termios
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.world import BASE, World, request, until
from stow.drivers.local.driver import LocalDriver
from stow.errors import BackendFailedError
from stow.gateway.settings import Deadlines, GatewaySettings, Limits
from stow.storage.model import Marker

DATA = random.Random(4).randbytes(200_000)
CUTS = [0, 1, len(DATA) - 1, *random.Random(5).sample(range(2, len(DATA) - 1), 3)]


def framed(data: bytes, *, chunked: bool) -> tuple[bytes, int]:
    """A whole PUT, and how many bytes of it are not body."""
    if not chunked:
        head = request("PUT", f"{BASE}/objects/k", f"Content-Length: {len(data)}")
        return head + data, len(head)
    head = request("PUT", f"{BASE}/objects/k", "Transfer-Encoding: chunked")
    body = b"".join(
        f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in (data[i : i + 30_000] for i in range(0, len(data), 30_000))
    )
    return head + body + b"0\r\n\r\n", len(head)


def in_flight(world: World) -> float | None:
    """Requests that the gateway has begun and not ended."""
    return world.registry.get_sample_value("stow_gateway_requests_in_flight")


def reset(wire_socket: socket.socket) -> None:
    wire_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.fixture(params=["memory", "local"])
async def stored(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A gateway over the memory and the local driver, with an old object ``k``."""
    world = World()
    if request.param == "local":
        driver = LocalDriver(root=tmp_path / "team" / "main", base=tmp_path, clock=world.clock)
        store = world.location(driver=driver)
        await store.create_container("reports-bucket", marker=Marker("test", "team", "reports", "uid-team-reports"))
        await world.container(create=False)
    else:
        world.location()
        await world.container()
    async with world.serving(GatewaySettings(drain_grace_s=1.0)):
        assert (await world.ask("PUT", f"{BASE}/objects/k", body=b"old")).status == 200
        yield world
    for each in world.stores.by_ref.values():
        await each.aclose()


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
@pytest.mark.parametrize("cut", CUTS)
async def test_an_upload_that_is_cut_anywhere_leaves_the_old_object(
    stored: World, cut: int, chunked: bool, how: str
) -> None:
    raw, head = framed(DATA, chunked=chunked)
    audited = len(stored.audit)
    async with stored.wire() as wire:
        wire.send(raw[: head + cut])
        await wire.writer.drain()
        await until(lambda: in_flight(stored) == 1)
        if how == "reset":
            reset(wire.writer.get_extra_info("socket"))
        wire.writer.close()
    await until(lambda: len(stored.audit) > audited)
    assert stored.audit[-1]["code"] in {"client_closed", "body_too_short", "invalid_body"}
    got = await stored.ask("GET", f"{BASE}/objects/k")
    assert (got.status, got.body) == (200, b"old")
    page = (await stored.ask("GET", f"{BASE}/objects")).json
    assert [each["key"] for each in page["objects"]] == ["k"]


async def test_the_same_upload_uncut_is_stored(stored: World) -> None:
    for chunked in (False, True):
        raw, _ = framed(DATA, chunked=chunked)
        async with stored.wire() as wire:
            wire.send(raw)
            assert (await wire.answer()).status == 200
        assert (await stored.ask("GET", f"{BASE}/objects/k")).body == DATA


# Going away

AWAY = [
    ("GET", "/objects/k", "read", "read"),
    ("GET", "/objects/k", "chunk", "chunk"),
    ("HEAD", "/objects/k", "head", "head"),
    ("DELETE", "/objects/k", "delete", "delete"),
    ("GET", "/objects", "list", "list"),
    ("PUT", "/objects/k", "write", "write"),
    ("PUT", "/objects/k", "part", "part"),
    ("PUT", "/objects/k", "written", "written"),
]


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize(("method", "rest", "point", "cancelled"), AWAY)
async def test_a_client_that_goes_away_ends_the_backend_call_within_a_second(
    served: World, method: str, rest: str, point: str, cancelled: str, how: str
) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=DATA)
    served.driver.reached.clear()
    served.driver.stop = {point}
    async with served.wire() as wire:
        wire.send(request(method, BASE + rest, body=b"new" if method == "PUT" else None))
        await until(lambda: point in served.driver.reached)
        if how == "reset":
            reset(wire.writer.get_extra_info("socket"))
        wire.writer.close()
        assert await until(lambda: cancelled in served.driver.cancelled) < 1
    await until(lambda: served.audit[-1]["code"] == "client_closed")
    assert served.bytes_of("k") == DATA


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_it_is_seen_too_while_back_pressure_has_paused_reading(served: World, how: str) -> None:
    """The backend takes nothing, the buffers are full, and no read would ever tell that the peer is gone."""
    served.driver.stop = {"part"}
    sock = socket.socket()
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", served.port))
    await loop.sock_sendall(sock, request("PUT", f"{BASE}/objects/k", "Content-Length: 64000000"))
    await until(lambda: "write" in served.driver.reached)
    while reading(served):
        await loop.sock_sendall(sock, bytes(65536))
        await asyncio.sleep(0.01)
    await loop.sock_sendall(sock, bytes(10_000))
    if how == "reset":
        reset(sock)
    else:  # a FIN arrives behind what was sent, so all of that must have arrived
        await until(lambda: unsent_bytes(sock) == 0)
    assert served.driver.cancelled == []
    sock.close()
    assert await until(lambda: "part" in served.driver.cancelled) < 1
    assert served.bytes_of("k") is None


def reading(world: World) -> bool:
    """Whether the gateway still reads from its one connection."""
    assert world.gateway is not None
    assert world.gateway._listener is not None
    (connection,) = world.gateway._listener.connections
    assert connection.transport is not None
    return connection.transport.is_reading()


def unsent_bytes(sock: socket.socket) -> int:
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])


async def test_back_pressure_reaches_the_client(served: World) -> None:
    served.driver.stop = {"part"}
    async with served.wire() as wire:
        wire.send(request("PUT", f"{BASE}/objects/k", f"Content-Length: {50_000_000}") + bytes(30_000_000))
        await until(lambda: "part" in served.driver.reached)
        await asyncio.sleep(0.2)
        # What neither kernel nor gateway took stays with the client.
        assert wire.writer.transport.get_write_buffer_size() > 10_000_000
        assert served.driver.taken_bytes < 1_000_000


# Expect


async def test_100_continue_comes_after_the_checks_and_then_the_body_is_taken(served: World) -> None:
    async with served.wire() as wire:
        wire.send(request("PUT", f"{BASE}/objects/k", "Expect: 100-continue", "Content-Length: 4"))
        assert (await wire.answer()).status == 100
        wire.send(b"data")
        assert (await wire.answer()).status == 200
        wire.send(request("GET", f"{BASE}/objects/k"))
        assert (await wire.answer()).body == b"data"


REFUSED_EARLY = [
    (["Authorization: Bearer unknown"], set(), 401),
    ([], {("get", "objects")}, 403),
    (["If-None-Match: *"], None, 412),
    (['If-Match: "other"'], None, 412),
    (["Content-MD5: x"], None, 400),
    (["Stow-Meta-A: \u00e9"], None, 400),
]


@pytest.mark.parametrize(("headers", "granted", "status"), REFUSED_EARLY)
async def test_what_is_refused_anyway_is_refused_without_a_100(
    served: World, headers: list[str], granted: set[tuple[str, str]] | None, status: int
) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=b"old")
    served.driver.reads_first = True
    if granted is not None:
        served.access.granted = granted
        served.clock.forward(120)
    async with served.wire() as wire:
        token = None if headers and headers[0].startswith("Authorization") else "canary-token.for-the-tests"
        wire.send(
            request("PUT", f"{BASE}/objects/k", "Expect: 100-continue", "Content-Length: 4", *headers, token=token)
        )
        got = await wire.answer()
        assert (got.status, got.headers["connection"]) == (status, "close")
        await wire.closed(timeout_s=3)
    assert served.bytes_of("k") == b"old"


async def test_an_early_refusal_ends_the_upload_soon(world: World) -> None:
    world.access.granted = set()
    async with world.serving(GatewaySettings(deadlines=Deadlines(linger_s=0.3), drain_grace_s=0.2)):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with world.wire() as wire:
            wire.send(request("PUT", f"{BASE}/objects/k", f"Content-Length: {10**9}") + bytes(100_000))
            got = await wire.answer()
            await wire.closed()
        assert (got.status, got.headers["connection"]) == (403, "close")
        assert loop.time() - begun < 2


async def test_a_small_refused_body_that_is_here_already_keeps_the_connection(served: World) -> None:
    async with served.wire() as wire:
        wire.send(request("PUT", f"{BASE}/objects/k", "Content-MD5: x", body=b"data"))
        assert (await wire.answer()).status == 400
        wire.send(request("GET", "/healthz"))
        assert (await wire.answer()).status == 200


# Limits


async def test_an_object_over_the_limit_is_413_with_and_without_a_length(world: World) -> None:
    async with world.serving(GatewaySettings(limits=Limits(max_object_bytes=1000), drain_grace_s=0.2)):
        assert (await world.ask("PUT", f"{BASE}/objects/k", body=bytes(1000))).status == 200
        got = await world.ask("PUT", f"{BASE}/objects/big", body=bytes(1001))
        assert (got.status, got.code) == (413, "limit_exceeded")
        async with world.wire() as wire:
            wire.send(
                request("PUT", f"{BASE}/objects/big", "Transfer-Encoding: chunked")
                + b"3e9\r\n"
                + bytes(1001)
                + b"\r\n0\r\n\r\n"
            )
            assert (await wire.answer()).status == 413
    assert world.bytes_of("big") is None


async def test_too_many_requests_are_503_and_too_many_of_one_identity_429(world: World) -> None:
    limits = Limits(max_requests=3, max_requests_per_identity=2)
    world.tokens.known["second"] = world.tokens.known["canary-token.for-the-tests"].__class__(
        "system:serviceaccount:team:two"
    )
    async with world.serving(GatewaySettings(limits=limits, drain_grace_s=0.2)):
        world.driver.stop = {"head"}
        running = [asyncio.create_task(world.ask("HEAD", f"{BASE}/objects/k")) for _ in range(2)]
        await until(lambda: world.driver.reached.count("head") == 2)
        got = await world.ask("GET", f"{BASE}/objects")
        assert (got.status, got.code, got.headers["retry-after"]) == (429, "too_many_requests", "1")
        running.append(asyncio.create_task(world.ask("HEAD", f"{BASE}/objects/k", token="second")))
        await until(lambda: world.driver.reached.count("head") == 3)
        got = await world.ask("GET", f"{BASE}/objects", token="second")
        assert (got.status, got.code) == (503, "overloaded")
        assert "retry-after" in got.headers
        assert (await world.ask("GET", "/healthz")).status == 200
        world.driver.gate.set()
        assert [(await each).status for each in running] == [404] * 3
        world.driver.stop = set()
        assert (await world.ask("GET", f"{BASE}/objects")).status == 200


async def test_too_many_connections_are_refused(world: World) -> None:
    settings = GatewaySettings(limits=Limits(max_connections=2), drain_grace_s=0.2)
    async with world.serving(settings), world.wire() as one, world.wire() as two, world.wire() as three:
        assert (await three.answer()).status == 503
        for wire in (one, two):
            wire.send(request("GET", "/healthz"))
            assert (await wire.answer()).status == 200


# A read that fails after it began


@pytest.mark.parametrize("size", [300_000, 10])
async def test_a_read_that_fails_in_the_middle_never_ends_cleanly(served: World, size: int) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=bytes(size))
    served.driver.stop, served.driver.error = {"chunk"}, BackendFailedError("gone")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await served.ask("GET", f"{BASE}/objects/k")
    assert served.audit[-1]["code"] == "backend_failed"


async def test_a_damaged_object_is_cut_before_its_end(served: World) -> None:
    await served.ask("PUT", f"{BASE}/objects/k", body=bytes(600_000))
    objects = served.backend.containers["reports-bucket"].objects
    objects["k"] = replace(objects["k"], data=bytes(599_999) + b"x")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await served.ask("GET", f"{BASE}/objects/k")
    assert served.audit[-1]["code"] == "integrity"
