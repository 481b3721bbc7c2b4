"""Run folders: private, owned while somebody lives, swept afterwards."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import pytest

from stow.dev.failures import DevError
from stow.dev.runfolder import LOCK, PREFIX, UNLOCKED_AGE_S, RunFolder, sweep


def test_a_run_folder_is_private_and_goes_with_its_context(tmp_path: Path) -> None:
    with RunFolder(parent=tmp_path) as run:
        assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
        (run.folder("data") / "file").write_text("x")

    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_owner_lives_is_never_swept(tmp_path: Path) -> None:
    with RunFolder(parent=tmp_path) as first, RunFolder(parent=tmp_path) as second:
        assert sweep(tmp_path) == []
        assert first.path.is_dir()
        assert second.path.is_dir()


def test_the_next_run_removes_a_folder_whose_lock_nobody_holds(tmp_path: Path) -> None:
    abandoned = tmp_path / f"{PREFIX}dead"
    (abandoned / "etcd").mkdir(parents=True)
    (abandoned / LOCK).touch()

    with RunFolder(parent=tmp_path):
        assert not abandoned.exists()


def test_a_folder_that_a_supervisor_still_holds_is_not_swept(tmp_path: Path) -> None:
    held = tmp_path / f"{PREFIX}held"
    held.mkdir()
    descriptor = os.open(held / LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    try:
        assert sweep(tmp_path) == []
    finally:
        os.close(descriptor)
    assert sweep(tmp_path) == [held]


def test_a_folder_without_a_lock_file_is_swept_only_when_it_is_old(tmp_path: Path) -> None:
    young, old = tmp_path / f"{PREFIX}young", tmp_path / f"{PREFIX}old"
    young.mkdir()
    old.mkdir()
    long_ago = old.stat().st_mtime - UNLOCKED_AGE_S - 60
    os.utime(old, (long_ago, long_ago))

    assert sweep(tmp_path) == [old]
    assert young.is_dir()


def test_a_symbolic_link_with_our_prefix_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / LOCK).touch()
    (tmp_path / f"{PREFIX}link").symlink_to(precious)

    assert sweep(tmp_path) == []
    assert precious.is_dir()


def test_a_parent_that_cannot_be_written_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(DevError, match="set TMPDIR"):
        RunFolder(parent=tmp_path / "absent")
