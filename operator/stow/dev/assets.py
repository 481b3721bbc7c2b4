"""Finds the programs that a local cluster is made of, or makes them.

The look-up order for each program: `KUBEBUILDER_ASSETS` (for those that belong there), PATH (kubectl alone), the
project's cache, the published envtest archive (for those that it holds), a build from pinned sources into the cache.
A step that cannot help hands over to the next one; where none helps, the error says what was tried and what the user
can do. What is to be found stands in one table, `TOOLS`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stow.dev import versions
from stow.dev.cache import Cache, cache_root
from stow.dev.commands import Runner
from stow.dev.envtest import download_envtest
from stow.dev.failures import DevError, ToolUnavailableError
from stow.dev.golang import GoBuild
from stow.dev.nodejs import NpmInstall
from stow.dev.progress import Progress, TerminalProgress
from stow.dev.wheels import PYTHON_TAG, PythonEnvironment
from stow.dev.workshop import Workshop

ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"

_KUBERNETES_LDFLAGS = (
    # Without its version the API server cannot parse what it is, and refuses to start.
    f"-s -w -X k8s.io/component-base/version.gitVersion={versions.KUBERNETES}"
    " -X k8s.io/component-base/version.gitMajor={} -X k8s.io/component-base/version.gitMinor={}".format(
        *versions.KUBERNETES.removeprefix("v").split(".")[:2]
    )
)


class Recipe(Protocol):
    """How a program is made where nobody supplies it."""

    def make(self, folder: Path, name: str, *, workshop: Workshop) -> None:
        """Write `folder/name` (and whatever it needs beside it).

        Raises:
            DevError: it cannot be made; the message says why and what to do.
        """


@dataclass(frozen=True, slots=True)
class Tool:
    """`kubebuilder`: belongs in KUBEBUILDER_ASSETS. `envtest`: is in the published archive. `on_path`: any version on
    PATH will do. `program`: what is run in its folder of the cache, where that is not `name`: an interpreter, for what
    is a library of one."""

    name: str
    version: str
    recipe: Recipe
    kubebuilder: bool = False
    envtest: bool = False
    on_path: bool = False
    program: str = ""

    @property
    def path(self) -> str:
        """Relative to its folder in the cache."""
        return self.program or self.name


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            "etcd", versions.ETCD, GoBuild("controlplane", "go.etcd.io/etcd/server/v3"), kubebuilder=True, envtest=True
        ),
        Tool(
            "kube-apiserver",
            versions.KUBERNETES,
            GoBuild("controlplane", "k8s.io/kubernetes/cmd/kube-apiserver", _KUBERNETES_LDFLAGS),
            kubebuilder=True,
            envtest=True,
        ),
        Tool(
            "kube-controller-manager",
            versions.KUBERNETES,
            GoBuild("controlplane", "k8s.io/kubernetes/cmd/kube-controller-manager", _KUBERNETES_LDFLAGS),
            kubebuilder=True,
        ),
        Tool(
            "kubectl",
            versions.KUBERNETES,
            GoBuild("controlplane", "k8s.io/kubernetes/cmd/kubectl", _KUBERNETES_LDFLAGS),
            kubebuilder=True,
            envtest=True,
            on_path=True,
        ),
        Tool("minio", versions.MINIO, GoBuild("minio", "github.com/minio/minio")),
        Tool(
            "fake-gcs-server",
            versions.FAKE_GCS,
            GoBuild("fakegcs", "github.com/fsouza/fake-gcs-server", "-s -w", minimum_go=versions.MINIMUM_GO_FAKE_GCS),
        ),
        Tool("azurite", versions.AZURITE, NpmInstall("azurite"), program="node"),
        Tool("swift", f"{versions.SWIFT}-{PYTHON_TAG}", PythonEnvironment("swift"), program="bin/python"),
    )
}
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager")


class Assets:
    """The look-up. Its parts are arguments, so that each step can be tried alone."""

    def __init__(
        self,
        workshop: Workshop,
        *,
        tools: Mapping[str, Tool] = TOOLS,
        download: Callable[[Cache, Progress], Path | None] = download_envtest,
    ) -> None:
        self._workshop = workshop
        self._tools = tools
        self._download = download
        self._download_failed = False

    def find(self, name: str) -> Path:
        """The path of an executable file; makes it where nobody has it, which may take minutes.

        Raises:
            DevError: KUBEBUILDER_ASSETS names no folder, or the cache cannot be written.
            ToolUnavailableError: no step supplies it.
        """
        tool = self._tools[name]
        found = self._given(tool) or self._on_path(tool) or self._cached(tool)
        if found is not None:
            return found
        with self._workshop.cache.lock():
            # Whoever held the lock before may have made it.
            return self._cached(tool) or self._downloaded(tool) or self._made(tool)

    def find_all(self, names: Iterable[str]) -> dict[str, Path]:
        return {name: self.find(name) for name in names}

    def _given(self, tool: Tool) -> Path | None:
        folder = self._workshop.environ.get(ASSETS_VARIABLE, "")
        if not tool.kubebuilder or not folder:
            return None
        if not Path(folder).is_dir():
            raise DevError(
                f"{ASSETS_VARIABLE} is {folder}, which is no folder: correct it, or unset it to let the programs be found or built"
            )
        return _executable(Path(folder).absolute() / tool.name)  # servers start in other folders than this one

    def _on_path(self, tool: Tool) -> Path | None:
        found = shutil.which(tool.name, path=self._workshop.environ.get("PATH", "")) if tool.on_path else None
        return None if found is None else Path(found).absolute()

    def _cached(self, tool: Tool) -> Path | None:
        cache = self._workshop.cache
        found = _executable(cache.folder(tool.name, tool.version) / tool.path)
        if found is None and tool.envtest:
            found = _executable(cache.folder("envtest", versions.ENVTEST) / tool.name)
        return found

    def _downloaded(self, tool: Tool) -> Path | None:
        if not tool.envtest or self._download_failed:
            return None
        folder = self._download(self._workshop.cache, self._workshop.progress)
        self._download_failed = folder is None  # said once, not for each program
        return None if folder is None else _executable(folder / tool.name)

    def _made(self, tool: Tool) -> Path:
        workshop = self._workshop

        def make(folder: Path) -> None:
            tool.recipe.make(folder, tool.path, workshop=workshop)

        try:
            folder = workshop.cache.fill(tool.name, tool.version, make)
        except DevError as error:
            ways_out = [
                f"- Put {tool.name} into the cache: {workshop.cache.folder(tool.name, tool.version) / tool.path}."
            ]
            if tool.kubebuilder:
                ways_out.insert(
                    0,
                    f"- Set {ASSETS_VARIABLE} to a folder that holds {tool.name} (setup-envtest of controller-runtime makes one).",
                )
            text = "\n".join(
                [f"{tool.name} {tool.version} is not here and could not be made.", str(error), "Ways out:", *ways_out]
            )
            raise ToolUnavailableError(text) from error
        made = _executable(folder / tool.path)
        if made is None:
            raise ToolUnavailableError(
                f"the build of {tool.name} ended well but left no executable {folder / tool.path}; remove that folder and try again"
            )
        return made


def default_assets(*, environ: Mapping[str, str] | None = None, progress: Progress | None = None) -> Assets:
    """The look-up as `stow dev` and the test suite use it."""
    environ = os.environ if environ is None else environ
    progress = progress or TerminalProgress()
    workshop = Workshop(
        cache=Cache(cache_root(environ), progress=progress),
        environ=environ,
        runner=Runner(progress=progress),
        progress=progress,
    )
    return Assets(workshop)


def _executable(path: Path) -> Path | None:
    return path if path.is_file() and os.access(path, os.X_OK) else None
