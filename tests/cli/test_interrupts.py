"""Ctrl-C, SIGTERM and readers that go away: the command ends at once, with its code, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import termios
from pathlib import Path

import pytest

from cli.command import DEADLINE_S, Stow, answering, http, plant
from gateway.world import World, until

SIGNALS = [(signal.SIGINT, 130, "stow: interrupted\n"), (signal.SIGTERM, 143, "")]


@pytest.mark.parametrize(("number", "code", "said"), SIGNALS)
async def test_a_download_that_is_stopped_leaves_the_old_file_alone(
    stow: Stow, tmp_path: Path, number: int, code: int, said: str
) -> None:
    (tmp_path / "token").write_text("t")
    (stow.home / "out").write_bytes(b"old")
    async with answering(http("200 OK", b"x" * 600_000, length=1_000_000), hold=asyncio.Event()) as (url, _):
        told = stow.told(STOW_SERVER=url, STOW_TOKEN_FILE=str(tmp_path / "token"), STOW_NAMESPACE="team")
        async with told.started("cat", "reports/k", "-o", "out") as process:
            done = await told.interrupted(
                process, lambda: until(lambda: len(list(told.home.iterdir())) == 2, timeout_s=DEADLINE_S), number
            )

    assert (done.code, done.error) == (code, said)
    assert {each.name: each.read_bytes() for each in told.home.iterdir()} == {"out": b"old"}


@pytest.mark.parametrize(("number", "code", "said"), SIGNALS)
async def test_an_upload_that_is_stopped_stores_nothing(
    world: World, cli: Stow, tmp_path: Path, number: int, code: int, said: str
) -> None:
    await plant(world, "k", b"old")
    (tmp_path / "file").write_bytes(bytes(30_000_000))
    world.driver.reached.clear()
    world.driver.stop.add("part")

    async with cli.started("put", str(tmp_path / "file"), "reports/k") as process:
        done = await cli.interrupted(
            process, lambda: until(lambda: "part" in world.driver.reached, timeout_s=DEADLINE_S), number
        )
    world.driver.stop.clear()
    world.driver.gate.set()  # the backend takes what came, and the end that is no end
    await until(lambda: bool(world.audit))

    assert (done.code, done.error) == (code, said)
    assert world.bytes_of("k") == b"old"


async def test_ctrl_c_does_not_wait_for_a_standard_input_that_says_nothing(world: World, cli: Stow) -> None:
    async with cli.started("put", "-", "reports/k", stdin=asyncio.subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(bytes(1_000_000))
        done = await cli.interrupted(
            process, lambda: until(lambda: "part" in world.driver.reached, timeout_s=DEADLINE_S)
        )

    assert (done.code, done.error) == (130, "stow: interrupted\n")
    await until(lambda: "whole-write" in world.driver.cancelled)
    assert world.bytes_of("k") is None


async def test_ctrl_c_does_not_wait_for_a_reader_that_takes_nothing(world: World, cli: Stow) -> None:
    await plant(world, "k", bytes(5_000_000))
    ours, theirs = os.pipe()
    capacity = fcntl.fcntl(ours, fcntl.F_GETPIPE_SZ)
    try:
        async with cli.started("cat", "reports/k", stdout=theirs) as process:
            await until(lambda: _waiting_bytes(ours) == capacity, timeout_s=DEADLINE_S)
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(DEADLINE_S):
                await process.wait()
    finally:
        os.close(ours)
        os.close(theirs)

    assert process.returncode == 130


def _waiting_bytes(descriptor: int) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))
    return int(count)


@pytest.mark.parametrize("verb", ["cat reports/k", "ls -r reports"])
async def test_a_reader_that_goes_away_ends_it_without_a_word(world: World, cli: Stow, verb: str) -> None:
    for number in range(1000):
        await plant(world, f"{'long-key/' * 20}{number}", b"")
    await plant(world, "k", bytes(5_000_000))
    command = f"set -o pipefail; {' '.join(cli.argv())} {verb} | head -c 1 > /dev/null"

    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, env=cli.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE_S):
        _, error = await process.communicate()

    assert (process.returncode, error) == (1, b"")
