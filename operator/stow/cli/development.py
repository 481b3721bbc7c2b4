"""``stow dev``: control plane, CRDs, operator and gateway on this machine, and the quick start on top of them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import click

from stow.cli.connect import DISCOVERY
from stow.cli.quickstart import run_quickstart
from stow.dev.cluster import DevCluster, dev_cluster
from stow.dev.definitions import packaged_folder
from stow.dev.failures import DevError
from stow.dev.prepare import main as prepare_programs
from stow.dev.processes import answers
from stow.dev.session import hold, stopped_by_signals

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
"""Closed to backends in a real cluster; here the stores run on this machine."""
SYSTEM_NAMESPACE: Final = "stow-system"
READY_TIMEOUT_S: Final = 60.0


def run(*, quickstart: bool, prepare: bool, crds: bool, local_root: Path | None) -> None:
    """Returns when the user stopped it, or when there is nothing more to do.

    Raises:
        DevError: something could not be had or started, or a step of the quick start failed; says which.
    """
    if prepare:
        sys.exit(prepare_programs([]))
    with stopped_by_signals(), dev_cluster(crds=crds) as cluster:
        server = start_servers(cluster, local_root) if crds else None
        click.echo(f"export KUBECONFIG={cluster.kubeconfig_path}")
        if server is not None:
            click.echo(f"export STOW_SERVER={server}")
        click.echo(f"export PATH={tools_path(cluster)}")
        if quickstart:
            if server is None:
                raise DevError("--quickstart needs the CRDs; leave out --no-crds")
            steps = run_quickstart(cluster, server=server, examples=packaged_folder("quickstart").resolve())
            click.secho(f"\nquick start: {steps} steps, all good", fg="green")
            if not sys.stdout.isatty():
                return
        click.echo("# serving until Ctrl-C")
        hold(cluster)


def tools_path(cluster: DevCluster) -> str:
    """A ``PATH``, for a shell: our ``stow`` before any other program of that name, the cluster's kubectl where there is none."""
    kubectl = cluster.assets.find("kubectl").parent
    return f"{shlex.quote(str(Path(sys.executable).parent))}:$PATH:{shlex.quote(str(kubectl))}"


def start_servers(cluster: DevCluster, local_root: Path | None) -> str:
    """Start operator and gateway as child processes and publish the gateway's address; returns its URL."""
    root = local_root or cluster.run.path / "objects"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    shared = ["--local-root", str(root.resolve()), "--log-format", "text"]
    shared += [word for network in LOOPBACK for word in ("--egress-allow", network)]

    _apply(cluster, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM_NAMESPACE}})

    def gateway(port: int) -> list[str]:
        return ["gateway", *shared, "--listen", f"127.0.0.1:{port}", "--public-url", f"http://127.0.0.1:{port}"]

    # It is alive before the operator has made the keys, and ready after.
    process, port = cluster.start_stow("gateway", gateway, ready_path="/healthz")
    server = f"http://127.0.0.1:{port}"
    cluster.start_stow(
        "operator", lambda own: ["operator", *shared, "--listen", f"127.0.0.1:{own}", "--public-url", server]
    )
    process.wait_ready(lambda: answers(f"{server}/readyz"), timeout_s=READY_TIMEOUT_S)
    namespace, name = DISCOVERY
    found = {"metadata": {"name": name, "namespace": namespace}, "data": {"url": server}}
    _apply(cluster, {"apiVersion": "v1", "kind": "ConfigMap", **found})
    return server


def _apply(cluster: DevCluster, document: dict[str, object]) -> None:
    kubectl = [str(cluster.assets.find("kubectl")), "--kubeconfig", str(cluster.kubeconfig_path)]
    done = subprocess.run(
        [*kubectl, "apply", "--server-side", "-f", "-"],
        input=json.dumps(document),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise DevError(f"the {document['kind']} of the installation could not be made: {done.stderr.strip()}")
