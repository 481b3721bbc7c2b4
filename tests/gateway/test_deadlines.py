"""Everything that stalls is cut at its deadline, together with its call to the backend. Raw sockets, small injected deadlines."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from prometheus_client import Counter

from gateway.world import BASE, FAST, World, request, until
from stow.gateway.settings import GatewaySettings, Limits
from stow.reconcile.objects import ObjectRef
from stow.storage.model import WriteOptions

BIG = 48 * 1024 * 1024
"""More than the kernel's buffers of both sockets hold."""


@pytest.fixture
async def fast(world: World) -> AsyncIterator[World]:
    async with world.serving(GatewaySettings(deadlines=FAST, drain_grace_s=0.2)):
        yield world


async def cut_after(world: World, *pieces: bytes, pause_s: float = 0.0) -> tuple[float, bytes]:
    """Send the pieces, then nothing; the seconds until the gateway closes, and what it said."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with world.wire() as wire:
        for piece in pieces:
            wire.send(piece)
            await asyncio.sleep(pause_s)
        said = await wire.closed(timeout_s=5)
    return loop.time() - begun, said


async def test_a_connection_that_sends_nothing_is_closed(fast: World) -> None:
    seconds, said = await cut_after(fast)
    assert 0.3 < seconds < 4
    assert said == b""


@pytest.mark.parametrize(
    "start", [b"G", b"GET /v1/namesp", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: g\r\nAuthoriz"]
)
async def test_a_stalled_request_line_or_header_is_cut(fast: World, start: bytes) -> None:
    seconds, said = await cut_after(fast, start)
    assert 0.3 < seconds < 4
    assert said.startswith(b"HTTP/1.1 408 ")


async def test_a_header_that_drips_is_cut_at_the_same_deadline(fast: World) -> None:
    drops = [b"GET / HTTP/1.1\r\n", *(f"X-{n}: 1\r\n".encode() for n in range(200))]
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with fast.wire() as wire:
        end = asyncio.create_task(wire.closed())
        for drop in drops:
            if end.done():
                break
            wire.send(drop)
            await asyncio.sleep(0.05)
            await end
        seconds = loop.time() - begun
    assert seconds < 4


async def test_a_second_request_whose_headers_stall_is_cut(fast: World) -> None:
    async with fast.wire() as wire:
        wire.send(request("GET", "/healthz"))
        assert (await wire.answer()).status == 200
        wire.send(b"GET /healthz HT")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        assert (await wire.closed()).startswith(b"HTTP/1.1 408 ")
        assert loop.time() - begun < 4


async def test_headers_that_begin_behind_a_running_request_have_the_same_deadline(fast: World) -> None:
    fast.driver.stop = {"head"}
    async with fast.wire() as wire:
        wire.send(request("HEAD", f"{BASE}/objects/k"))
        await until(lambda: "head" in fast.driver.reached)
        wire.send(b"GET /healthz HT")
        assert (await wire.answer(head=True)).status == 504
        assert (await wire.closed()).startswith(b"HTTP/1.1 408 ")  # an idle one is closed without a word


FULL_HEAD = b"GET /healthz HTTP/1.1\r\nHost: g\r\n" + b"".join(b"X-%d: %b\r\n" % (n, b"a" * 12000) for n in range(20))
"""240,000 bytes of a head without an end: each field and their number are allowed, all together are not."""


async def test_too_many_bytes_of_headers_behind_a_whole_request_are_refused(served: World) -> None:
    async with served.wire() as wire:
        wire.send(request("GET", "/healthz") + FULL_HEAD)
        await wire.closed(timeout_s=5)  # before the header deadline
    assert served.registry.get_sample_value("stow_gateway_connections_cut_total", {"reason": "header-size"}) == 1


async def test_too_many_bytes_of_headers_behind_a_running_request_cut_the_connection(served: World) -> None:
    served.driver.stop = {"head"}
    async with served.wire() as wire:
        wire.send(request("HEAD", f"{BASE}/objects/k"))
        await until(lambda: "head" in served.driver.reached)
        wire.send(FULL_HEAD)
        assert await wire.closed(timeout_s=5) == b""  # nothing is written into the answer that is on its way
    await until(lambda: "head" in served.driver.cancelled)


def never_reading(world: World, target: str) -> socket.socket:
    """A client that asks and then takes nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", world.port))
    client.sendall(request("GET", target))
    return client


