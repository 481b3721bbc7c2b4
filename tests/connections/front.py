"""A door before a real server: takes connections, with TLS or without, hands on their bytes, and counts."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field


@dataclass
class Front:
    """``connections``: sockets that were accepted. ``talks``: those that got so far as to send something to the server behind."""

    address: tuple[str, int]
    behind: ssl.SSLContext | None = None
    connections: int = 0
    talks: int = 0
    port: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(65536)
        if not first:
            writer.close()
            return
        self.talks += 1
        try:
            back_reader, back_writer = await asyncio.open_connection(
                *self.address, ssl=self.behind, server_hostname="localhost" if self.behind else None
            )
        except OSError:
            writer.close()  # nobody is behind it
            return
        back_writer.write(first)
        self._open |= {writer, back_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, back_writer))
                group.create_task(_copy(back_reader, writer))
        finally:
            self._open -= {writer, back_writer}

    async def drop(self) -> None:
        """End all connections, so that the next request needs a new one."""
        writers = [*self._open]
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def front(
    address: tuple[str, int], *, context: ssl.SSLContext | None = None, behind: ssl.SSLContext | None = None
) -> AsyncIterator[Front]:
    """On a free loopback port. A handshake that fails is a connection without a talk. ``behind``: the server speaks TLS itself."""
    made = Front(address, behind)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.connections += 1
        try:
            if context is not None:
                await writer.start_tls(context)
            await made.hand_on(reader, writer)
        except OSError:  # of TLS too
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.drop()


class Names:
    """A resolver that gives the next answer each time it is asked, and the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
