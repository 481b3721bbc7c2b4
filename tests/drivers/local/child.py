"""A process of its own on a local folder: ``python child.py <base> <scenario> [<argument>]``.

With a step as argument it dies there by SIGKILL, as a power cut or the OOM killer would have it. ``race-*`` scenarios
say ``ready``, wait for a line on stdin, run four writers at once and print the outcome of each.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from stow.drivers.local.disk import HostDisk, Step
from stow.drivers.local.driver import LocalDriver
from stow.errors import StowError
from stow.storage.model import CopyOptions, Marker, WriteOptions

OLD, NEW = b"o" * 300_000, b"n" * 300_000
LONG_KEY = "long/" * 100


class DyingDisk(HostDisk):
    """Kills its process at one step."""

    def __init__(self, step: str) -> None:
        self._step = step

    def reached(self, step: Step) -> None:
        if step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


async def body(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def put(driver: LocalDriver, key: str, data: bytes, options: WriteOptions | None = None) -> str:
    written = await driver.write("box", key, body(data), size_bytes=len(data), options=options or WriteOptions())
    return written.etag


async def one(driver: LocalDriver, scenario: str) -> None:
    match scenario:
        case "put":
            await put(driver, "k", NEW)
        case "put-long":
            await put(driver, LONG_KEY, NEW)
        case "create-once":
            await put(driver, "fresh", NEW, WriteOptions(if_none_match=True))
        case "delete":
            await driver.delete("box", "k", if_match=None)
        case "copy":
            await driver.copy(("box", "source"), ("box", "k"), CopyOptions())
        case "create-container":
            await driver.create_container("second", Marker("i", "team", "second", "uid"))
        case "delete-container":
            await driver.delete_container("empty")
        case "marker":
            await driver.write_marker("box", Marker("i", "team", "box", "new"))
        case _:
            raise ValueError(scenario)


async def race(driver: LocalDriver, scenario: str, argument: str) -> None:
    print("ready", flush=True)  # noqa: T201  the parent reads it
    await asyncio.to_thread(sys.stdin.readline)
    options = WriteOptions(if_none_match=True) if scenario == "race-create" else WriteOptions(if_match=argument)

    async def attempt() -> str:
        try:
            return "won " + await put(driver, "k", NEW, options)
        except StowError as exc:
            return exc.code

    for outcome in await asyncio.gather(*(attempt() for _ in range(4))):
        print(outcome, flush=True)  # noqa: T201


async def main(base: Path, scenario: str, argument: str) -> None:
    disk = DyingDisk(argument) if argument in set(Step) else None
    driver = LocalDriver(root=base / "team", base=base, clock=lambda: datetime.now(UTC), disk=disk)
    if scenario.startswith("race-"):
        await race(driver, scenario, argument)
    elif scenario == "unprivileged":
        if os.getuid() == 0:
            os.setuid(65534)
        for call in (driver.probe(None), driver.create_container("second", None), driver.container_exists("box")):
            try:
                print(await call)  # noqa: T201
            except StowError as exc:
                print(exc.code)  # noqa: T201
    elif scenario == "limited":
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            await put(driver, "k", NEW)
        except StowError as exc:
            print(exc.code, exc.message)  # noqa: T201
    else:
        await one(driver, scenario)
    await driver.aclose()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else ""))
