"""The control plane that `stow dev` and the tests share, seen through kubectl and the API."""

from __future__ import annotations

import shutil
import subprocess

from stow.dev.controlplane import ControlPlane

DEADLINE_S = 60.0


def kubectl(control_plane: ControlPlane, *arguments: str) -> str:
    program = shutil.which("kubectl")
    assert program, "kubectl is needed on PATH"
    done = subprocess.run(
        [program, "--kubeconfig", str(control_plane.kubeconfig_path), *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_kubectl_reads_namespaces_with_the_kubeconfig(control_plane: ControlPlane) -> None:
    assert "namespace/kube-system" in kubectl(control_plane, "get", "namespaces", "--output=name").split()
