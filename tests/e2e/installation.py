"""`stow operator` and `stow gateway` as child processes of this test, over the real control plane."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import stow
from e2e.backends import local_driver, minio_driver
from e2e.cluster import SYSTEM_NAMESPACE, Cluster
from e2e.web import Web, new_session
from stow.dev.assets import Assets
from stow.dev.cluster import DevCluster
from stow.dev.controlplane import ControlPlane
from stow.dev.minio import MinioServer
from stow.dev.processes import Process, answers, free_port
from stow.dev.runfolder import RunFolder
from stow.errors import ControlPlaneError
from stow.kube.rest import collection_path
from stow.storage.driver import Driver

START_TIMEOUT_S = 90.0
KILLED = 128 + 9
"""The exit code that a supervisor tells of a process that SIGKILL ended."""
_LOOPBACK = ("--egress-allow", "127.0.0.0/8", "--egress-allow", "::1/128")


@dataclass
class Installation:
    """An operator and a gateway that can be stopped, killed and started again; the gateway keeps its port."""

    cluster: Cluster
    dev: DevCluster
    minio: MinioServer
    local_root: Path
    web: Web
    gateway_port: int
    operator_port: int = 0
    operator: Process | None = None
    gateway: Process | None = None
    operator_options: Sequence[str] = ()
    gateway_options: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables that both processes have beside those of this one."""

    @property
    def public_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def logs(self) -> Mapping[str, bytes]:
        """All that both processes printed so far."""
        return {path.stem: path.read_bytes() for path in self.dev.run.folder("logs").glob("*.log")}

    async def start(self) -> None:
        """Both, until both are ready: the gateway needs the keys that the operator makes."""
        await asyncio.gather(self.start_operator(), self.start_gateway())

    async def start_operator(self, *, crash_at: str | None = None, ready: bool = True) -> Process:
        self.operator_port = free_port()
        self.operator = await self._start("operator", self.operator_port, self.operator_options, crash_at, ready=ready)
        return self.operator

    async def start_replica(self, pod_name: str, *, ready: bool = True) -> Process:
        """An operator as one of several Pods."""
        env = {"POD_NAME": pod_name}
        return await self._start(pod_name, free_port(), self.operator_options, None, ready=ready, env=env)

    async def start_gateway(self, *, crash_at: str | None = None, ready: bool = True) -> Process:
        self.gateway = await self._start("gateway", self.gateway_port, self.gateway_options, crash_at, ready=ready)
        return self.gateway

    async def _start(
        self,
        name: str,
        port: int,
        options: Sequence[str],
        crash_at: str | None,
        *,
        ready: bool,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        shared = ["--local-root", str(self.local_root), "--secret-poll-interval", "1s", *_LOOPBACK]
        command = "gateway" if name == "gateway" else "operator"
        argv = [command, *shared, "--listen", f"127.0.0.1:{port}", "--public-url", self.public_url, *options]
        settings = {**self.environment, **(env or {}), **({"STOW_CRASH_AT": crash_at} if crash_at else {})}
        process = await asyncio.to_thread(start_stow, self.dev, name, argv, settings)
        if ready:
            url = f"http://127.0.0.1:{port}/readyz"
            await asyncio.to_thread(process.wait_ready, lambda: answers(url), timeout_s=START_TIMEOUT_S)
        return process

    async def stop(self, process: Process | None) -> None:
        """SIGTERM, and until it is gone."""
        if process is not None:
            await asyncio.to_thread(self.dev.children.stop, process)

    async def restart_operator(self) -> None:
        await self.stop(self.operator)
        await self.start_operator()

    async def restart_gateway(self) -> None:
        await self.stop(self.gateway)
        await self.start_gateway()

    async def kill(self, process: Process | None) -> None:
        """SIGKILL, and until it is gone."""
        if process is not None:
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait, timeout_s=START_TIMEOUT_S)
            await self.stop(process)

    async def killed(self, process: Process) -> None:
        """Wait until it died by SIGKILL, as at a crash point."""
        code = await asyncio.to_thread(process.wait, timeout_s=START_TIMEOUT_S)
        assert code == KILLED, f"{process.command.name} ended with {code}, not by SIGKILL"

    # What tests apply

    def minio_keys(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.minio.access_key, "AWS_SECRET_ACCESS_KEY": self.minio.secret_key}

    def s3_spec(self, secret: str = "keys", **more: Any) -> dict[str, Any]:
        return s3_spec(self.minio.endpoint, secret, region=self.minio.region, **more)

    async def location(self, kind: str, namespace: str, name: str = "main", **more: Any) -> Any:
        """A StowLocation on ``minio`` (with its Secret) or ``local``."""
        if kind == "local":
            spec = {"local": {"path": f"{namespace}-{name}"}, **more}
            return await self.cluster.create("StowLocation", namespace, name, spec)
        await self.cluster.secret(namespace, f"{name}-keys", self.minio_keys())
        return await self.cluster.create("StowLocation", namespace, name, self.s3_spec(f"{name}-keys", **more))

    def backend(self, kind: str, namespace: str, name: str = "main") -> AbstractAsyncContextManager[Driver]:
        """What the location of :meth:`location` leads to, without it."""
        if kind == "local":
            return local_driver(self.local_root, namespace, f"{namespace}-{name}")
        return minio_driver(self.minio.endpoint, self.minio.access_key, self.minio.secret_key)

    async def container(self, namespace: str, name: str, location: str = "main", **more: Any) -> Any:
        """A StowContainer; its bucket is ``<namespace>-<name>``, since MinIO's are shared by all tests."""
        spec = {"locationRef": {"kind": "StowLocation", "name": location}, "containerName": f"{namespace}-{name}"}
        return await self.cluster.create("StowContainer", namespace, name, {**spec, **more})


def start_stow(dev: DevCluster, name: str, argv: Sequence[str], env: Mapping[str, str]) -> Process:
    """A child with this checkout's package, not waited for."""
    package = str(Path(stow.__file__).parents[1])
    return dev.start_child(name, [sys.executable, "-m", "stow.cli.main", *argv], env={"PYTHONPATH": package, **env})


def s3_spec(endpoint: str, secret: str, *, region: str = "us-east-1", **more: Any) -> dict[str, Any]:
    s3 = {"endpoint": endpoint, "region": region, "addressingStyle": "Path"}
    return {"s3": s3, "credentials": {"secretRef": {"name": secret}}, **more}


@asynccontextmanager
async def installed(
    cluster: Cluster,
    plane: ControlPlane,
    assets: Assets,
    minio: MinioServer,
    *,
    started: bool = True,
    operator_options: Sequence[str] = (),
    gateway_options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[Installation]:
    """Both processes in a cluster that holds no custom resource; everything is taken away again at the end."""
    await _system_namespace(cluster)
    await cluster.wipe()
    with RunFolder() as run:
        dev = DevCluster(run, plane, assets)
        with dev.children:
            async with new_session() as session:
                port = free_port()
                web = Web(session, f"http://127.0.0.1:{port}")
                found = Installation(
                    cluster,
                    dev,
                    minio,
                    run.folder("objects"),
                    web,
                    port,
                    operator_options=operator_options,
                    gateway_options=gateway_options,
                    environment=environment or {},
                )
                if started:
                    await found.start()
                yield found
            await asyncio.to_thread(dev.children.stop_all)
    await cluster.wipe()


async def _system_namespace(cluster: Cluster) -> None:
    try:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM_NAMESPACE}}
        await cluster.request("POST", collection_path("Namespace"), body=body)
    except ControlPlaneError as error:
        if error.status != 409:
            raise
