"""The life of containers, and what is none of ours: foreign folders, symbolic links, paths that lead out."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from drivers.local.box import NOW, Box
from stow.drivers.local.driver import LocalDriver
from stow.drivers.local.roots import resolve_root
from stow.errors import (
    AccessDeniedError,
    BackendTimeoutError,
    BackendUnreachableError,
    ContainerNotEmptyError,
    ContainerNotFoundError,
    ContainerTakenError,
    IntegrityError,
    InvalidContainerNameError,
    InvalidSpecError,
)
from stow.storage.model import Marker, WriteOptions

MARKER = Marker("inst", "team", "box", "uid", "nonce")
Make = Callable[..., LocalDriver]
Call = Callable[[], Awaitable[object]]


async def test_the_marker_comes_with_the_container_and_can_change(make_driver: Make) -> None:
    driver = make_driver()
    assert not await driver.container_exists("box")
    await driver.create_container("box", MARKER)
    assert await driver.container_exists("box")
    assert await driver.read_marker("box") == MARKER
    await driver.write_marker("box", None)
    await driver.write_marker("box", None)
    assert await driver.read_marker("box") is None
    await driver.write_marker("box", MARKER)
    assert await make_driver().read_marker("box") == MARKER
    with pytest.raises(ContainerNotFoundError):
        await driver.read_marker("gone")
    with pytest.raises(ContainerNotFoundError):
        await driver.write_marker("gone", MARKER)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"installation":1}', b'{"x":"y"}', b"\xff"])
async def test_a_damaged_marker_is_not_a_missing_one(box: Box, content: bytes) -> None:
    (box.folder / "marker.json").write_bytes(content)
    with pytest.raises(IntegrityError):
        await box.driver.read_marker("box")


async def test_one_of_sixteen_racers_creates_the_container(make_driver: Make, tmp_path: Path) -> None:
    drivers = [make_driver() for _ in range(4)]
    markers = [Marker("inst", "team", "box", f"uid-{n}") for n in range(16)]
    creating = [drivers[n % 4].create_container("box", marker) for n, marker in enumerate(markers)]
    results = await asyncio.gather(*creating, return_exceptions=True)
    won = [marker for marker, result in zip(markers, results, strict=True) if result is None]
    assert sum(isinstance(result, ContainerTakenError) for result in results) == 15
    assert [await drivers[0].read_marker("box")] == won
    assert [path.name for path in (tmp_path / "team").iterdir()] == ["box"]


async def test_only_an_empty_container_is_deleted_and_absent_is_success(box: Box) -> None:
    await box.put("k", b"x")
    with pytest.raises(ContainerNotEmptyError):
        await box.driver.delete_container("box")
    assert await box.get("k") == b"x"
    await box.driver.delete("box", "k", if_match=None)
    await box.driver.delete_container("box")
    await box.driver.delete_container("box")
    assert list((box.base / "team").iterdir()) == []


async def test_contents_are_counted_up_to_a_page(box: Box) -> None:
    pointers = box.folder / "pointers"
    for n in range(1001):
        (pointers / f"k{n}.p").touch()
    found = await box.driver.container_contents("box")
    assert (found.objects, found.truncated, found.empty) == (1000, True, False)


async def test_a_write_that_meets_a_delete_is_kept_or_refused_never_lost(make_driver: Make) -> None:
    writer, deleter = make_driver(), make_driver()
    kept = 0
    for turn in range(40):
        await writer.create_container("box", None)

        async def body(wait: int) -> AsyncIterator[bytes]:
            for _ in range(wait):
                await asyncio.sleep(0)
            yield b"data"

        async def remove(wait: int) -> None:
            for _ in range(wait):
                await asyncio.sleep(0.0005)
            await deleter.delete_container("box")

        written, removed = await asyncio.gather(
            writer.write("box", "k", body(turn), size_bytes=4, options=WriteOptions()),
            remove(turn % 8),
            return_exceptions=True,
        )
        if isinstance(written, BaseException):
            assert isinstance(written, ContainerNotFoundError)
            assert removed is None
            assert not await writer.container_exists("box")
        else:
            assert isinstance(removed, ContainerNotEmptyError)
            assert (await deleter.head("box", "k")).size_bytes == 4
            kept += 1
            await deleter.delete("box", "k", if_match=None)
            await deleter.delete_container("box")
    assert kept > 0


async def test_a_delete_waits_for_no_upload_but_refuses(box: Box, make_driver: Make) -> None:
    other = make_driver()

    async def body() -> AsyncIterator[bytes]:
        yield b"data"
        with pytest.raises(ContainerNotEmptyError):
            await other.delete_container("box")
        yield b"more"

    await box.driver.write("box", "k", body(), size_bytes=8, options=WriteOptions())
    assert await box.get("k") == b"datamore"


async def test_a_lock_that_another_process_keeps_ends_in_a_timeout_and_leaves_nothing(make_driver: Make) -> None:
    driver = make_driver(lock_timeout_s=0.05)
    await driver.create_container("box", None)
    box = Box(driver, driver_base(driver))

    with (box.folder / "stow-container-v1").open() as kept:
        fcntl.flock(kept, fcntl.LOCK_EX)
        with pytest.raises(BackendTimeoutError):
            await box.put("k", b"x")
    assert box.names("uploads") == box.names("data") == []
    await box.put("k", b"x")


def driver_base(driver: LocalDriver) -> Path:
    return Path(driver.identity.removeprefix("file://")).parent


@pytest.mark.parametrize("content", [[], ["file"]])
async def test_a_foreign_folder_is_no_container_and_stays_as_it_is(box: Box, content: list[str]) -> None:
    foreign = box.base / "team" / "foreign"
    foreign.mkdir()
    for name in content:
        (foreign / name).write_text("theirs")
    assert not await box.driver.container_exists("foreign")
    with pytest.raises(ContainerTakenError):
        await box.driver.create_container("foreign", MARKER)
    with pytest.raises(ContainerNotFoundError, match="not a container"):
        await box.driver.read_marker("foreign")
    await box.driver.delete_container("foreign")
    assert sorted(path.name for path in foreign.iterdir()) == content


@pytest.mark.parametrize("name", ["..", ".", "../box", "/etc", "a/b", ".new-x", "box\0", "", "..box"])
async def test_a_name_that_leads_elsewhere_reaches_no_file(box: Box, name: str) -> None:
    calls: list[Call] = [
        lambda: box.driver.create_container(name, None),
        lambda: box.driver.container_exists(name),
        lambda: box.driver.delete_container(name),
        lambda: box.driver.head(name, "k"),
    ]
    for call in calls:
        with pytest.raises(InvalidContainerNameError):
            await call()


async def test_a_symbolic_link_planted_as_container_is_not_followed(box: Box, tmp_path: Path) -> None:
    await box.put("k", b"x")
    (box.base / "team" / "link").symlink_to(box.folder)
    assert not await box.driver.container_exists("link")
    with pytest.raises(ContainerNotFoundError):
        await box.driver.head("link", "k")
    with pytest.raises(ContainerTakenError):
        await box.driver.create_container("link", None)
    await box.driver.delete_container("link")
    assert await box.get("k") == b"x"


@pytest.mark.parametrize("part", ["pointers", "data", "uploads", "locks"])
async def test_a_symbolic_link_planted_as_part_of_a_container_is_not_followed(box: Box, part: str) -> None:
    await box.put("k", b"x")
    outside = box.base / "outside"
    (box.folder / part).rename(outside)
    (box.folder / part).symlink_to(outside)
    before = sorted(outside.iterdir())
    with pytest.raises(IntegrityError):
        await box.put("k", b"y")
    assert sorted(outside.iterdir()) == before


async def test_planted_files_are_never_read_as_objects(box: Box) -> None:
    secret = box.base / "secret"
    secret.write_text("secret")
    pointers, data = box.folder / "pointers", box.folder / "data"
    (pointers / "link.p").symlink_to(secret)
    os.mkfifo(pointers / "pipe.p")
    (pointers / "folder.p").mkdir()
    for key in ("link", "pipe", "folder"):
        with pytest.raises(IntegrityError):
            await box.driver.head("box", key)
    assert await box.keys() == []
    await box.put("k", b"six456")
    version = box.names("data")[0]
    (data / version).unlink()
    (data / version).symlink_to(secret)
    with pytest.raises(IntegrityError):
        await box.get("k")


async def test_data_of_another_size_than_written_is_damage(box: Box) -> None:
    await box.put("k", b"x")
    (box.folder / "data" / box.names("data")[0]).write_bytes(b"longer")
    with pytest.raises(IntegrityError):
        await box.get("k")


async def test_a_pointer_that_was_renamed_to_another_key_is_damage(box: Box) -> None:
    await box.put("k", b"x")
    pointers = box.folder / "pointers"
    (pointers / "k.p").rename(pointers / "other.p")
    with pytest.raises(IntegrityError):
        await box.driver.head("box", "other")


async def test_a_pointer_cannot_name_a_file_outside(box: Box) -> None:
    written = await box.put("k", b"x")
    pointer = box.folder / "pointers" / "k.p"
    pointer.write_text(pointer.read_text().replace(written.etag, "../../../secret"))
    with pytest.raises(IntegrityError):
        await box.get("k")


async def test_files_and_folders_are_the_owners_alone(box: Box) -> None:
    await box.put("k" * 300, b"x")
    for path in [box.base / "team", *(box.base / "team").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


async def test_the_working_directory_has_no_part_in_a_delete(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original deleted local objects relative to the working directory."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "box").mkdir(parents=True)
    (elsewhere / "box" / "k").write_text("theirs")
    await box.put("k", b"x")
    monkeypatch.chdir(elsewhere)
    await box.driver.delete("box", "k", if_match=None)
    assert await box.keys() == []
    assert (elsewhere / "box" / "k").read_text() == "theirs"


@pytest.mark.parametrize(
    ("tenant", "path", "expected"),
    [
        ("team", "", "/base/team"),
        ("team", "a", "/base/team/a"),
        ("team", "a/B_c.d/e", "/base/team/a/B_c.d/e"),
        ("_cluster", "a", "/base/_cluster/a"),
        ("team", "..", None),
        ("team", "../other", None),
        ("team", "a/../../other", None),
        ("team", "/etc", None),
        ("team", "a//b", None),
        ("team", "a/", None),
        ("team", ".", None),
        ("team", ".hidden", None),
        ("team", "a\0b", None),
        ("team", "a\nb", None),
        ("team", "a\n", None),
        ("team", "a\\b", None),
        ("team", "x" * 129, None),
        ("..", "a", None),
        ("", "a", None),
        ("a/b", "a", None),
        ("_other", "a", None),
        ("Team", "a", None),
    ],
)
def test_a_locations_path_stays_below_its_tenant(tenant: str, path: str, expected: str | None) -> None:
    if expected is not None:
        assert resolve_root(Path("/base"), tenant, path) == Path(expected)
        return
    with pytest.raises(InvalidSpecError):
        resolve_root(Path("/base"), tenant, path)


@pytest.mark.parametrize(("root", "base"), [("/other", "/base"), ("/base/../x", "/base"), ("/", "/base"), ("a/b", "a")])
def test_a_root_outside_its_base_is_refused(root: str, base: str) -> None:
    with pytest.raises(InvalidSpecError):
        LocalDriver(root=Path(root), base=Path(base), clock=lambda: NOW)


async def test_a_root_below_a_symbolic_link_is_refused(make_driver: Make, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "team").symlink_to(tmp_path / "outside")
    driver = make_driver(root=tmp_path / "team" / "a")
    calls: list[Call] = [lambda: driver.probe(None), lambda: driver.create_container("box", None)]
    for call in calls:
        with pytest.raises(AccessDeniedError, match="symbolic link"):
            await call()
    assert list((tmp_path / "outside").iterdir()) == []


async def test_a_root_inside_another_locations_container_is_refused(box: Box, make_driver: Make) -> None:
    inner = make_driver(root=box.folder / "data")
    calls: list[Call] = [lambda: inner.probe(None), lambda: inner.create_container("evil", None)]
    for call in calls:
        with pytest.raises(AccessDeniedError, match="container of another location"):
            await call()


async def test_the_base_has_to_be_there_and_the_root_comes_with_the_first_container(
    make_driver: Make, tmp_path: Path
) -> None:
    driver = make_driver(root=tmp_path / "team" / "a" / "b")
    await driver.probe(None)
    assert not (tmp_path / "team").exists()
    await driver.create_container("box", None)
    assert (tmp_path / "team" / "a" / "b" / "box").is_dir()
    lost = make_driver(root=tmp_path / "gone" / "team", base=tmp_path / "gone")
    calls: list[Call] = [
        lambda: lost.probe(None),
        lambda: lost.container_exists("box"),
        lambda: lost.create_container("box", None),
        lambda: lost.head("box", "k"),
    ]
    for call in calls:
        with pytest.raises(BackendUnreachableError):
            await call()


async def test_two_drivers_on_one_folder_are_one_backend(make_driver: Make, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(tmp_path)
    direct = make_driver()
    aliased = make_driver(root=tmp_path / "alias" / "team", base=tmp_path / "alias")
    assert direct.identity == aliased.identity == f"file://{tmp_path.resolve()}/team"
    assert direct.scheme == "file"
