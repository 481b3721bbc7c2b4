"""The command ``stow`` as a process, and bare servers for it to meet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import stow
from gateway.world import World

DEADLINE_S = 60.0
"""Far above what anything here takes, on a machine that compiles beside it."""
SOURCE = str(Path(stow.__file__).parents[1])


@dataclass(frozen=True, slots=True)
class Done:
    """What a run left behind."""

    code: int
    output: bytes
    error: str

    @property
    def text(self) -> str:
        return self.output.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.output)


@dataclass(frozen=True, slots=True)
class Stow:
    """Runs the command in an environment that holds nothing but what it is told."""

    home: Path
    variables: Mapping[str, str]

    def told(self, **variables: str) -> Stow:
        return replace(self, variables={**self.variables, **variables})

    @property
    def environment(self) -> dict[str, str]:
        fixed = {"PATH": os.environ["PATH"], "HOME": str(self.home), "PYTHONPATH": SOURCE}
        return {**fixed, **self.variables}

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "stow.cli.main", *arguments]

    async def run(self, *arguments: str, stdin: bytes = b"") -> Done:
        async with self.started(*arguments, stdin=asyncio.subprocess.PIPE) as process, asyncio.timeout(DEADLINE_S):
            output, error = await process.communicate(stdin)
            return done(process, output, error)

    @asynccontextmanager
    async def started(
        self,
        *arguments: str,
        stdin: int = asyncio.subprocess.DEVNULL,
        stdout: int = asyncio.subprocess.PIPE,
        stderr: int = asyncio.subprocess.PIPE,
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *self.argv(*arguments), env=self.environment, cwd=self.home, stdin=stdin, stdout=stdout, stderr=stderr
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            if process.stdin is not None:
                process.stdin.close()
                with contextlib.suppress(ConnectionError):
                    await process.stdin.wait_closed()

    async def interrupted(
        self, process: asyncio.subprocess.Process, when: Callable[[], Awaitable[object]], number: int = signal.SIGINT
    ) -> Done:
        """Send a signal once ``when`` holds; the end of the process. Its standard input stays open."""
        async with asyncio.timeout(DEADLINE_S):
            await when()
            process.send_signal(number)
            assert process.stdout is not None
            assert process.stderr is not None
            output, error = await asyncio.gather(process.stdout.read(), process.stderr.read())
            await process.wait()
            return done(process, output, error)


def done(process: asyncio.subprocess.Process, output: bytes, error: bytes) -> Done:
    text = error.decode()
    assert "Traceback" not in text, text
    assert "Exception ignored" not in text, text
    assert process.returncode is not None
    return Done(process.returncode, output, text)


async def plant(world: World, key: str, data: bytes = b"data", container: str = "reports-bucket") -> None:
    """Store an object behind the gateway's back."""
    from stow.storage.model import WriteOptions

    async def body() -> AsyncIterator[bytes]:
        if data:
            yield data

    await world.driver.write(container, key, body(), size_bytes=len(data), options=WriteOptions())


@asynccontextmanager
async def answering(
    *parts: bytes, hold: asyncio.Event | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers every connection's first request with these bytes and cuts it. Yields its URL and the request heads."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            for part in parts:
                writer.write(part)
                await writer.drain()
            if hold is not None:
                await hold.wait()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    finally:
        if hold is not None:
            hold.set()
        server.close()
        await server.wait_closed()


def http(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """An answer, byte for byte; ``length`` is announced in place of the body's own."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body
