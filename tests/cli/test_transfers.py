"""Large objects pass through in little memory; checksums go along with files; local ends are what they were."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cli.command import DEADLINE_S, Stow, answering, http
from gateway.world import World, until
from stow.cli.exits import CommandError, Exit
from stow.cli.transfer import opened_source, to_file

MIB = 1024 * 1024
LARGE_BYTES = 256 * MIB
PEAK = (
    "import sys\n"
    "from stow.cli.main import main\n"
    "try: main()\n"
    "finally: print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1], file=sys.stderr)\n"
)


@asynccontextmanager
async def bulk() -> AsyncIterator[tuple[str, list[int]]]:
    """A server that takes any upload, noting its size, and serves as many zeros as the key says."""
    taken: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if head.startswith("PUT"):
                size = int(head.split("Content-Length: ")[1].split("\r\n")[0])
                rest = size
                while rest:
                    rest -= len(await reader.read(min(rest, MIB)))
                taken.append(size)
                writer.write(http("200 OK", b"", 'ETag: "e"'))
            else:
                rest = int(head.split("key=")[1].split(" ")[0])
                writer.write(http("200 OK", length=rest))
                while rest:
                    writer.write(bytes(min(rest, MIB)))
                    rest -= min(rest, MIB)
                    await writer.drain()
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", taken


@pytest.mark.parametrize("verb", ["put", "cat"])
async def test_a_large_object_takes_no_more_memory_than_a_small_one(stow: Stow, tmp_path: Path, verb: str) -> None:
    (tmp_path / "token").write_text("t")
    peaks = {}
    async with bulk() as (url, taken):
        told = stow.told(STOW_SERVER=url, STOW_TOKEN_FILE=str(tmp_path / "token"), STOW_NAMESPACE="n")
        for size in (MIB, LARGE_BYTES):
            with (tmp_path / "file").open("wb") as file:
                file.truncate(size)
            words = ["put", str(tmp_path / "file"), "c/k"] if verb == "put" else ["cat", f"c/{size}", "-o", "/dev/null"]
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", PEAK, *words, env=told.environment, stdout=-1, stderr=-1
            )
            async with asyncio.timeout(DEADLINE_S):
                output, error = await process.communicate()
            assert process.returncode == 0, (output, error)
            peaks[size] = int(error.split()[-1]) * 1024

    assert taken == ([MIB, LARGE_BYTES] if verb == "put" else [])
    assert peaks[LARGE_BYTES] - peaks[MIB] < 32 * MIB


@pytest.mark.parametrize(("option", "sent"), [("--checksum", True), ("--no-checksum", False)])
async def test_the_checksum_of_a_file_goes_along_unless_it_is_not_wanted(
    stow: Stow, tmp_path: Path, option: str, sent: bool
) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "file").write_bytes(b"data")
    md5 = b64encode(hashlib.md5(b"data").digest())
    async with answering(http("200 OK", b"", 'ETag: "e"')) as (url, heads):
        told = stow.told(STOW_SERVER=url, STOW_TOKEN_FILE=str(tmp_path / "token"), STOW_NAMESPACE="n")
        done = await told.run("put", str(tmp_path / "file"), "c/k", option)

    assert done.code == 0
    assert (b"Content-MD5: " + md5 in heads[0], b"Content-MD5" in heads[0]) == (sent, sent)


async def test_a_file_that_changes_after_its_checksum_was_taken_stores_nothing(
    world: World, cli: Stow, tmp_path: Path
) -> None:
    """Same size, other bytes: only the checksum can tell."""
    (tmp_path / "file").write_bytes(bytes(30 * MIB))
    world.driver.stop.add("part")

    async with cli.started("put", str(tmp_path / "file"), "reports/k") as process:
        await until(lambda: "part" in world.driver.reached, timeout_s=DEADLINE_S)
        with (tmp_path / "file").open("r+b") as file:
            file.seek(29 * MIB)
            file.write(b"changed")
        world.driver.stop.clear()
        world.driver.gate.set()
        output, error = await process.communicate()

    assert (process.returncode, output) == (1, b""), error
    assert world.bytes_of("k") is None


async def test_the_last_bytes_are_held_back_until_the_end_is_seen(tmp_path: Path) -> None:
    """What was announced must not be complete before it is known to be all: the receiver would store it."""
    path = tmp_path / "file"
    path.write_bytes(b"1234")
    sent: list[bytes] = []

    async def send(chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            sent.append(chunk)  # noqa: PERF401 - what came before the failure counts

    with opened_source(str(path)) as source:
        with path.open("ab") as file:
            file.write(b"5")
        with pytest.raises(CommandError, match="changed its size"):
            await send(source.chunks())

    assert sent == []


async def test_a_file_whose_name_is_as_long_as_a_name_may_be_is_written(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"data"

    assert await to_file(chunks(), tmp_path / ("n" * 255)) == 4
    assert [len(each.name) for each in tmp_path.iterdir()] == [255]


async def test_a_failure_while_a_file_is_written_leaves_nothing(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"data"
        raise CommandError("cut", exit_code=Exit.FAILED)

    with pytest.raises(CommandError):
        await to_file(chunks(), tmp_path / "out")

    assert list(tmp_path.iterdir()) == []
