"""HTTP/1.1 as bytes on their way: heads are read to know where a message ends, and nothing is written anew.

What a :class:`Source` gives is exactly what its peer sent: header names, order and case, chunk sizes, trailers, the raw request target.
Whoever changes a byte does it on purpose.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from urllib.parse import parse_qsl, urlsplit

CHUNK_BYTES: Final = 64 * 1024
_MAX_HEAD_BYTES: Final = 256 * 1024
_LINGER_0: Final = struct.pack("ii", 1, 0)
"""Close at once, drop what is unsent, and send RST instead of FIN."""


class BrokenOffError(Exception):
    """The peer left in the middle of a message."""


class NotHTTPError(Exception):
    """What arrived is no HTTP/1.1: a TLS handshake on a plain port, for example."""


class Source:
    """The bytes of one connection. What was read and not taken stays for the next reader."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()

    async def fill(self) -> bool:
        """Wait for more; False at the connection's end."""
        try:
            data = await self._reader.read(CHUNK_BYTES)
        except (ConnectionError, TimeoutError):
            return False
        self._buffer += data
        return bool(data)

    async def gone(self) -> None:
        """Return when the peer has left; what it sends meanwhile is kept."""
        while await self.fill():
            pass

    async def head(self) -> bytes:
        """All up to the empty line; nothing where the connection ends before a message begins."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if self._buffer and not self._buffer[:1].isalpha():
                raise NotHTTPError
            if len(self._buffer) > _MAX_HEAD_BYTES:
                raise NotHTTPError
            if not await self.fill():
                if self._buffer:
                    raise BrokenOffError
                return b""
        return self._take(end + 4)

    async def line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if not await self.fill():
                raise BrokenOffError
        return self._take(end + 2)

    async def exactly(self, length: int) -> AsyncIterator[bytes]:
        while length:
            if not self._buffer and not await self.fill():
                raise BrokenOffError
            piece = self._take(min(length, len(self._buffer)))
            length -= len(piece)
            yield piece

    async def rest(self) -> AsyncIterator[bytes]:
        while self._buffer or await self.fill():
            yield self._take(len(self._buffer))

    def _take(self, length: int) -> bytes:
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken


@dataclass(frozen=True)
class Head:
    """A parsed head; ``raw`` is what goes on."""

    raw: bytes

    @cached_property
    def start(self) -> list[str]:
        """The three parts of the first line."""
        parts = self.raw.partition(b"\r\n")[0].decode("latin-1").split(" ", 2)
        if len(parts) < 2:
            raise NotHTTPError
        return [*parts, ""]

    @cached_property
    def fields(self) -> dict[str, str]:
        """By name in lower case; of several the last."""
        lines = self.raw.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return {name.strip().lower(): value.strip() for name, _, value in pairs}

    @property
    def closes(self) -> bool:
        return self.fields.get("connection", "").lower() == "close"

    @property
    def status(self) -> int:
        return int(self.start[1])


@dataclass(frozen=True)
class Seen(Head):
    """A request as the proxy saw it. ``at_s`` is the event loop's time of its head."""

    connection: int
    at_s: float

    @property
    def method(self) -> str:
        return self.start[0]

    @property
    def target(self) -> str:
        """Raw, as it was sent."""
        return self.start[1]

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def __str__(self) -> str:
        return f"{self.method} {self.target}"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a body; ``data`` is False for the framing of chunks."""

    raw: bytes
    data: bool = True


async def body_of(
    head: Head, source: Source, *, bodiless: bool = False, to_the_end: bool = False
) -> AsyncIterator[Piece]:
    """The pieces of a message's body. ``to_the_end``: one without any length lasts until the connection ends (answers)."""
    if bodiless:
        return
    if head.fields.get("transfer-encoding", "").lower() == "chunked":
        async for piece in _chunked(source):
            yield piece
    elif "content-length" in head.fields:
        async for raw in source.exactly(int(head.fields["content-length"])):
            yield Piece(raw)
    elif to_the_end:
        async for raw in source.rest():
            yield Piece(raw)


async def _chunked(source: Source) -> AsyncIterator[Piece]:
    while True:
        line = await source.line()
        yield Piece(line, data=False)
        size = int(line.split(b";")[0], 16)
        if not size:
            break
        async for raw in source.exactly(size):
            yield Piece(raw)
        yield Piece(await source.line(), data=False)
    while True:  # trailers, and the empty line
        line = await source.line()
        yield Piece(line, data=False)
        if line == b"\r\n":
            return


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Raises BrokenOffError where the peer has left."""
    try:
        writer.write(data)
        await writer.drain()
    except (ConnectionError, RuntimeError) as exc:  # RuntimeError: the transport is closed already
        raise BrokenOffError from exc


async def finish(*writers: asyncio.StreamWriter) -> None:
    """Close in the ordinary way, and wait until it is done. All are on their way at once: a cancelled wait leaves none open."""
    for writer in writers:
        writer.close()
    await _closed(*writers)


async def reset(*writers: asyncio.StreamWriter) -> None:
    """End the connections with RST."""
    for writer in writers:
        sock: socket.socket | None = writer.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        writer.transport.abort()
    await _closed(*writers)


async def _closed(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        with contextlib.suppress(OSError):
            await writer.wait_closed()