async def test_a_listing_is_in_flight_until_the_client_has_taken_it(world: World) -> None:
    """Or one identity has as many megabytes in memory as there are connections."""
    store = world.stores.by_ref[ObjectRef("StowLocation", "team", "main")]
    async with world.serving(GatewaySettings(limits=Limits(max_requests_per_identity=2), drain_grace_s=0.2)):
        await world.ask("GET", f"{BASE}/objects")
        for number in range(1000):  # each byte of these keys takes six in JSON
            options, key = WriteOptions(), f"{number:04}" + "\x01" * 1000
            await store.write_raw(store.reference("reports-bucket", key), 0, options, nothing())
        clients = [never_reading(world, f"{BASE}/objects") for _ in range(2)]
        try:
            await until(lambda: world.registry.get_sample_value("stow_gateway_requests_in_flight") == 2)
            for _ in range(3):
                assert (await world.ask("GET", f"{BASE}/objects")).status == 429
        finally:
            for client in clients:
                client.close()
        await until(lambda: world.registry.get_sample_value("stow_gateway_requests_in_flight") == 0)
        assert (await world.ask("GET", f"{BASE}/objects")).status == 200
    assert [line["code"] for line in world.audit].count("client_closed") == 2


async def test_metrics_that_nobody_takes_are_in_memory_a_few_times_only(world: World) -> None:
    """They need no token, and may be megabytes."""
    many = Counter("many", "Many.", ("name",), registry=world.registry)
    for number in range(8_000):
        many.labels("x" * 300 + str(number)).inc()
    async with world.serving(GatewaySettings(limits=Limits(max_requests_per_identity=2), drain_grace_s=0.2)):
        clients = [never_reading(world, "/metrics") for _ in range(2)]
        try:
            async with asyncio.timeout(10):
                while (await world.ask("HEAD", "/metrics")).status != 429:
                    pass
            assert (await world.ask("GET", "/healthz")).status == 200
        finally:
            for client in clients:
                client.close()


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def test_bodies_do_not_count_as_headers(fast: World) -> None:
    body = b"x" * 300_000
    async with fast.wire() as wire:
        wire.send(b"".join(request("PUT", f"{BASE}/objects/{n}", body=body) for n in range(4)))
        assert [(await wire.answer()).status for _ in range(4)] == [200] * 4
        wire.send(request("GET", f"{BASE}/objects/3"))
        assert (await wire.answer()).body == body


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(fast: World) -> None:
    loop = asyncio.get_running_loop()
    async with fast.wire() as wire:
        for _ in range(4):
            wire.send(request("GET", "/healthz"))
            assert (await wire.answer()).status == 200
            await asyncio.sleep(0.3)
        begun = loop.time()
        assert await wire.closed() == b""
        assert loop.time() - begun < 4


