"""``stow dev``: control plane, CRDs, operator and gateway on this machine, and the quick start on top of them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from stow.cli.connect import DISCOVERY
from stow.cli.quickstart import run_quickstart
from stow.dev.cluster import DevCluster, dev_cluster
from stow.dev.failures import DevError
from stow.dev.prepare import main as prepare_programs
from stow.dev.session import hold, stopped_by_signals

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
"""Closed to backends in a real cluster; here the stores run on this machine."""
EXAMPLES: Final = Path(__file__).parents[1] / "dev" / "quickstart"
"""``examples/quickstart`` of the checkout, packaged with the wheel."""


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
            click.echo(f"# object API: {server}")
        if quickstart:
            if server is None:
                raise DevError("--quickstart needs the CRDs; leave out --no-crds")
            steps = run_quickstart(cluster, server=server, examples=EXAMPLES)
            click.secho(f"\nquick start: {steps} steps, all good", fg="green")
            if not sys.stdout.isatty():
                return
        click.echo("# serving until Ctrl-C")
        hold(cluster)


def start_servers(cluster: DevCluster, local_root: Path | None) -> str:
    """Start operator and gateway as child processes and publish the gateway's address; returns its URL."""
    root = local_root or cluster.run.path / "objects"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    operator_port, gateway_port = _free_ports(2)
    server = f"http://127.0.0.1:{gateway_port}"
    shared = ["--local-root", str(root.resolve()), "--public-url", server, "--log-format", "text"]
    shared += [word for network in LOOPBACK for word in ("--egress-allow", network)]
    _apply(cluster, _own_objects(server))
    for name, port in (("operator", operator_port), ("gateway", gateway_port)):
        cluster.start_stow(
            name, [name, *shared, "--listen", f"127.0.0.1:{port}"], is_ready=_answers(f"http://127.0.0.1:{port}/readyz")
        )
    return server


def _own_objects(server: str) -> list[dict[str, object]]:
    namespace, name = DISCOVERY
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "stow-system"}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace},
            "data": {"url": server},
        },
    ]


def _apply(cluster: DevCluster, objects: list[dict[str, object]]) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl = [str(cluster.assets.find("kubectl")), "--kubeconfig", str(cluster.kubeconfig_path)]
    done = subprocess.run(
        [*kubectl, "apply", "--server-side", "-f", "-"],
        input=text,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise DevError(f"the operator's own namespace could not be made: {done.stderr.strip()}")


def _free_ports(count: int) -> list[int]:
    """Ports that were free just now; a server that loses the race for one says so and ends."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _answers(url: str) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own server on loopback
                return bool(answer.status == 200)
        except OSError:
            return False

    return ready
