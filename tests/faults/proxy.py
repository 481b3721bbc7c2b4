"""A proxy between a driver and its server that does harm where a test says so, and counts what goes by.

It terminates connections, not messages: each connection of a client has one to the server, heads and bodies pass byte for byte (with the
``Host`` that the client sent, so signatures hold), bodies stream both ways at once, ``100 Continue`` and early answers come through when
they come. Which request is hurt is decided by a predicate on its head and by its number among those that match; what is done to it is a
fault of :mod:`faults.harm`. It sleeps nowhere: a hang lasts until the client leaves or the proxy is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from faults.http1 import BrokenOffError, Head, NotHTTPError, Piece, Seen, Source, body_of, finish, reset, send

Predicate = Callable[[Seen], bool]
_RECEIVE_BYTES: Final = 64 * 1024
"""Of the listening sockets: a small one makes a client whose upload is not taken wait soon."""
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class ClientLeftError(Exception):
    """In the middle of an exchange."""


class Fault(Protocol):
    """What is done to one request."""

    async def play(self, exchange: Exchange) -> None:
        """Do it; afterwards ``exchange.over`` says whether the client's connection has ended."""
        ...


@dataclass(slots=True)
class Rule:
    """``nth``: which of the matching requests, from 1; None is each of them."""

    fault: Fault
    when: Predicate
    nth: int | None
    matched: int = 0

    def takes(self, seen: Seen) -> bool:
        if not self.when(seen):
            return False
        self.matched += 1
        return self.nth is None or self.nth == self.matched


@dataclass(slots=True)
class Upstream:
    """The connection to the server that belongs to one connection of a client."""

    source: Source
    writer: asyncio.StreamWriter


@dataclass(frozen=True, slots=True)
class Answer:
    """The server's answer: its head is read, its body is not."""

    head: Head
    pieces: AsyncIterator[Piece]


@dataclass(slots=True)
class Exchange:
    """One request and what a fault may do with it. ``client_left`` is set when the client leaves in the middle of it."""

    seen: Seen
    client: Source
    to_client: asyncio.StreamWriter
    connect: Callable[[], Coroutine[Any, Any, Upstream]]
    proxy: Proxy
    over: bool = False
    client_left: asyncio.Event = field(default_factory=asyncio.Event)
    _uploading: asyncio.Task[None] | None = None
    _continued: bool = False

    def body(self) -> AsyncIterator[Piece]:
        """Of the request."""
        return body_of(self.seen, self.client)

    async def swallow(self) -> None:
        """Take the whole request and forward nothing. Who waits for a permission to send gets it."""
        if self.seen.fields.get("expect", "").lower() == "100-continue":
            await send(self.to_client, b"HTTP/1.1 100 Continue\r\n\r\n")
        async for _ in self.body():
            pass

    async def forward(self, alter: Callable[[AsyncIterator[Piece]], AsyncIterator[Piece]] | None = None) -> Answer:
        """Send the request on, its body meanwhile, and wait for the answer's head; interim answers pass."""
        upstream = await self.connect()
        await send(upstream.writer, self.seen.raw)
        pieces = self.body() if alter is None else alter(self.body())
        self._uploading = asyncio.create_task(self._upload(pieces, upstream))
        while True:
            head = Head(await upstream.source.head())
            if not head.raw:
                raise BrokenOffError
            if not 100 <= head.status < 200:
                break
            self._continued = True
            await send(self.to_client, head.raw)
        bodiless = self.seen.method == "HEAD" or head.status in {204, 304}
        return Answer(head, body_of(head, upstream.source, bodiless=bodiless, to_the_end=True))

    async def relay(self) -> None:
        """Let it pass."""
        answer = await self.forward()
        await send(self.to_client, answer.head.raw)
        async for piece in answer.pieces:
            await send(self.to_client, piece.raw)
        await self.settle(answer.head)

    async def settle(self, head: Head) -> None:
        """After the answer: let the rest of an upload pass, unless the server is through with this connection."""
        waits = "expect" in self.seen.fields and not self._continued
        endless = not ({"content-length", "transfer-encoding"} & head.fields.keys()) and head.status not in {204, 304}
        if self.seen.closes or head.closes or waits or (endless and self.seen.method != "HEAD"):
            self.over = True
        elif self._uploading is not None:
            upstream = await self.connect()
            left = asyncio.create_task(upstream.source.gone())
            sent = asyncio.create_task(self._sent.wait())
            await asyncio.wait({left, sent}, return_when=asyncio.FIRST_COMPLETED)
            self.over = not self._sent.is_set()
            await stop(left, sent)

    async def stop(self) -> None:
        """Take no more of the request."""
        if self._uploading is not None:
            await stop(self._uploading)

    _sent: asyncio.Event = field(default_factory=asyncio.Event)

    async def _upload(self, pieces: AsyncIterator[Piece], upstream: Upstream) -> None:
        try:
            async for piece in pieces:
                try:
                    await send(upstream.writer, piece.raw)
                except BrokenOffError:
                    return  # the server's answer, or its end, says what is to be done
            self._sent.set()
            await self.client.gone()
        except BrokenOffError:
            pass
        except AssertionError as exc:
            self.proxy.failures.append(exc)
        self.client_left.set()


