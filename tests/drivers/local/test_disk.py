"""The disk that is full, broken, closed to us or slow - through a fake of the disk port - and the sweep's own
decisions."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drivers.local.box import Box
from stow.drivers.local.disk import HostDisk, Step
from stow.drivers.local.driver import LocalDriver
from stow.drivers.local.faults import translate
from stow.drivers.local.folders import opened_container
from stow.drivers.local.roots import Root
from stow.drivers.local.sweep import sweep_container
from stow.drivers.local.threads import Threads
from stow.errors import (
    AccessDeniedError,
    BackendError,
    BackendFailedError,
    BackendThrottledError,
    BackendUnreachableError,
    IntegrityError,
    InvalidKeyError,
    NotFoundError,
    StowError,
    WriteOutcomeUnknownError,
)
from stow.storage.model import CopyOptions, WriteOptions

Make = Callable[..., LocalDriver]


class FakeDisk(HostDisk):
    """Counts syncs, writes little at a time, and fails with ``fails_with`` at the given number of a call."""

    def __init__(self) -> None:
        self.synced: Counter[str] = Counter()
        self.fails: dict[str, tuple[int, int]] = {}
        self.most_bytes = 1 << 30

    def _count_down(self, call: str) -> None:
        if call in self.fails:
            left, code = self.fails[call]
            if left == 0:
                raise OSError(code, os.strerror(code), "/secret/path")
            self.fails[call] = (left - 1, code)

    def write(self, fd: int, data: memoryview) -> int:
        self._count_down("write")
        return super().write(fd, data[: self.most_bytes])

    def link(self, name: str, new_name: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        self._count_down("link")
        super().link(name, new_name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def fsync(self, fd: int) -> None:
        self._count_down("fsync")
        name = Path(f"/proc/self/fd/{fd}").readlink().name
        self.synced["data file" if len(name) == 32 else name.split(".")[-1]] += 1
        super().fsync(fd)


@pytest.fixture
def disk() -> FakeDisk:
    return FakeDisk()


@pytest.fixture
async def faked(make_driver: Make, disk: FakeDisk, tmp_path: Path) -> Box:
    driver = make_driver(disk=disk, clock=lambda: datetime.now(UTC) + timedelta(hours=1))
    await driver.create_container("box", None)
    disk.synced.clear()
    return Box(driver, tmp_path)


async def test_a_write_syncs_data_pointer_and_both_folders(faked: Box, disk: FakeDisk) -> None:
    await faked.put("k", b"x")
    assert disk.synced == {"data file": 1, "data": 1, "tmp": 1, "pointers": 1}


async def test_a_delete_syncs_the_folder(faked: Box, disk: FakeDisk) -> None:
    await faked.put("k", b"x")
    disk.synced.clear()
    await faked.driver.delete("box", "k", if_match=None)
    assert disk.synced == {"pointers": 1}


async def test_a_delete_that_the_disk_does_not_confirm_is_of_unknown_outcome(faked: Box, disk: FakeDisk) -> None:
    await faked.put("k", b"x")
    disk.fails = {"fsync": (0, errno.EIO)}
    with pytest.raises(WriteOutcomeUnknownError):
        await faked.driver.delete("box", "k", if_match="*")


async def test_a_disk_that_writes_a_little_at_a_time_stores_all(faked: Box, disk: FakeDisk) -> None:
    disk.most_bytes = 7
    await faked.put("k", b"0123456789" * 10)
    assert await faked.get("k") == b"0123456789" * 10


@pytest.mark.parametrize(
    ("call", "number", "code", "error"),
    [
        ("write", 0, errno.ENOSPC, BackendFailedError),
        ("write", 2, errno.EDQUOT, BackendFailedError),
        ("write", 3, errno.ENOSPC, BackendFailedError),
        ("fsync", 0, errno.EIO, BackendFailedError),
        ("fsync", 1, errno.ENOSPC, BackendFailedError),
        ("fsync", 2, errno.EIO, BackendFailedError),
        ("fsync", 3, errno.EIO, WriteOutcomeUnknownError),
    ],
)
async def test_a_disk_that_fails_keeps_the_old_object_and_no_rest(
    faked: Box, disk: FakeDisk, call: str, number: int, code: int, error: type[StowError]
) -> None:
    await faked.put("k", b"old")
    disk.fails = {call: (number, code)}
    with pytest.raises(error) as caught:
        await faked.put("k", b"n" * 900_000)
    assert type(caught.value) is error
    assert "/secret" not in str(caught.value)
    disk.fails = {}
    published = error is WriteOutcomeUnknownError
    assert await faked.get("k") == (b"n" * 900_000 if published else b"old")
    assert faked.names("uploads") == []
    await faked.driver.sweep_orphans("box", older_than=timedelta(minutes=1))
    assert len(faked.names("data")) == 1


async def test_a_container_that_cannot_be_made_leaves_nothing(faked: Box, disk: FakeDisk) -> None:
    disk.fails = {"write": (0, errno.ENOSPC)}
    with pytest.raises(BackendFailedError, match="full"):
        await faked.driver.create_container("second", None)
    assert [path.name for path in (faked.base / "team").iterdir()] == ["box"]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.EACCES, AccessDeniedError),
        (errno.EPERM, AccessDeniedError),
        (errno.EROFS, AccessDeniedError),
        (errno.ENOSPC, BackendFailedError),
        (errno.EIO, BackendFailedError),
        (errno.ESTALE, BackendUnreachableError),
        (errno.EMFILE, BackendThrottledError),
        (errno.ENAMETOOLONG, InvalidKeyError),
        (errno.ELOOP, IntegrityError),
        (errno.ENOENT, IntegrityError),
        *((code, BackendError) for code in (errno.EBADF, errno.EINVAL, errno.EBUSY)),
    ],
)
def test_each_failure_of_the_system_has_its_error(code: int, error: type[StowError]) -> None:
    found = translate(OSError(code, "text of the system", "/secret/path"))
    assert isinstance(found, error)
    assert "secret" not in found.message
    assert "text of" not in found.message


def test_no_failure_of_the_system_reads_as_absent() -> None:
    for code in errno.errorcode:
        assert not isinstance(translate(OSError(code, "x")), NotFoundError)


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP])
async def test_a_copy_that_cannot_link_copies_the_bytes(faked: Box, disk: FakeDisk, code: int) -> None:
    await faked.put("a", b"data")
    disk.fails = {"link": (0, code)}
    copied = await faked.driver.copy(("box", "a"), ("box", "b"), CopyOptions())
    assert await faked.get("b") == b"data"
    assert (faked.folder / "data" / copied.etag).stat().st_nlink == 1


async def test_a_young_orphan_stays_and_an_old_one_goes(faked: Box) -> None:
    await faked.put("k", b"kept")
    for part in ("data", "uploads"):
        (faked.folder / part / ("0" * 32)).write_bytes(b"orphan")
    (faked.folder / "uploads" / "x.tmp").write_bytes(b"rest")
    young = await faked.driver.sweep_orphans("box", older_than=timedelta(hours=2))
    assert (young.uploads, young.data_files) == (0, 0)
    old = await faked.driver.sweep_orphans("box", older_than=timedelta(minutes=1))
    assert (old.uploads, old.data_files) == (2, 1)
    assert await faked.get("k") == b"kept"


async def test_while_a_pointer_is_damaged_no_data_file_is_swept(faked: Box) -> None:
    await faked.put("k", b"kept")
    pointer = faked.folder / "pointers" / "k.p"
    content = pointer.read_bytes()
    pointer.write_bytes(b"")
    swept = await faked.driver.sweep_orphans("box", older_than=timedelta(minutes=1))
    assert (swept.data_files, swept.damaged_pointers) == (0, 1)
    pointer.write_bytes(content)
    assert await faked.get("k") == b"kept"


async def test_what_is_published_while_the_sweep_looks_is_kept(faked: Box) -> None:
    """The pointer appears after the first look at the pointers has begun; only the second one sees it."""
    await faked.put("other", b"x")
    await faked.put("k", b"kept")
    pointer, aside = faked.folder / "pointers" / "k.p", faked.base / "aside"
    pointer.rename(aside)

    class Publishing(threading.Event):
        def is_set(self) -> bool:
            if aside.exists():
                aside.rename(pointer)
            return False

    with opened_container(Root.of(faked.base / "team", faked.base), "box") as folder:
        later_s = (datetime.now(UTC) + timedelta(hours=1)).timestamp()
        swept = sweep_container(folder, before_s=later_s, gone=Publishing())
    assert swept.data_files == 0
    assert await faked.get("k") == b"kept"


async def test_the_sweep_removes_empty_folders_of_long_keys_only(faked: Box) -> None:
    kept, gone = "a" * 600, "b" * 600
    await faked.put(kept, b"x")
    await faked.put(gone, b"x")
    await faked.driver.delete("box", gone, if_match=None)
    swept = await faked.driver.sweep_orphans("box", older_than=timedelta(minutes=1))
    assert swept.folders == 2
    assert await faked.keys() == [kept]
    assert faked.names("pointers") == ["a" * 240 + "+"]


async def test_the_copy_of_an_old_object_is_safe_from_a_sweep(faked: Box, make_driver: Make, tmp_path: Path) -> None:
    """Its second name has the age of the first one; the lock of the copier tells that it is alive."""
    await faked.put("a", b"data")

    class SweepingDisk(HostDisk):
        def reached(self, step: Step) -> None:
            if step in {Step.DATA_LINKED, Step.DATA_MOVED, Step.POINTER_PREPARED}:
                asyncio.run_coroutine_threadsafe(sweep(), loop).result(10)

    async def sweep() -> None:
        assert (await faked.driver.sweep_orphans("box", older_than=timedelta(minutes=1))).uploads == 0

    loop = asyncio.get_running_loop()
    copier = make_driver(disk=SweepingDisk())
    await copier.copy(("box", "a"), ("box", "b"), CopyOptions())
    assert await faked.get("b") == b"data"


async def test_a_cancelled_step_is_waited_for_and_undone() -> None:
    threads = Threads(workers=1, lock_timeout_s=1)
    entered, leave = threading.Event(), threading.Event()
    undone: list[str] = []

    def step() -> str:
        entered.set()
        leave.wait(10)
        return "opened"

    task = asyncio.create_task(threads.run(step, undo=undone.append))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert undone == ["opened"]
    threads.close()


async def test_a_step_that_hangs_lets_its_cancelled_caller_go_and_is_undone_when_it_ends() -> None:
    threads = Threads(workers=1, lock_timeout_s=1, settle_timeout_s=0.01)
    entered, leave, undone = threading.Event(), threading.Event(), threading.Event()

    def step() -> str:
        entered.set()
        leave.wait(10)
        return "opened"

    task = asyncio.create_task(threads.run(step, undo=lambda _: undone.set()))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not undone.is_set()
    leave.set()
    assert await asyncio.to_thread(undone.wait, 10)
    threads.close()


async def test_a_cancelled_step_that_did_not_begin_never_does() -> None:
    threads = Threads(workers=1, lock_timeout_s=1)
    leave = threading.Event()
    ran: list[str] = []
    first = asyncio.create_task(threads.run(lambda: leave.wait(10)))
    second = asyncio.create_task(threads.run(lambda: ran.append("second")))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    leave.set()
    await first
    assert ran == []
    threads.close()


async def test_a_cancelled_listing_stops_in_the_middle(box: Box) -> None:
    pointers = box.folder / "pointers"
    for n in range(3000):
        (pointers / f"k{n}.p").touch()
    task = asyncio.create_task(box.driver.list("box", prefix="", delimiter=None, limit=1, token=None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_write_during_a_slow_sync_leaves_nothing(make_driver: Make, tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    class SlowDisk(HostDisk):
        def reached(self, step: Step) -> None:
            if step == Step.DATA_SYNCED:
                entered.set()
                leave.wait(10)

    driver = make_driver(disk=SlowDisk())
    await driver.create_container("box", None)
    box = Box(driver, tmp_path)
    task = asyncio.create_task(box.put("k", b"x"))
    await asyncio.to_thread(entered.wait, 10)
    task.cancel()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert box.names("uploads") == box.names("data") == []


async def test_the_event_loop_runs_on_while_the_disk_is_slow(make_driver: Make, tmp_path: Path) -> None:
    leave = threading.Event()

    class SlowDisk(HostDisk):
        def reached(self, step: Step) -> None:
            if step == Step.BYTES_WRITTEN:
                leave.wait(10)

    driver = make_driver(disk=SlowDisk())
    await driver.create_container("box", None)
    task = asyncio.create_task(Box(driver, tmp_path).put("k", b"x"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not task.done()
    leave.set()
    await task


async def test_a_closed_driver_fails_and_an_upload_in_it_leaves_nothing(box: Box) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        await box.driver.aclose()
        yield b"y" * 300_000

    with pytest.raises(BackendFailedError):
        await box.driver.write("box", "k", body(), size_bytes=600_000, options=WriteOptions())
    assert box.names("uploads") == []
    with pytest.raises(BackendFailedError):
        await box.driver.head("box", "k")
