"""A real Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager.

RBAC authorizes, the ServiceAccount issuer signs, and the controller manager always runs: without it namespaces never
end, there is no `default` ServiceAccount, no garbage collection and no aggregated role. There are no nodes, so
nothing is ever scheduled. etcd listens on a Unix socket in the run folder (mode 0700), so no other user of the
machine reads what it holds. Data lives as long as the run folder.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from stow.dev import audit, certificates
from stow.dev.kubeconfig import write_kubeconfig
from stow.dev.processes import Command, Process, ProcessGroup, answers, free_port, start_on_free_port
from stow.dev.runfolder import RunFolder

READY_TIMEOUT_S = 90.0
"""Two busy cores that compile something else take many times the usual two seconds."""
ISSUER = "https://kubernetes.default.svc.cluster.local"
AUDIT_TIMEOUT_S = 15.0
SERVICE_RANGE = "10.96.0.0/16"
ETCD_SOCKET = "etcd.sock"
PEER_SOCKET = "peer.sock"


class ControlPlane:
    """Running from `start` to `stop`; a context manager."""

    def __init__(self, run: RunFolder, programs: Mapping[str, Path], *, audited: bool = False) -> None:
        """Make certificates and the KUBECONFIG's folder; start nothing yet."""
        self._run = run
        self._programs = programs
        self._group = ProcessGroup(run)
        self._port = 0
        self._server: Process
        pki = run.folder("pki")
        self._authority = certificates.Authority(pki, now=certificates.now())
        self.ca_path = self._authority.path
        self._serving = self._authority.issue_server(
            "kube-apiserver", names=(*certificates.LOOPBACK_NAMES, *certificates.API_SERVER_NAMES)
        )
        self.admin = self._authority.issue_client("admin", user="stow-dev-admin", groups=["system:masters"])
        self._manager = self._authority.issue_client("kube-controller-manager", user="system:kube-controller-manager")
        self._token_key, self._token_public_key = certificates.write_token_keys(pki)
        self.kubeconfig_path = run.path / "kubeconfig"
        self.audit_path = run.folder("logs") / "audit.jsonl"
        self._audit_policy_path = run.path / "audit-policy.yaml"
        self._audited = audited
        if audited:
            audit.write_policy(self._audit_policy_path)

    @property
    def server_url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def log_folder(self) -> Path:
        return self._run.folder("logs")

    def start(self) -> None:
        """Start all three and wait until the API server is ready and the controller manager has made the `default`
        ServiceAccount.

        Raises:
            ProcessFailedError: one of them does not come up; all are stopped again.
        """
        try:
            self._start_etcd()
            self._start_api_server()
            self._start_controller_manager()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all three; the data stays until the run folder goes."""
        self._group.stop_all()

    def restart(self) -> None:
        """Stop and start with the same data, address and certificates, so that every client can connect again.

        Raises:
            ProcessFailedError: one of them does not come up again.
        """
        self.stop()
        self.start()

    def ended(self) -> Process | None:
        """The first of the three that ended by itself, if there is one."""
        return self._group.ended()

    def write_client_kubeconfig(self, name: str, *, user: str, groups: Sequence[str] = ()) -> Path:
        """A KUBECONFIG for another user, who may do what RBAC allows; `name` names its files, and is used once.

        Needs the address, so it comes after the first `start`.
        """
        path = self._run.folder("kubeconfigs") / name
        client = self._authority.issue_client(f"client-{name}", user=user, groups=groups)
        write_kubeconfig(path, server_url=self.server_url, ca_path=self.ca_path, client=client)
        return path

    def audit_events(self) -> list[Mapping[str, Any]]:
        """Every write that was answered before this call (see `audit`), in order; needs `audited=True` and a running
        API server.

        The event of a request follows its answer by some milliseconds. So this makes a request of its own, which
        changes nothing, and waits for the event of that one.

        Raises:
            ProcessFailedError: the event does not come.
        """
        marker = f"stow-dev-audit/{secrets.token_hex(8)}"
        self._mark(marker)
        seen: list[Mapping[str, Any]] = []

        def has_marker() -> bool:
            seen[:] = audit.read_events(self.audit_path)
            return any(event.get("userAgent") == marker for event in seen)

        self._server.wait_ready(has_marker, timeout_s=AUDIT_TIMEOUT_S)
        return [event for event in seen if not event.get("userAgent", "").startswith("stow-dev-audit/")]

    def _mark(self, user_agent: str) -> None:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"nonResourceAttributes": {"path": "/"}},
        }
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self._port, timeout=AUDIT_TIMEOUT_S, context=self._client_context()
        )
        with contextlib.closing(connection):
            connection.request(
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                body=json.dumps(body),
                headers={"Content-Type": "application/json", "User-Agent": user_agent},
            )
            connection.getresponse().read()

    def _start_etcd(self) -> None:
        # Sockets are named relative to the working directory: a path of the whole run folder may exceed the 108 bytes of a socket's name.
        sockets = [self._run.path / f"{name}:0" for name in (ETCD_SOCKET, PEER_SOCKET)]
        for socket in sockets:
            socket.unlink(missing_ok=True)  # etcd leaves them behind, and a stale one would look ready
        client, peer = f"unix://{ETCD_SOCKET}:0", f"unix://{PEER_SOCKET}:0"
        process = self._group.start(
            Command(
                "etcd",
                [
                    str(self._programs["etcd"]),
                    f"--data-dir={self._run.path / 'etcd'}",
                    "--unsafe-no-fsync",
                    f"--listen-client-urls={client}",
                    f"--advertise-client-urls={client}",
                    f"--listen-peer-urls={peer}",
                    f"--initial-advertise-peer-urls={peer}",
                    f"--initial-cluster=default={peer}",
                    "--log-level=warn",
                ],
                cwd=self._run.path,
            )
        )
        process.wait_ready(sockets[0].is_socket, timeout_s=READY_TIMEOUT_S)

    def _start_api_server(self) -> None:
        context = self._client_context()

        def is_ready(port: int) -> bool:
            return answers(f"https://127.0.0.1:{port}/readyz", context=context)

        address = self._port  # a restart keeps it, so that clients find it again
        self._server, self._port = start_on_free_port(
            self._group,
            self._api_server,
            is_ready,
            timeout_s=READY_TIMEOUT_S,
            pick=(lambda: address) if address else free_port,
        )
        if not address:
            write_kubeconfig(self.kubeconfig_path, server_url=self.server_url, ca_path=self.ca_path, client=self.admin)

    def _api_server(self, port: int) -> Command:
        flags = [
            f"--etcd-servers=unix://{ETCD_SOCKET}:0",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--tls-cert-file={self._serving.certificate_path}",
            f"--tls-private-key-file={self._serving.key_path}",
            f"--client-ca-file={self.ca_path}",
            "--authorization-mode=RBAC",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={self._token_public_key}",
            f"--service-account-signing-key-file={self._token_key}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--endpoint-reconciler-type=none",  # the others refuse a loopback address
            "--allow-privileged=true",
            "--profiling=false",
        ]
        if self._audited:
            flags += [f"--audit-policy-file={self._audit_policy_path}", f"--audit-log-path={self.audit_path}"]
        return Command("kube-apiserver", [str(self._programs["kube-apiserver"]), *flags], cwd=self._run.path)

    def _start_controller_manager(self) -> None:
        kubeconfig = self._run.path / "kube-controller-manager.kubeconfig"
        write_kubeconfig(kubeconfig, server_url=self.server_url, ca_path=self.ca_path, client=self._manager)
        process = self._group.start(
            Command(
                "kube-controller-manager",
                [
                    str(self._programs["kube-controller-manager"]),
                    f"--kubeconfig={kubeconfig}",
                    f"--service-account-private-key-file={self._token_key}",
                    f"--root-ca-file={self.ca_path}",
                    "--use-service-account-credentials=true",  # so that its controllers have the rights of a real cluster, and no more
                    "--leader-elect=false",
                    "--secure-port=0",
                    "--kube-api-qps=200",
                    "--kube-api-burst=400",
                    "--profiling=false",
                ],
                cwd=self._run.path,
            )
        )
        url = f"{self.server_url}/api/v1/namespaces/default/serviceaccounts/default"
        context = self._client_context()
        process.wait_ready(lambda: answers(url, context=context), timeout_s=READY_TIMEOUT_S)

    def _client_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca_path))
        context.load_cert_chain(self.admin.certificate_path, self.admin.key_path)
        return context

    def __enter__(self) -> ControlPlane:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
