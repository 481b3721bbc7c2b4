"""Several real processes on one folder: deaths at every named step, races for one key, limits that the kernel sets."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drivers.local import child
from drivers.local.box import Box
from stow.drivers.local.disk import Step
from stow.drivers.local.driver import LocalDriver
from stow.errors import ObjectNotFoundError
from stow.storage.model import Marker, WriteOptions

WRITE = [
    Step.DATA_MOVED,
    Step.POINTER_PREPARED,
    Step.POINTER_PUBLISHED,
    Step.OLD_DATA_REMOVED,
]
UPLOAD = [Step.UPLOAD_OPENED, Step.BYTES_WRITTEN, Step.DATA_SYNCED, *WRITE]
STEPS = {
    "put": UPLOAD,
    "put-long": UPLOAD,
    "create-once": UPLOAD,
    "copy": [Step.DATA_LINKED, *WRITE],
    "delete": [Step.POINTER_REMOVED, Step.DATA_REMOVED],
    "create-container": [Step.MARKER_PREPARED, Step.CONTAINER_PREPARED, Step.CONTAINER_PUBLISHED],
    "delete-container": [Step.CONTAINER_RENAMED, Step.CONTAINER_REMOVED],
    "marker": [Step.MARKER_PREPARED],
}
CASES = [(scenario, step) for scenario, steps in STEPS.items() for step in steps]
PUBLISHED = {Step.POINTER_PUBLISHED, Step.OLD_DATA_REMOVED}
MARKER = Marker("i", "team", "box", "old")


async def start(base: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        child.__file__,
        str(base),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.fixture
async def full(make_driver: Callable[..., LocalDriver], tmp_path: Path) -> AsyncIterator[Box]:
    """Containers ``box`` (marked, objects ``k`` and ``source``) and ``empty``; the clock is an hour ahead of every file."""
    driver = make_driver(clock=lambda: datetime.now(UTC) + timedelta(hours=1))
    await driver.create_container("box", MARKER)
    await driver.create_container("empty", None)
    box = Box(driver, tmp_path)
    await box.put("k", child.OLD)
    await box.put("source", child.NEW)
    yield box
    await driver.aclose()


def test_every_named_step_is_one_where_a_process_dies() -> None:
    assert {step for _, step in CASES} == set(Step)


@pytest.mark.parametrize(("scenario", "step"), CASES)
async def test_a_process_killed_at_any_step_leaves_the_old_state_or_the_new_and_its_rest_is_swept(
    full: Box, scenario: str, step: Step
) -> None:
    process = await start(full.base, scenario, step)
    await process.communicate()
    assert process.returncode == -signal.SIGKILL
    await check_state(full, scenario, step)

    driver = full.driver
    await driver.sweep_orphans("box", older_than=timedelta(minutes=1))
    await driver.sweep_unfinished_containers(older_than=timedelta(minutes=1))
    await check_state(full, scenario, step)
    keys = await full.keys()
    assert len(full.names("data")) == len(keys)
    assert full.names("uploads") == []
    assert (await driver.container_contents("box")).uploads == 0
    assert all(not path.name.startswith(".") for path in (full.base / "team").iterdir())

    await full.put("k", b"works on")
    assert await full.get("k") == b"works on"


async def check_state(full: Box, scenario: str, step: Step) -> None:
    driver = full.driver
    new = step in PUBLISHED
    assert await full.get("source") == child.NEW
    match scenario:
        case "put" | "copy":
            assert await full.get("k") == (child.NEW if new else child.OLD)
        case "put-long" | "create-once":
            key = child.LONG_KEY if scenario == "put-long" else "fresh"
            assert (key in await full.keys()) == new
            if new:
                assert await full.get(key) == child.NEW
            else:
                with pytest.raises(ObjectNotFoundError):
                    await driver.head("box", key)
        case "delete":
            assert await full.keys() == ["source"]
        case "create-container":
            exists = step == Step.CONTAINER_PUBLISHED
            assert await driver.container_exists("second") == exists
            if exists:
                assert await driver.read_marker("second") == Marker("i", "team", "second", "uid")
        case "delete-container":
            assert not await driver.container_exists("empty")
        case "marker":
            assert await driver.read_marker("box") == MARKER


@pytest.mark.parametrize("scenario", ["race-create", "race-swap"])
async def test_one_of_sixteen_racers_in_four_processes_wins(full: Box, scenario: str) -> None:
    etag = (await full.driver.head("box", "k")).etag
    if scenario == "race-create":
        await full.driver.delete("box", "k", if_match=None)
    processes = [await start(full.base, scenario, etag) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    answers = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    outcomes = b"".join(out for out, _ in answers).decode().splitlines()
    won = [outcome for outcome in outcomes if outcome.startswith("won ")]
    assert len(outcomes) == 16
    assert outcomes.count("precondition_failed") == 15
    assert won == ["won " + (await full.driver.head("box", "k")).etag]
    assert len(full.names("data")) == 2
    assert full.names("uploads") == []


async def test_a_file_size_limit_of_the_kernel_fails_clearly_and_keeps_the_old_object(full: Box) -> None:
    process = await start(full.base, "limited")
    out, _ = await process.communicate()
    assert out.decode().startswith("backend_failed The disk of the local location is full (EFBIG)")
    assert await full.get("k") == child.OLD
    assert full.names("uploads") == []


async def test_a_folder_that_is_closed_to_the_process_is_denied_and_not_absent(full: Box) -> None:
    (full.base / "team").chmod(0)
    try:
        process = await start(full.base, "unprivileged")
        out, _ = await process.communicate()
    finally:
        (full.base / "team").chmod(0o700)
    assert out.split() == [b"access_denied"] * 3


async def test_a_live_upload_of_another_process_is_not_swept(
    full: Box, make_driver: Callable[..., LocalDriver]
) -> None:
    """The clock is an hour ahead: only the writer's lock protects the file."""
    other = make_driver(clock=lambda: datetime.now(UTC) + timedelta(hours=1))

    async def slow() -> AsyncIterator[bytes]:
        yield child.NEW
        swept = await other.sweep_orphans("box", older_than=timedelta(minutes=1))
        assert (swept.uploads, swept.data_files) == (0, 0)
        yield b"end"

    await full.driver.write("box", "k", slow(), size_bytes=None, options=WriteOptions())
    assert await full.get("k") == child.NEW + b"end"
