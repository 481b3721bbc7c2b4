"""Real: the driver, the file system below pytest's temporary folder, other processes, signals. Fake: the clock, and -
where a test says so - the disk port, to count syncs, to run out of space or to die at a named step. Asserted: what
readers see, and what is left on the disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from drivers.local.box import NOW, Box
from stow.drivers.local.driver import LocalDriver


@pytest.fixture
def make_driver(tmp_path: Path) -> Callable[..., LocalDriver]:
    def make(**more: object) -> LocalDriver:
        settings = {"root": tmp_path / "team", "base": tmp_path, "clock": lambda: NOW} | more
        return LocalDriver(**settings)  # type: ignore[arg-type]  # a test passes what the constructor takes

    return make


@pytest.fixture
async def box(make_driver: Callable[..., LocalDriver], tmp_path: Path) -> AsyncIterator[Box]:
    driver = make_driver()
    await driver.create_container("box", None)
    yield Box(driver, tmp_path)
    await driver.aclose()