@pytest.mark.parametrize("header", ["Content-Length: 100", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("sent", [b"", b"5\r\nhello\r\n"])
async def test_a_stalled_body_is_cut_and_stores_nothing(fast: World, header: str, sent: bytes) -> None:
    await fast.ask("PUT", f"{BASE}/objects/k", body=b"old")
    seconds, said = await cut_after(fast, request("PUT", f"{BASE}/objects/k", header) + sent)
    assert 0.3 < seconds < 4
    assert said.startswith(b"HTTP/1.1 408 ")
    assert fast.bytes_of("k") == b"old"
    assert fast.backend.containers["reports-bucket"].uploads == 0


async def test_a_slow_body_that_goes_on_is_not_cut(fast: World) -> None:
    async with fast.wire() as wire:
        wire.send(request("PUT", f"{BASE}/objects/k", "Content-Length: 6"))
        for piece in (b"a", b"b", b"c", b"d", b"e", b"f"):
            await asyncio.sleep(0.1)
            wire.send(piece)
        assert (await wire.answer()).status == 200
    assert fast.bytes_of("k") == b"abcdef"


async def test_a_reader_that_never_reads_is_cut_with_its_backend_call(fast: World) -> None:
    await fast.ask("PUT", f"{BASE}/objects/big", body=bytes(BIG))
    async with raw_reader(fast, request("GET", f"{BASE}/objects/big")):
        await until(lambda: "read" in fast.driver.reached)
        seconds = await until(lambda: fast.driver.closed_streams == 1, timeout_s=5)
    assert 0.3 < seconds < 4
    assert fast.audit[-1]["code"] == "client_closed"


async def test_a_reader_that_never_reads_many_small_answers_is_cut(fast: World) -> None:
    """Its answers wait behind a closed transport, where no handler sees them."""
    async with raw_reader(fast, request("GET", "/openapi.json") * 3000) as sock:
        await until(lambda: fast.registry.get_sample_value("stow_gateway_connections") == 1)
        await until(lambda: fast.registry.get_sample_value("stow_gateway_connections") == 0, timeout_s=6)
        del sock


async def test_a_slow_reader_that_reads_on_gets_everything(fast: World) -> None:
    size = 12 * 1024 * 1024
    await fast.ask("PUT", f"{BASE}/objects/big", body=bytes(size))
    async with fast.wire() as wire:
        wire.send(request("GET", f"{BASE}/objects/big"))
        await wire.reader.readuntil(b"\r\n\r\n")
        got = 0
        while got < size:
            got += len(await wire.reader.read(1024 * 1024))
            await asyncio.sleep(0.05)
    assert got == size


POINTS = [
    ("GET", "/objects/k", "read", 504, "backend_timeout"),
    ("HEAD", "/objects/k", "head", 504, "backend_timeout"),
    ("DELETE", "/objects/k", "delete", 504, "backend_timeout"),
    ("GET", "/objects", "list", 504, "backend_timeout"),
    ("PUT", "/objects/k", "write", 504, "backend_timeout"),
    ("PUT", "/objects/k", "part", 504, "backend_timeout"),
    ("PUT", "/objects/k", "written", 504, "backend_timeout"),
]


@pytest.mark.parametrize(("method", "rest", "point", "status", "code"), POINTS)
async def test_a_backend_that_stalls_is_a_timeout_and_its_call_ends(
    fast: World, method: str, rest: str, point: str, status: int, code: str
) -> None:
    await fast.ask("PUT", f"{BASE}/objects/k", body=b"old")
    fast.driver.stop = {point}
    got = await fast.ask(method, BASE + rest, body=b"new" if method == "PUT" else None)
    assert (got.status, got.code) == (status, code)
    assert point in fast.driver.cancelled
    assert fast.bytes_of("k") == b"old"


async def test_a_backend_that_stalls_in_the_middle_of_a_read_resets_the_connection(fast: World) -> None:
    await fast.ask("PUT", f"{BASE}/objects/k", body=bytes(1024 * 1024))
    fast.driver.stop = {"chunk"}
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await fast.ask("GET", f"{BASE}/objects/k")
    assert fast.driver.closed_streams == 1
    assert fast.audit[-1]["code"] == "backend_timeout"
    assert fast.audit[-1]["status"] == 0


class raw_reader:  # noqa: N801 - used like a function
    """A socket with a small buffer that sends and never reads."""

    def __init__(self, world: World, data: bytes) -> None:
        self._world = world
        self._data = data
        self._socket = socket.socket()

    async def __aenter__(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setblocking(False)
        await loop.sock_connect(self._socket, ("127.0.0.1", self._world.port))
        await loop.sock_sendall(self._socket, self._data)
        return self._socket

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()
