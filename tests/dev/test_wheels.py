"""Virtual environments of pinned wheels. Where a single wheel comes from is tried with Go's and Node.js's."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from dev.conftest import RecordedProgress, ScriptedRunner
from stow.dev import versions
from stow.dev.assets import TOOLS
from stow.dev.cache import Cache
from stow.dev.commands import Runner
from stow.dev.failures import CommandFailedError, ToolUnavailableError
from stow.dev.wheels import PYTHON_TAG, PythonEnvironment
from stow.dev.workshop import Workshop

PIP = {"pip --version": "pip 25"}


@pytest.fixture
def make(tmp_path: Path, progress: RecordedProgress) -> Callable[..., Path]:
    def make(runner: ScriptedRunner | Runner, **environ: str) -> Path:
        folder = tmp_path / "made"
        folder.mkdir()
        cache = Cache(tmp_path / "cache", progress=progress)
        workshop = Workshop(cache=cache, environ=environ, runner=runner, progress=progress)  # type: ignore[arg-type]
        PythonEnvironment("swift").make(folder, "bin/python", workshop=workshop)
        return folder

    return make


def test_every_wheel_is_verified_and_nothing_is_compiled(make: Callable[..., Path]) -> None:
    runner = ScriptedRunner(PIP)

    folder = make(runner, PIP_INDEX_URL="https://index.example")

    (venv, _), (pip, env) = runner.runs
    assert venv == [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    assert pip[:4] == [sys.executable, "-m", "pip", "install"]
    assert {"--require-hashes", "--no-deps", "--only-binary"} < set(pip)
    assert pip[pip.index("--only-binary") + 1] == ":all:"
    assert Path(pip[-1]).name == "requirements.txt"
    assert env["PIP_INDEX_URL"] == "https://index.example"


def test_the_wheels_go_where_the_environments_interpreter_looks(
    make: Callable[..., Path], progress: RecordedProgress
) -> None:
    class VenvOnly(ScriptedRunner):
        """Makes the environment, and installs nothing."""

        def run(self, argv, *, env, cwd, what):  # type: ignore[no-untyped-def]  # as the class above says
            super().run(argv, env=env, cwd=cwd, what=what)
            if "venv" in argv:
                subprocess.run(argv, check=True, timeout=60)

    runner = VenvOnly(PIP)
    folder = make(runner)
    pip = runner.runs[1][0]

    script = "import sys; print('\\n'.join(sys.path)); assert sys.prefix != sys.base_prefix"
    done = subprocess.run(
        [folder / "bin" / "python", "-I", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert pip[pip.index("--target") + 1] in done.stdout.splitlines()
    assert not (folder / "bin" / "pip").exists()


def test_a_missing_wheel_is_an_error_with_cause_and_way_out(make: Callable[..., Path]) -> None:
    def refuse(argv: object, _cwd: Path) -> None:
        if isinstance(argv, list) and "pip" in argv:
            raise CommandFailedError("no matching distribution")

    with pytest.raises(ToolUnavailableError, match=r"wheels of swift could not be installed(.|\n)*no matching"):
        make(ScriptedRunner(PIP, on_run=refuse))


def test_without_pip_and_uv_the_error_says_so(make: Callable[..., Path]) -> None:
    with pytest.raises(ToolUnavailableError, match="neither pip nor uv"):
        make(ScriptedRunner(), PATH="")


def test_each_minor_version_of_python_has_its_own_environment() -> None:
    assert TOOLS["swift"].version == f"{versions.SWIFT}-{PYTHON_TAG}"
    assert f"py{sys.version_info[0]}.{sys.version_info[1]}" == PYTHON_TAG


def requirements(name: str) -> str:
    return (resources.files("stow.dev") / "modules" / "swift" / name).read_text(encoding="utf-8")


def test_the_pinned_version_is_required_and_every_requirement_has_a_hash() -> None:
    assert requirements("requirements.in").split() == [f"swift=={versions.SWIFT}"]
    text = requirements("requirements.txt")
    assert f"\nswift=={versions.SWIFT} " in text
    pinned = re.split(r"\n(?=\w)", text)[1:]
    assert len(pinned) > 5
    assert [each for each in pinned if "--hash=sha256:" not in each] == []
    assert "://" not in text