class Proxy:
    """Between clients and ``upstream`` (host, port). ``ssl_context`` is what it serves TLS with; None is plain."""

    def __init__(self, upstream: tuple[str, int], *, ssl_context: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.connections = 0
        """How many were accepted (after the handshake, with TLS)."""
        self.seen: list[Seen] = []
        self.arrivals: asyncio.Queue[Seen] = asyncio.Queue()
        self.failures: list[AssertionError] = []
        """Faults that could not be played: a test that believes in one must fail."""
        self._upstream = upstream
        self._ssl_context = ssl_context
        self._rules: list[Rule] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._held: socket.socket | None = None
        self._acting = 0
        self._acted = asyncio.Event()
        self._acted.set()

    async def __aenter__(self) -> Proxy:
        # asyncio switches Nagle's algorithm off only where the protocol is said: a head and a body would wait 40 ms for each other.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self._server = await asyncio.start_server(self._accept, sock=listening, ssl=self._ssl_context)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop_listening()
        if self._held is not None:
            self._held.close()
        if self.failures:
            raise self.failures[0]

    def inject(self, fault: Fault, *, when: Predicate = lambda _: True, nth: int | None = None) -> None:
        """Do this to the matching requests. Of several rules the first that takes a request counts, and the others
        do not count it: rules with ``nth=1`` are a sequence."""
        self._rules.append(Rule(fault, when, nth))

    def heal(self) -> None:
        """Forget the faults and what was seen."""
        self._rules.clear()
        self.seen.clear()

    def count(self, when: Predicate) -> int:
        return sum(map(when, self.seen))

    @contextlib.asynccontextmanager
    async def acting(self) -> AsyncIterator[None]:
        """While the server does something whose answer nobody waits for: later requests stand still, so that they find it done."""
        self._acting += 1
        self._acted.clear()
        try:
            yield
        finally:
            self._acting -= 1
            if not self._acting:
                self._acted.set()

    async def refuse(self) -> None:
        """End all connections and listen no more. The port stays taken, so that nobody else can answer on it."""
        await self._stop_listening()
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", self.port))

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            await stop(*self._tasks)
            await self._server.wait_closed()
            self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._ssl_context is None:
            # What was sent is to have left this process when a fault ends the connection. (With TLS a limit of 0 stops the writer.)
            writer.transport.set_write_buffer_limits(0)
        task = asyncio.create_task(self._serve(Source(reader), writer, self.connections))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: Source, to_client: asyncio.StreamWriter, number: int) -> None:
        opened: list[Upstream] = []

        async def connect() -> Upstream:
            if not opened:
                reader, writer = await asyncio.open_connection(*self._upstream)
                opened.append(Upstream(Source(reader), writer))
            return opened[0]

        end = reset
        try:
            while head := await client.head():
                seen = Seen(head, number, asyncio.get_running_loop().time())
                self.seen.append(seen)
                self.arrivals.put_nowait(seen)
                exchange = Exchange(seen, client, to_client, connect, self)
                await self._play(exchange)
                if exchange.over:
                    break
            end = finish
        except NotHTTPError:
            with contextlib.suppress(BrokenOffError):
                await send(to_client, _BAD_REQUEST)
            end = finish
        except ClientLeftError:
            pass
        except (BrokenOffError, OSError):
            end = finish  # the server left
        except AssertionError as exc:
            self.failures.append(exc)
        finally:
            await end(to_client, *(upstream.writer for upstream in opened))

    async def _play(self, exchange: Exchange) -> None:
        await self._acted.wait()
        rule = next((rule for rule in self._rules if rule.takes(exchange.seen)), None)
        work = asyncio.create_task(exchange.relay() if rule is None else _coroutine(rule.fault, exchange))
        left = asyncio.create_task(exchange.client_left.wait())
        try:
            await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            else:
                raise ClientLeftError
        finally:
            await stop(work, left)
            await exchange.stop()


async def _coroutine(fault: Fault, exchange: Exchange) -> None:
    await fault.play(exchange)


async def stop(*tasks: asyncio.Task[Any]) -> None:
    """Cancel them and wait for their end, whatever it is."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
