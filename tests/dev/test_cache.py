"""The cache of programs: whole folders, filled by one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dev.conftest import RecordedProgress
from stow.dev.cache import PARTIAL, Cache, cache_root
from stow.dev.failures import DevError

TIMEOUT_S = 30.0
BUILDER = """
import os, sys
from pathlib import Path
from stow.dev.assets import Assets, Tool
from stow.dev.cache import Cache
from stow.dev.commands import Runner
from stow.dev.workshop import Workshop
from stow.dev.progress import TerminalProgress

class Recipe:
    def make(self, folder, name, *, workshop):
        print("building", flush=True)
        sys.stdin.readline()
        (folder / name).write_text(f"made by {os.getpid()}")
        (folder / name).chmod(0o755)

progress = TerminalProgress()
workshop = Workshop(cache=Cache(Path(sys.argv[1]), progress=progress), environ={}, runner=Runner(progress=progress), progress=progress)
print(Assets(workshop, tools={"tool": Tool("tool", "v1", Recipe())}).find("tool").read_text(), flush=True)
"""


def start_builder(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.fixture
def cache(tmp_path: Path, progress: RecordedProgress) -> Cache:
    return Cache(tmp_path / "cache", progress=progress)


def test_two_processes_that_ask_at_once_build_once(tmp_path: Path) -> None:
    with start_builder(tmp_path) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "building\n"
        with start_builder(tmp_path) as second:
            assert second.stderr is not None
            assert "waiting for another process" in second.stderr.readline()

            first_output, _ = first.communicate("go on\n", timeout=TIMEOUT_S)
            second_output, _ = second.communicate(timeout=TIMEOUT_S)

    assert first_output == second_output == f"made by {first.pid}\n"


def test_the_death_of_a_builder_frees_the_lock_and_its_leftovers_go(tmp_path: Path) -> None:
    with start_builder(tmp_path) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "building\n"
        assert list(tmp_path.glob(f"{PARTIAL}*"))
        first.kill()
        first.wait(TIMEOUT_S)
    with start_builder(tmp_path) as second:
        output, _ = second.communicate("go on\n", timeout=TIMEOUT_S)

    assert output == f"building\nmade by {second.pid}\n"
    assert list(tmp_path.glob(f"{PARTIAL}*")) == []


def test_a_failed_fill_leaves_nothing_and_keeps_what_was_there(cache: Cache) -> None:
    def make_good(folder: Path) -> None:
        (folder / "tool").write_text("good")

    def make_bad(folder: Path) -> None:
        (folder / "tool").write_text("half")
        raise DevError("no space left")

    with cache.lock():
        folder = cache.fill("tool", "v1", make_good)
        with pytest.raises(DevError, match="no space left"):
            cache.fill("tool", "v1", make_bad)

    assert (folder / "tool").read_text() == "good"
    assert {path.name for path in cache.root.iterdir()} == {"lock", folder.name}


def test_a_folder_is_named_by_program_version_and_platform(cache: Cache) -> None:
    assert cache.folder("etcd", "v3.6.4").name.startswith("etcd-v3.6.4-linux-")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"XDG_CACHE_HOME": "/x", "HOME": "/home/jane"}, "/x/stow-operator"),
        ({"HOME": "/home/jane"}, "/home/jane/.cache/stow-operator"),
        ({"XDG_CACHE_HOME": "", "HOME": "/home/jane"}, "/home/jane/.cache/stow-operator"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/jane"}, "/home/jane/.cache/stow-operator"),
    ],
)
def test_the_cache_lies_where_the_xdg_specification_says(environ: dict[str, str], expected: str) -> None:
    assert cache_root(environ) == Path(expected)


def test_without_any_home_the_error_says_what_to_set() -> None:
    with pytest.raises(DevError, match="set XDG_CACHE_HOME"):
        cache_root({})


def test_a_cache_that_cannot_be_written_is_an_error_that_says_what_to_set(
    tmp_path: Path, progress: RecordedProgress
) -> None:
    (tmp_path / "file").touch()
    cache = Cache(tmp_path / "file" / "cache", progress=progress)

    with pytest.raises(DevError, match="set XDG_CACHE_HOME to a writable folder"), cache.lock():
        pytest.fail("the lock was taken")
