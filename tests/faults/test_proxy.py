"""The proxy does what it says, seen from outside by plain sockets. Only then does it prove anything about a driver."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from faults.harm import CutAnswer, FlipAnswer, FlipUpload, Hang, HangInUpload, ResetAnswer, ResetInUpload, Status
from faults.proxy import Fault, Proxy, stop
from stow.dev.certificates import Authority, now
from stow.storage.model import MIB

GET = b"GET /a%2Fb//../c?x=%20 HTTP/1.1\r\nhOST: Odd.Example:1\r\nX-b: 2\r\nx-B:  1 \r\n\r\n"
BODY = bytes(range(256)) * 40
ANSWER = b"HTTP/1.1 200 Fine\r\nx-ODD:  yes \r\nContent-Length: 10240\r\n\r\n"
PUT = b"PUT /k HTTP/1.1\r\nHost: h\r\nContent-Length: 10240\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class Origin:
    """A server that keeps what it gets. A script plays it, once for each connection."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.connections = 0
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self.progress = asyncio.Condition()

    async def read(self, reader: Reader, length: int) -> bytes:
        data = await reader.readexactly(length)
        async with self.progress:
            self.got += data
            self.progress.notify_all()
        return data

    async def got_bytes(self, length: int) -> None:
        async with self.progress:
            await self.progress.wait_for(lambda: len(self.got) >= length)


