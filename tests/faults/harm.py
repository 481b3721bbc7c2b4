"""What the proxy can do to one request. Each says whether the server gets to see the request: that decides what a write has become."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from faults.http1 import Piece, reset, send
from faults.proxy import Exchange

_REASONS = {
    301: "Moved Permanently",
    307: "Temporary Redirect",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
}


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this; the server sees nothing. ``early``: before the body is taken (it is taken afterwards, and thrown away).

    ``headers`` may be a function, for values that depend on the time of the answer.
    """

    status: int
    headers: dict[str, str] | Callable[[], dict[str, str]] = field(default_factory=dict)
    body: bytes = b""
    early: bool = False

    async def play(self, exchange: Exchange) -> None:
        if not self.early:
            await exchange.swallow()
        headers = self.headers if isinstance(self.headers, dict) else self.headers()
        lines = [f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Error')}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        await send(exchange.to_client, head + (b"" if exchange.seen.method == "HEAD" else self.body))
        if self.early:
            await exchange.client.gone()
            exchange.over = True


@dataclass(frozen=True, slots=True)
class Hang:
    """Take the whole request and answer nothing. ``acted``: the server gets it, has done it, and its answer is kept back."""

    acted: bool = False

    async def play(self, exchange: Exchange) -> None:
        if self.acted:
            async with exchange.proxy.acting():
                answer = await exchange.forward()
                async for _ in answer.pieces:
                    pass
            await asyncio.Event().wait()  # forward() watches the client meanwhile
        await exchange.swallow()
        await exchange.client.gone()
        exchange.over = True


@dataclass(frozen=True, slots=True)
class HangInUpload:
    """Forward so many bytes of the request's body and take no more: the client cannot send, and nobody answers."""

    after_bytes: int

    async def play(self, exchange: Exchange) -> None:
        await exchange.forward(lambda pieces: _stuck(pieces, self.after_bytes))
        raise AssertionError("the server answered a request that it has not got")


@dataclass(frozen=True, slots=True)
class ResetInUpload:
    """RST to both sides after so many bytes of the request's body went to the server; 0 is right after the head, which does not go."""

    after_bytes: int = 0

    async def play(self, exchange: Exchange) -> None:
        if self.after_bytes:
            upstream = await exchange.connect()
            await send(upstream.writer, exchange.seen.raw)
            async for piece in _first(exchange.body(), self.after_bytes):
                await send(upstream.writer, piece.raw)
            await reset(upstream.writer)
        await reset(exchange.to_client)
        exchange.over = True


@dataclass(frozen=True, slots=True)
class ResetAnswer:
    """The server has done it; RST to the client after so many bytes of the answer, head included."""

    after_bytes: int = 0

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.forward()
        whole = answer.head.raw + b"".join([piece.raw async for piece in answer.pieces])
        if self.after_bytes:
            await send(exchange.to_client, whole[: self.after_bytes])
        await reset(exchange.to_client)
        exchange.over = True


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """The head - its Content-Length is the right one - and so many bytes of the body; then the connection closes, is reset or hangs."""

    after_bytes: int
    by: str = "close"
    """``close`` (FIN), ``reset`` (RST) or ``hang``."""

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.forward()
        await send(exchange.to_client, answer.head.raw)
        async for piece in _first(answer.pieces, self.after_bytes):
            await send(exchange.to_client, piece.raw)
        if self.by == "hang":
            await asyncio.Event().wait()  # until the client leaves
        if self.by == "reset":
            await reset(exchange.to_client)
        exchange.over = True


@dataclass(frozen=True, slots=True)
class FlipAnswer:
    """One bit of the answer's body is another one."""

    at_byte: int

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.forward()
        await send(exchange.to_client, answer.head.raw)
        async for piece in _flipped(answer.pieces, self.at_byte):
            await send(exchange.to_client, piece.raw)
        await exchange.settle(answer.head)


@dataclass(frozen=True, slots=True)
class FlipUpload:
    """One bit of the request's body arrives at the server as another one."""

    at_byte: int

    async def play(self, exchange: Exchange) -> None:
        answer = await exchange.forward(lambda pieces: _flipped(pieces, self.at_byte))
        await send(exchange.to_client, answer.head.raw)
        async for piece in answer.pieces:
            await send(exchange.to_client, piece.raw)
        await exchange.settle(answer.head)


async def _first(pieces: AsyncIterator[Piece], data_bytes: int) -> AsyncIterator[Piece]:
    """Up to so many bytes of data; the framing of chunks comes with them.

    Raises:
        AssertionError: the body is not longer than that, so that nothing would be cut.
    """
    left = data_bytes
    async for piece in pieces:
        if not piece.data:
            yield piece
            continue
        if len(piece.raw) > left:
            if left:
                yield Piece(piece.raw[:left])
            return
        left -= len(piece.raw)
        yield piece
    raise AssertionError(f"the body has no more than {data_bytes} bytes, so nothing is cut")


async def _stuck(pieces: AsyncIterator[Piece], data_bytes: int) -> AsyncIterator[Piece]:
    async for piece in _first(pieces, data_bytes):
        yield piece
    await asyncio.Event().wait()


async def _flipped(pieces: AsyncIterator[Piece], at_byte: int) -> AsyncIterator[Piece]:
    at = at_byte
    flipped = False
    async for piece in pieces:
        if not piece.data:
            yield piece
            continue
        if 0 <= at < len(piece.raw):
            changed = bytearray(piece.raw)
            changed[at] ^= 0x10
            yield Piece(bytes(changed))
            flipped = True
        else:
            yield piece
        at -= len(piece.raw)
    if not flipped:
        raise AssertionError(f"the body has no byte {at_byte}, so no bit was flipped")
