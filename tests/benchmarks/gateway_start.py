"""How long the gateway takes to start, and what it weighs, by the kinds of location that it has opened.

    python tests/benchmarks/gateway_start.py

Real: control plane, operator, gateway, and a server of each kind. Each kind gets a StowLocation and a StowContainer of its own, in turn;
after the first object was read through it, the gateway's memory is looked at. SDKs are imported when a kind is first opened.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from servers.azurite import start_azurite  # noqa: E402 - the path is set above
from servers.fake_gcs import start_fake_gcs  # noqa: E402
from servers.swift import start_swift  # noqa: E402
from stow.cli.development import LOOPBACK, SYSTEM_NAMESPACE  # noqa: E402
from stow.dev.cluster import DevCluster, dev_cluster  # noqa: E402
from stow.dev.minio import start_minio  # noqa: E402
from stow.dev.processes import answers  # noqa: E402

NAMESPACE = "bench"


@contextmanager
def deadline(what: str, seconds: float = 60.0) -> Iterator[Any]:
    """Gives a check that may be called until the time is over."""
    end = time.monotonic() + seconds

    def patient() -> bool:
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.05)
        return True

    yield patient


class Bench:
    def __init__(self, cluster: DevCluster) -> None:
        self.cluster = cluster
        self.kubectl = [str(cluster.assets.find("kubectl")), "--kubeconfig", str(cluster.kubeconfig_path)]
        self.server = ""

    def run(self, *arguments: str, given: str | None = None) -> str:
        return subprocess.run(
            [*self.kubectl, *arguments], input=given, text=True, capture_output=True, check=True, timeout=90
        ).stdout

    def apply(self, kind: str, name: str, namespace: str | None = NAMESPACE, **more: Any) -> None:
        version = "stowstore.io/v1alpha1" if kind.startswith("Stow") else "v1"
        metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
        document = {"apiVersion": version, "kind": kind, "metadata": metadata, **more}
        self.run("apply", "--server-side", "-f", "-", given=json.dumps(document))

    def start(self) -> tuple[int, float, float]:
        """The gateway's process ID, seconds until it answered and until it was ready."""
        for name in (SYSTEM_NAMESPACE, NAMESPACE):
            self.apply("Namespace", name, None)
        shared = [word for network in LOOPBACK for word in ("--egress-allow", network)]
        self.cluster.start_stow("operator", lambda port: ["operator", *shared, "--listen", f"127.0.0.1:{port}"])
        began = time.monotonic()
        process, port = self.cluster.start_stow(
            "gateway",
            lambda own: ["gateway", *shared, "--listen", f"127.0.0.1:{own}"],
            ready_path="/healthz",
        )
        alive = time.monotonic() - began
        self.server = f"http://127.0.0.1:{port}"
        process.wait_ready(lambda: answers(f"{self.server}/readyz"), timeout_s=60)
        return process.pid, alive, time.monotonic() - began

    def read_one(self, kind: str, spec: Mapping[str, Any], secret: Mapping[str, str] | None) -> None:
        """Put and get an object through a new location of that kind."""
        if secret is not None:
            self.apply("Secret", f"{kind}-keys", stringData=dict(secret))
            spec = {**spec, "credentials": {"secretRef": {"name": f"{kind}-keys"}}}
        self.apply("StowLocation", kind, spec=spec)
        self.apply(
            "StowContainer",
            kind,
            spec={"locationRef": {"kind": "StowLocation", "name": kind}, "containerName": f"bench-{kind}"},
        )
        self.run("wait", "-n", NAMESPACE, "--for=condition=Ready", f"stowcontainer/{kind}", "--timeout=60s")
        token = self.run("create", "token", "bench", "-n", NAMESPACE, "--audience", "stowstore.io").strip()
        url = f"{self.server}/v1/namespaces/{NAMESPACE}/containers/{kind}/objects/k"
        with deadline(f"{kind} serves an object") as patient:
            while patient():
                try:
                    for method, body in (("PUT", b"x" * 4096), ("GET", None)):
                        request = urllib.request.Request(url, body, {"Authorization": f"Bearer {token}"}, method=method)
                        with urllib.request.urlopen(request, timeout=30) as answer:
                            answer.read()
                except OSError:
                    continue
                return


def memory_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError("VmRSS")


def main() -> None:
    with dev_cluster() as cluster:
        find, group = cluster.assets.find, cluster.children
        minio = start_minio(group, find("minio"))
        gcs = start_fake_gcs(group, find("fake-gcs-server"))
        azurite = start_azurite(group, find("azurite"))
        swift = start_swift(group, find("swift"))
        bench = Bench(cluster)
        pid, alive_s, ready_s = bench.start()
        bench.apply("ServiceAccount", "bench")
        bench.apply(
            "ClusterRoleBinding",
            "bench",
            None,
            apiVersion="rbac.authorization.k8s.io/v1",
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            subjects=[{"kind": "ServiceAccount", "name": "bench", "namespace": NAMESPACE}],
        )
        click.echo(f"gateway: answers after {alive_s:.1f} s, ready after {ready_s:.1f} s")
        click.echo(f"{'opened':<10}{'memory':>12}{'more':>10}")
        before = memory_mib(pid)
        click.echo(f"{'nothing':<10}{before:>8.0f} MiB")
        kinds: dict[str, tuple[dict[str, Any], dict[str, str] | None]] = {
            "s3": (
                {"s3": {"endpoint": minio.endpoint, "region": minio.region, "addressingStyle": "Path"}},
                {"AWS_ACCESS_KEY_ID": minio.access_key, "AWS_SECRET_ACCESS_KEY": minio.secret_key},
            ),
            "google": (
                {"google": {"endpoint": gcs.endpoint, "project": gcs.project}, "credentials": {"anonymous": {}}},
                None,
            ),
            "azure": (
                {"azure": {"account": azurite.account, "endpoint": azurite.endpoint}},
                {"AZURE_STORAGE_KEY": azurite.key},
            ),
            "swift": ({"swift": {"authURL": swift.auth_url}}, {"ST_USER": swift.user, "ST_KEY": swift.key}),
        }
        for kind, (spec, secret) in kinds.items():
            bench.read_one(kind, spec, secret)
            now = memory_mib(pid)
            click.echo(f"{'+ ' + kind:<10}{now:>8.0f} MiB{now - before:>+6.0f} MiB")
            before = now


if __name__ == "__main__":
    main()
