"""The walk behind ``make run``: the quick start on a running development cluster, each command shown with its real output.

A client verb runs with nothing but a ServiceAccount token and the gateway's address: no KUBECONFIG, no cloud key.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from stow.dev.cluster import DevCluster
from stow.dev.failures import DevError

STEP_TIMEOUT_S: Final = 90
_OBJECT: Final = "reports/2026/hello.txt"
_TEXT: Final = "Hello from a pod that holds nothing but its ServiceAccount token.\n"


class StepFailedError(DevError):
    """One command of the walk did not do what it had to."""


@dataclass(frozen=True, slots=True)
class Walk:
    """Where the commands run, and with what."""

    kubectl: Path
    kubeconfig: Path
    server: str
    examples: Path
    scratch: Path

    def kubectl_step(self, *arguments: str) -> str:
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        return self._step(["kubectl", *arguments], executable=str(self.kubectl), env=env, cwd=self.project)

    @property
    def project(self) -> Path:
        """The folder from which the examples' path reads as in the README."""
        return self.examples.parents[1]

    def stow_step(self, *arguments: str, shown_as: Sequence[str] | None = None) -> str:
        """A client verb, with an environment that holds no way to the API server."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "STOW_"))}
        env |= {"STOW_SERVER": self.server, "STOW_TOKEN_FILE": str(self.token_file), "HOME": str(self.scratch)}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        return self._step(
            ["stow", *(shown_as or arguments)],
            executable=sys.executable,
            env=env,
            cwd=self.scratch,
            real=["-m", "stow.cli.main", *arguments],
        )

    @property
    def token_file(self) -> Path:
        return self.scratch / "token"

    def _step(
        self,
        shown: Sequence[str],
        *,
        executable: str,
        env: Mapping[str, str],
        cwd: Path,
        real: Sequence[str] | None = None,
    ) -> str:
        """Run it, show command and output. Raises StepFailedError naming the command."""
        line = shlex.join(shown)
        click.secho(f"$ {line}", bold=True)
        argv = [executable, *(shown[1:] if real is None else real)]
        try:
            done = subprocess.run(
                argv,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=STEP_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StepFailedError(f"`{line}` did not end: {type(error).__name__}") from error
        click.echo(done.stdout.rstrip("\n"))
        if done.returncode != 0:
            raise StepFailedError(f"`{line}` ended with code {done.returncode}")
        return done.stdout


def run_quickstart(cluster: DevCluster, *, server: str, examples: Path) -> int:
    """All steps; returns how many there were.

    Raises:
        StepFailedError: one failed; the message names it.
    """
    with tempfile.TemporaryDirectory(prefix="stow-quickstart-") as scratch:
        walk = Walk(cluster.assets.find("kubectl"), cluster.kubeconfig_path, server, examples, Path(scratch))
        count = _containers(walk)
        count += _objects(walk)
    return count


def _heading(text: str) -> None:
    click.secho(f"\n# {text}", fg="cyan")


def _containers(walk: Walk) -> int:
    _heading("Containers by kubectl")
    walk.kubectl_step("apply", "-f", f"{walk.examples.relative_to(walk.project)}/")
    walk.kubectl_step("wait", "--for=condition=Ready", "stowlocation,stowcontainer", "--all", "--timeout=60s")
    # The map follows its containers within a moment.
    walk.kubectl_step("wait", "--for=jsonpath={.status.containerCount}=2", "stowlocation/disk", "--timeout=60s")
    walk.kubectl_step("get", "sl,csl,stc", "-A")
    walk.kubectl_step("get", "stowlocation", "disk", "-o", "jsonpath={.status.containers}")
    return 5


def _objects(walk: Walk) -> int:
    _heading("Objects by HTTP, with nothing but a ServiceAccount token")
    token = subprocess.run(
        [str(walk.kubectl), "create", "token", "reporter", "--audience", "stowstore.io", "--duration", "1h"],
        env={**os.environ, "KUBECONFIG": str(walk.kubeconfig)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STEP_TIMEOUT_S,
        check=False,
    )
    click.secho("$ kubectl create token reporter --audience stowstore.io > token", bold=True)
    if token.returncode != 0:
        raise StepFailedError("`kubectl create token reporter` failed")
    walk.token_file.touch(mode=0o600)
    walk.token_file.write_text(token.stdout)
    click.secho(f"$ unset KUBECONFIG; export STOW_SERVER={walk.server} STOW_TOKEN_FILE=token", bold=True)
    click.secho(f"$ echo {shlex.quote(_TEXT.rstrip())} > hello.txt", bold=True)
    (walk.scratch / "hello.txt").write_text(_TEXT)
    walk.stow_step("put", "hello.txt", _OBJECT, "--meta", "author=reporter")
    walk.stow_step("stat", _OBJECT)
    walk.stow_step("ls", "reports/", "--recursive")
    if walk.stow_step("cat", _OBJECT) != _TEXT:
        raise StepFailedError("`stow cat` gave other bytes than were put")
    walk.stow_step("cp", _OBJECT, "reports/2026/copy.txt")
    url = walk.stow_step("sign", _OBJECT, "--expires-in", "5m").strip()
    click.secho(f"$ curl {shlex.quote(url)}    # no token, no key: the URL alone", bold=True)
    if _fetch(url) != _TEXT:
        raise StepFailedError("the signed URL gave other bytes than were put")
    click.echo(_TEXT.rstrip("\n"))
    walk.stow_step("rm", _OBJECT, "reports/2026/copy.txt")
    return 9


def _fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=STEP_TIMEOUT_S) as answer:  # noqa: S310 - the URL comes from our own gateway
            return str(answer.read().decode())
    except urllib.error.URLError as error:
        raise StepFailedError(f"the signed URL was not served ({type(error).__name__})") from error