@contextlib.asynccontextmanager
async def between(script: Callable[[Origin, Reader, Writer], Awaitable[None]]) -> AsyncIterator[tuple[Proxy, Origin]]:
    """A proxy before an origin."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: Reader, writer: Writer) -> None:
        origin.connections += 1
        try:
            await script(origin, reader, writer)
            end = "closed" if not await reader.read() else "more"
        except asyncio.IncompleteReadError:
            end = "closed"
        except ConnectionResetError:
            end = "reset"
        origin.ends.put_nowait(end)
        writer.close()

    def accept(reader: Reader, writer: Writer) -> None:
        task = asyncio.create_task(serve(reader, writer))
        tasks.add(task)

    origin = Origin()
    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        async with asyncio.timeout(20), Proxy(server.sockets[0].getsockname()[:2]) as proxy:
            yield proxy, origin
    finally:
        server.close()
        await stop(*tasks)


@contextlib.asynccontextmanager
async def client(proxy: Proxy) -> AsyncIterator[tuple[Reader, Writer]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def answers_gets(origin: Origin, reader: Reader, writer: Writer) -> None:
    while True:
        await origin.read(reader, len(GET))
        writer.write(ANSWER + BODY)


async def answers_puts(origin: Origin, reader: Reader, writer: Writer) -> None:
    while True:
        await origin.read(reader, len(PUT + BODY))
        writer.write(EMPTY)


async def test_bytes_pass_unchanged_both_ways_over_one_connection() -> None:
    async with between(answers_gets) as (proxy, origin), client(proxy) as (reader, writer):
        for _ in range(2):
            writer.write(GET)
            assert await reader.readexactly(len(ANSWER + BODY)) == ANSWER + BODY
        assert bytes(origin.got) == GET * 2
        assert (proxy.connections, origin.connections) == (1, 1)
        assert [(seen.method, seen.target, seen.fields["host"]) for seen in proxy.seen] == [
            ("GET", "/a%2Fb//../c?x=%20", "Odd.Example:1")
        ] * 2
        assert proxy.seen[0].query == {"x": " "}


async def test_pipelined_requests_are_answered_in_turn() -> None:
    async with between(answers_gets) as (proxy, _), client(proxy) as (reader, writer):
        writer.write(GET + GET)
        assert await reader.readexactly(2 * len(ANSWER + BODY)) == (ANSWER + BODY) * 2
        assert len(proxy.seen) == 2


CHUNKED = b"3;ext=1\r\nabc\r\n00A\r\n0123456789\r\n0\r\nTrailer-A: 1\r\n\r\n"


async def test_chunks_and_trailers_pass_unchanged_both_ways() -> None:
    head = b"PUT /k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED

    async def script(origin: Origin, reader: Reader, writer: Writer) -> None:
        while True:
            await origin.read(reader, len(head + CHUNKED))
            writer.write(answer)

    async with between(script) as (proxy, origin), client(proxy) as (reader, writer):
        for _ in range(2):
            writer.write(head + CHUNKED)
            assert await reader.readexactly(len(answer)) == answer
        assert bytes(origin.got) == (head + CHUNKED) * 2


async def test_a_body_without_length_lasts_until_the_end_of_the_connection() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\nall of it"

    async def script(origin: Origin, reader: Reader, writer: Writer) -> None:
        await origin.read(reader, len(GET))
        writer.write(answer)
        writer.write_eof()

    async with between(script) as (proxy, _), client(proxy) as (reader, writer):
        writer.write(GET)
        assert await reader.read() == answer


async def test_the_answer_of_a_head_has_no_body_whatever_its_length_says() -> None:
    head = b"HEAD / HTTP/1.1\r\n\r\n"

    async def script(origin: Origin, reader: Reader, writer: Writer) -> None:
        while True:
            await origin.read(reader, len(head))
            writer.write(ANSWER)

    async with between(script) as (proxy, _), client(proxy) as (reader, writer):
        writer.write(head)
        await reader.readexactly(len(ANSWER))
        writer.write(head)
        assert await reader.readexactly(len(ANSWER)) == ANSWER


EXPECTING = PUT.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")


async def test_a_permission_to_continue_comes_from_the_server_and_before_the_body() -> None:
    async def script(origin: Origin, reader: Reader, writer: Writer) -> None:
        await origin.read(reader, len(EXPECTING))
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await origin.read(reader, len(BODY))
        writer.write(EMPTY)

    async with between(script) as (proxy, _), client(proxy) as (reader, writer):
        writer.write(EXPECTING)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert await reader.readuntil(b"\r\n\r\n") == EMPTY


async def test_an_answer_comes_through_before_the_body_was_sent() -> None:
    early = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

    async def script(origin: Origin, reader: Reader, writer: Writer) -> None:
        await origin.read(reader, len(PUT))
        writer.write(early)
        await origin.read(reader, len(BODY) + len(GET))
        writer.write(EMPTY)

    async with between(script) as (proxy, _), client(proxy) as (reader, writer):
        writer.write(PUT + BODY[:100])
        assert await reader.readuntil(b"\r\n\r\n") == early
        writer.write(BODY[100:])  # the connection is still good: the server takes the rest
        writer.write(GET)
        assert await reader.readuntil(b"\r\n\r\n") == EMPTY
        assert [seen.method for seen in proxy.seen] == ["PUT", "GET"]


async def test_a_client_that_leaves_is_left_at_the_server() -> None:
    async def script(origin: Origin, reader: Reader, writer: Writer) -> None:
        await origin.read(reader, len(GET))
        await origin.read(reader, 1)

    async with between(script) as (proxy, origin):
        async with client(proxy) as (_, writer):
            writer.write(GET)
            await origin.got_bytes(len(GET))
        assert await origin.ends.get() == "reset"


async def test_a_server_that_leaves_is_gone_for_the_client() -> None:
    async def script(origin: Origin, reader: Reader, writer: Writer) -> None:
        await origin.read(reader, len(GET))
        writer.write(ANSWER + BODY[:50])
        writer.write_eof()

    async with between(script) as (proxy, _), client(proxy) as (reader, writer):
        writer.write(GET)
        assert await reader.read() == ANSWER + BODY[:50]


# Faults


async def test_only_the_chosen_request_is_hurt() -> None:
    async with between(answers_gets) as (proxy, _), client(proxy) as (reader, writer):
        proxy.inject(Status(500), when=lambda seen: seen.method == "PUT")
        proxy.inject(Status(503), when=lambda seen: seen.method == "GET", nth=2)
        for status in (b"200", b"503", b"200"):
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.split(b" ")[1] == status
            await reader.readexactly(len(BODY) if status == b"200" else 0)


SLOW = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\nRetry-After: 7\r\n\r\nslow"


async def test_a_status_takes_the_body_first_keeps_the_connection_and_nothing_reaches_the_server() -> None:
    async with between(answers_puts) as (proxy, origin), client(proxy) as (reader, writer):
        proxy.inject(Status(429, {"Retry-After": "7"}, b"slow"))
        for _ in range(2):
            writer.write(PUT + BODY)
            assert await reader.readexactly(len(SLOW)) == SLOW
        assert origin.connections == 0


async def test_an_early_status_does_not_wait_for_the_body() -> None:
    async with between(answers_puts) as (proxy, origin), client(proxy) as (reader, writer):
        proxy.inject(Status(503, early=True))
        writer.write(PUT)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
        writer.write(BODY)
        writer.write_eof()
        assert await reader.read() == b""
        assert origin.connections == 0


async def test_a_refusing_proxy_refuses_and_ends_what_is_open() -> None:
    async with between(answers_gets) as (proxy, _):
        async with client(proxy) as (reader, writer):
            writer.write(GET)
            await reader.readexactly(len(ANSWER + BODY))
            await proxy.refuse()
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)


@pytest.mark.parametrize("acted", [False, True])
async def test_a_hang_answers_nothing_and_the_server_has_acted_or_not(acted: bool) -> None:
    async with between(answers_puts) as (proxy, origin):
        proxy.inject(Hang(acted=acted), nth=1)
        async with client(proxy) as (reader, writer):
            writer.write(PUT + BODY)
            if acted:
                await origin.got_bytes(len(PUT + BODY))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.read(1)
        async with client(proxy) as (reader, writer):  # the next request goes through
            writer.write(PUT + BODY)
            assert await reader.readexactly(len(EMPTY)) == EMPTY
        assert bytes(origin.got) == (PUT + BODY) * (2 if acted else 1)


async def test_what_follows_a_hang_waits_until_the_server_has_acted() -> None:
    release = asyncio.Event()

    async def script(origin: Origin, reader: Reader, writer: Writer) -> None:
        await origin.read(reader, len(PUT + BODY))
        if origin.connections == 1:
            await release.wait()
        writer.write(EMPTY)

    async with between(script) as (proxy, origin):
        proxy.inject(Hang(acted=True), nth=1)
        async with client(proxy) as (_, first), client(proxy) as (reader, second):
            first.write(PUT + BODY)
            await origin.got_bytes(len(PUT + BODY))
            second.write(PUT + BODY)
            for _ in range(2):
                await proxy.arrivals.get()
            assert origin.connections == 1
            release.set()
            assert await reader.readexactly(len(EMPTY)) == EMPTY


async def test_a_hang_in_the_upload_takes_no_more_than_it_says() -> None:
    head = PUT.replace(b"10240", b"16777216")

    async def script(origin: Origin, reader: Reader, writer: Writer) -> None:
        await origin.read(reader, len(head) + 1000)
        await origin.read(reader, 1)

    async with between(script) as (proxy, origin):
        async with client(proxy) as (_, writer):
            proxy.inject(HangInUpload(1000))
            writer.write(head + bytes(16 * MIB))
            await origin.got_bytes(len(head) + 1000)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await writer.drain()
            writer.transport.abort()
        assert bytes(origin.got) == head + bytes(1000)


@pytest.mark.parametrize("after_bytes", [0, 1, 10239])
async def test_a_reset_in_the_upload_is_one_on_both_sides(after_bytes: int) -> None:
    async def script(origin: Origin, reader: Reader, writer: Writer) -> None:
        await origin.read(reader, len(PUT) + after_bytes)
        await origin.read(reader, 1)

    async with between(script) as (proxy, origin), client(proxy) as (reader, writer):
        proxy.inject(ResetInUpload(after_bytes))
        writer.write(PUT + BODY)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        if after_bytes:
            assert await origin.ends.get() == "reset"
            assert bytes(origin.got) == PUT + BODY[:after_bytes]
        else:
            assert origin.connections == 0


@pytest.mark.parametrize("after_bytes", [0, 20, len(ANSWER) + 5])
async def test_a_reset_answer_stops_at_its_byte_and_the_server_has_acted(after_bytes: int) -> None:
    async with between(answers_gets) as (proxy, origin), client(proxy) as (reader, writer):
        proxy.inject(ResetAnswer(after_bytes))
        writer.write(GET)
        assert await reader.readexactly(after_bytes) == (ANSWER + BODY)[:after_bytes]
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert bytes(origin.got) == GET


async def test_a_cut_answer_keeps_its_content_length_and_ends_early() -> None:
    async with between(answers_gets) as (proxy, _):
        proxy.inject(CutAnswer(700), nth=1)
        proxy.inject(CutAnswer(700, by="reset"), nth=1)
        proxy.inject(CutAnswer(700, by="hang"), nth=1)
        async with client(proxy) as (reader, writer):
            writer.write(GET)
            assert await reader.read() == ANSWER + BODY[:700]
        async with client(proxy) as (reader, writer):
            writer.write(GET)
            assert await reader.readexactly(len(ANSWER) + 700) == ANSWER + BODY[:700]
            with pytest.raises(ConnectionResetError):
                await reader.read()
        async with client(proxy) as (reader, writer):
            writer.write(GET)
            assert await reader.readexactly(len(ANSWER) + 700) == ANSWER + BODY[:700]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await reader.read(1)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


@pytest.mark.parametrize("at", [0, 5000, 10239])
async def test_a_flipped_answer_differs_in_one_bit(at: int) -> None:
    async with between(answers_gets) as (proxy, _), client(proxy) as (reader, writer):
        proxy.inject(FlipAnswer(at), nth=1)
        for body in (flipped(BODY, at), BODY):
            writer.write(GET)
            assert await reader.readexactly(len(ANSWER + BODY)) == ANSWER + body


@pytest.mark.parametrize("at", [0, 5000, 10239])
async def test_a_flipped_upload_differs_in_one_bit(at: int) -> None:
    async with between(answers_puts) as (proxy, origin), client(proxy) as (reader, writer):
        proxy.inject(FlipUpload(at), nth=1)
        for _ in range(2):
            writer.write(PUT + BODY)
            await reader.readexactly(len(EMPTY))
        assert bytes(origin.got) == PUT + flipped(BODY, at) + PUT + BODY


async def spoil(fault: Fault, request: bytes, script: Callable[[Origin, Reader, Writer], Awaitable[None]]) -> None:
    async with between(script) as (proxy, _), client(proxy) as (reader, writer):
        proxy.inject(fault)
        writer.write(request)
        with contextlib.suppress(ConnectionResetError):
            await reader.read()


async def test_a_fault_that_finds_nothing_to_hurt_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="nothing is cut"):
        await spoil(CutAnswer(len(BODY)), GET, answers_gets)
    with pytest.raises(AssertionError, match="no bit was flipped"):
        await spoil(FlipUpload(len(BODY)), PUT + BODY, answers_puts)


# TLS


def contexts(
    folder: Path, *, at_days: int = 0, names: tuple[str, ...] = ("localhost",)
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The proxy's and a client's that trusts its authority."""
    authority = Authority(folder, now=now() + timedelta(days=at_days))
    pair = authority.issue_server("proxy", names=names)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pair.certificate_path, pair.key_path)
    return serving, ssl.create_default_context(cafile=str(authority.path))


