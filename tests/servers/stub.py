"""A backend that misbehaves on purpose: raw HTTP over a socket, with scripted answers, to watch what reaches it and when it is left.

MinIO answers all other tests; this one exists for what a real server cannot be asked to do: lose answers, fall silent, lie.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

CLOSE = b"close"
"""Close the connection instead of answering."""
HANG = b"hang"
"""Answer nothing, and wait for the client to leave."""


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Partial:
    """Send this much and hang."""

    data: bytes


@dataclass(frozen=True)
class CutOff:
    """Send this much and close."""

    data: bytes


Answer = Callable[[Seen], bytes | Partial | CutOff]


def http(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer; underscores in header names become hyphens."""
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items() if name != "content_length"]
    if "content_length" in headers:
        lines[1] = f"content-length: {headers['content_length']}"
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def error(status: int, code: str) -> bytes:
    """An S3 error document, with text that must never get out."""
    body = f"<Error><Code>{code}</Code><Message>SECRET-BACKEND-TEXT</Message></Error>"
    return http(status, body.encode(), content_type="application/xml")


@dataclass
class Stub:
    """``answer`` decides by the request; ``requests`` arrived whole, ``begun`` have their headers, ``gone`` counts clients that left."""

    answer: Answer
    requests: list[Seen] = field(default_factory=list)
    begun: asyncio.Queue[Seen] = field(default_factory=asyncio.Queue)
    gone: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    connections: int = 0
    endpoint: str = ""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        place = "idle"
        try:
            while True:
                place = "idle"
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                fields = (line.split(":", 1) for line in head[1:] if line)
                seen = Seen(method, target, {name.lower(): value.strip() for name, value in fields})
                self.begun.put_nowait(seen)
                place = "body"
                seen.body = await reader.readexactly(int(seen.headers.get("content-length", "0")))
                self.requests.append(seen)
                place = "answer"
                reply = self.answer(seen)
                if reply == CLOSE:
                    return
                if isinstance(reply, CutOff):
                    writer.write(reply.data)
                    await writer.drain()
                    return
                if isinstance(reply, Partial) or reply == HANG:
                    writer.write(reply.data if isinstance(reply, Partial) else b"")
                    await reader.read()
                    self.gone.put_nowait(place)
                    return
                writer.write(reply.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.put_nowait(place)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def serve(answer: Answer, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Stub]:
    """A stub on a free loopback port, with TLS where a context is given."""
    stub = Stub(answer)
    server = await asyncio.start_server(stub._serve, "127.0.0.1", 0, ssl=tls)
    stub.endpoint = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield stub
    finally:
        server.close()
