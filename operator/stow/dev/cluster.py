"""A development cluster: a control plane, our CRDs in it, and child processes that use it.

It owns every process that it starts: leaving it stops the children first, then the control plane.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from stow.dev.assets import CONTROL_PLANE, Assets, default_assets
from stow.dev.controlplane import ControlPlane
from stow.dev.definitions import apply_crds
from stow.dev.processes import Command, Process, ProcessGroup, answers, start_on_free_port
from stow.dev.progress import Progress, TerminalProgress
from stow.dev.runfolder import RunFolder

CHILD_READY_TIMEOUT_S = 60.0
CHILD_GRACE_S = 15.0


class DevCluster:
    """What `dev_cluster` yields."""

    def __init__(self, run: RunFolder, control_plane: ControlPlane, assets: Assets) -> None:
        self.run = run
        self.control_plane = control_plane
        self.assets = assets
        self.children = ProcessGroup(run)

    @property
    def kubeconfig_path(self) -> Path:
        return self.control_plane.kubeconfig_path

    def start_child(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        is_ready: Callable[[], bool] | None = None,
        timeout_s: float = CHILD_READY_TIMEOUT_S,
    ) -> Process:
        """Start a command with KUBECONFIG set and `env` on top of this process's environment; wait where `is_ready`
        is given.

        Its output is in `<run folder>/logs/<name>.log`. A name may be used again after its process was stopped: the
        log goes on.

        Raises:
            ProcessFailedError: it cannot be started, or ends or is not ready in time; it is stopped again.
        """
        process = self.children.start(
            Command(name, argv, env=self._environment(env or {}), cwd=self.run.path, grace_s=CHILD_GRACE_S)
        )
        if is_ready is not None:
            try:
                process.wait_ready(is_ready, timeout_s=timeout_s)
            except BaseException:
                self.children.stop(process)
                raise
        return process

    def start_stow(
        self,
        name: str,
        arguments: Callable[[int], Sequence[str]],
        *,
        env: Mapping[str, str] | None = None,
        ready_path: str = "/readyz",
        timeout_s: float = CHILD_READY_TIMEOUT_S,
    ) -> tuple[Process, int]:
        """Start `stow ARGUMENTS...` of this very installation as a server on a free loopback port, which `arguments`
        is told; wait until it says that it is ready. Returns the process and its port.

        Raises:
            ProcessFailedError: it cannot be started, or ends or is not ready in time; it is stopped again.
        """
        environment = self._environment({"PYTHONPATH": _import_path(), **(env or {})})

        def command(port: int) -> Command:
            argv = [sys.executable, "-m", "stow.cli.main", *arguments(port)]
            return Command(name, argv, env=environment, cwd=self.run.path, grace_s=CHILD_GRACE_S)

        def ready(port: int) -> bool:
            return answers(f"http://127.0.0.1:{port}{ready_path}")

        return start_on_free_port(self.children, command, ready, timeout_s=timeout_s)

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig_path), **extra}

    def ended(self) -> Process | None:
        """The first child or control plane process that ended by itself, if there is one."""
        return self.children.ended() or self.control_plane.ended()


@contextlib.contextmanager
def dev_cluster(
    *, crds: bool = True, audited: bool = False, assets: Assets | None = None, progress: Progress | None = None
) -> Iterator[DevCluster]:
    """A running cluster; whatever was started in it is stopped, and its folder removed, when it is left.

    Raises:
        DevError: a program cannot be had, a process does not come up, or a CRD is refused.
    """
    progress = progress or TerminalProgress()
    assets = assets or default_assets(progress=progress)
    programs = assets.find_all(CONTROL_PLANE)
    with RunFolder() as run:
        control_plane = ControlPlane(run, programs, audited=audited)
        with contextlib.ExitStack() as stack:
            with progress.step("starting the control plane"):
                stack.enter_context(control_plane)
            cluster = DevCluster(run, control_plane, assets)
            stack.enter_context(cluster.children)
            if crds:
                with progress.step("applying the CRDs"):
                    apply_crds(control_plane.kubeconfig_path)
            yield cluster


def _import_path() -> str:
    """Where this package was imported from, before what the user has: a child in another folder finds the same one."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
