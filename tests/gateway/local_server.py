"""A gateway over the local driver, as a process of its own, so that its memory can be measured. ``python local_server.py FOLDER``
prints the port, then serves until its standard input ends."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway.world import World
from stow.drivers.local.driver import LocalDriver
from stow.storage.model import Marker


async def main(folder: Path) -> None:
    world = World()
    driver = LocalDriver(root=folder / "team" / "main", base=folder, clock=world.clock)
    store = world.location(driver=driver)
    await store.create_container("reports-bucket", marker=Marker("test", "team", "reports", "uid-team-reports"))
    await world.container(create=False)
    async with world.serving():
        print(world.port, flush=True)  # noqa: T201 - what the parent waits for
        await asyncio.to_thread(sys.stdin.read)
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