async def test_a_good_certificate_is_taken(tmp_path: Path) -> None:
    serving, trusting = contexts(tmp_path)
    async with asyncio.timeout(20), Proxy(("127.0.0.1", 9), ssl_context=serving) as proxy:
        proxy.inject(Status(200))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", proxy.port, ssl=trusting, server_hostname="localhost"
        )
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("at_days", "names", "verify_code"),
    [(-30, ("localhost",), 10), (0, ("other.example",), 62)],
    ids=["expired", "wrong host"],
)
async def test_bad_certificates_are_what_they_are_called(
    tmp_path: Path, at_days: int, names: tuple[str, ...], verify_code: int
) -> None:
    """10 and 62 are OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_HOSTNAME_MISMATCH."""
    serving, trusting = contexts(tmp_path, at_days=at_days, names=names)
    async with asyncio.timeout(20), Proxy(("127.0.0.1", 9), ssl_context=serving) as proxy:
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            await asyncio.open_connection("127.0.0.1", proxy.port, ssl=trusting, server_hostname="localhost")
        assert caught.value.verify_code == verify_code


async def test_a_plain_port_answers_a_handshake_with_no_handshake(tmp_path: Path) -> None:
    _, trusting = contexts(tmp_path)
    async with asyncio.timeout(20), Proxy(("127.0.0.1", 9)) as proxy:
        with pytest.raises(ssl.SSLError, match=r"(?i)wrong.version.number"):
            await asyncio.open_connection("127.0.0.1", proxy.port, ssl=trusting, server_hostname="localhost")
        assert proxy.connections == 1
        assert proxy.seen == []
