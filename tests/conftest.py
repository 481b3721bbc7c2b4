"""What every test may ask for.

Real: kube-apiserver, kube-controller-manager and etcd with RBAC and ServiceAccount tokens; MinIO with its signatures;
moto's S3 server in its own process; Azurite; OpenStack Swift; fake-gcs-server, which verifies nothing. What each proves
and what it does not stands in its module below `servers/`. All are started here on free loopback ports, once for each
pytest worker, at the first test that asks; a worker of its own may restart its control plane without another one's
tests noticing. Fake: nothing in this file. Asserted here: that nothing is skipped. A server that cannot be started is
an error of each test that needs it, never a skip.

Buckets, namespaces and containers of a test carry a random suffix (`unique_name`), so that tests run in any order and
share servers.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
from kubernetes.aio import client as kube_client
from kubernetes.aio import config as kube_config

from servers.azurite import AzuriteServer, start_azurite
from servers.fake_gcs import FakeGcsServer, start_fake_gcs
from servers.gcs_front import GcsFront, running_front
from servers.minio import MinioServer, start_minio
from servers.moto import MotoServer, start_moto
from servers.swift import SwiftServer, start_swift
from stow.dev.assets import CONTROL_PLANE, Assets, default_assets
from stow.dev.controlplane import ControlPlane
from stow.dev.processes import ProcessGroup
from stow.dev.runfolder import RunFolder

KubeClientFactory = Callable[[], "contextlib.AbstractAsyncContextManager[kube_client.ApiClient]"]


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def pytest_configure(config: pytest.Config) -> None:
    """SIGTERM ends a run like Ctrl-C: fixtures are torn down, so no server and no folder stays behind.

    SIGINT gets its handler back where the run was started in the background of a script: such a shell lets it be ignored, by this
    process and by every child that a test wants to interrupt.
    """
    del config
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if threading.current_thread() is threading.main_thread():  # signals have handlers there alone
        signal.signal(signal.SIGTERM, _interrupt)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A skip is a failure: a test that cannot run here proves nothing. (A strict xfail is no skip.)"""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and nothing may be skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """A whole module that skips itself is a failure too."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} was skipped, and nothing may be skipped: {report.longrepr}"
    return report


@pytest.fixture
def unique_name() -> Callable[[str], str]:
    """`unique_name("team")` is `team-` and ten random hexadecimal digits: a valid bucket, namespace and object name."""
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
def run_folder() -> Iterator[RunFolder]:
    """The folder of this worker's servers: data and logs. It is removed at the end."""
    with RunFolder() as run:
        yield run


@pytest.fixture(scope="session")
def processes(run_folder: RunFolder) -> Iterator[ProcessGroup]:
    """Where session-wide servers are started; all are stopped at the end, the last one first."""
    with ProcessGroup(run_folder) as group:
        yield group


@pytest.fixture(scope="session")
def find_program(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Finds or builds one program of a store: `find_program("azurite")`. A build shows its progress in spite of pytest's
    capture."""
    found = default_assets()

    def find(name: str) -> Path:
        with _uncaptured(request):
            return found.find(name)

    return find


@pytest.fixture(scope="session")
def assets(request: pytest.FixtureRequest) -> Assets:
    """Finds or builds programs: `assets.find("minio")` is an executable's path. A build shows its progress in spite
    of pytest's capture."""
    with _uncaptured(request):
        found = default_assets()
        found.find_all(CONTROL_PLANE)
        found.find("minio")
    return found


def _uncaptured(request: pytest.FixtureRequest) -> contextlib.AbstractContextManager[None]:
    capture = request.config.pluginmanager.getplugin("capturemanager")
    return contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled()


@pytest.fixture(scope="session")
def control_plane(assets: Assets) -> Iterator[ControlPlane]:
    """A running control plane: `kubeconfig_path`, `server_url`, `ca_path`, `restart()`, `audit_events()`.

    `restart()` blocks for some seconds: call it by `asyncio.to_thread` where other tasks must go on. It comes back on
    the same address with the same data.
    """
    with RunFolder() as run, ControlPlane(run, assets.find_all(CONTROL_PLANE), audited=True) as plane:
        yield plane


@pytest.fixture(scope="session")
def minio(assets: Assets, processes: ProcessGroup) -> MinioServer:
    """A running MinIO: `endpoint`, `access_key`, `secret_key`, `region`."""
    return start_minio(processes, assets.find("minio"))


@pytest.fixture(scope="session")
def moto_server(processes: ProcessGroup) -> MotoServer:
    """A running moto: `endpoint`, `access_key`, `secret_key`, `region`."""
    return start_moto(processes)


@pytest.fixture(scope="session")
def fake_gcs(find_program: Callable[[str], Path], processes: ProcessGroup) -> FakeGcsServer:
    """A running fake-gcs-server: `endpoint`, `project`. It verifies nothing."""
    return start_fake_gcs(processes, find_program("fake-gcs-server"))


@pytest.fixture
async def gcs_front(fake_gcs: FakeGcsServer) -> AsyncIterator[GcsFront]:
    """Google's verification before `fake_gcs`, with token endpoint, signBlob and metadata server: `endpoint`, `account`,
    `denied_account`, `token_url`, `authority`, `counts`, `requests`, `clock`.

    Each test has its own, for its own clock and counts; the objects behind are shared. A longer-lived one is
    `servers.gcs_front.running_front(fake_gcs.endpoint)`.
    """
    async with running_front(fake_gcs.endpoint) as front:
        yield front


@pytest.fixture(scope="session")
def azurite(find_program: Callable[[str], Path], processes: ProcessGroup) -> AzuriteServer:
    """A running Azurite on HTTP: `endpoint` (with the account in its path), `account`, `key`."""
    return start_azurite(processes, find_program("azurite"))


@pytest.fixture(scope="session")
def azurite_tls(find_program: Callable[[str], Path], processes: ProcessGroup) -> AzuriteServer:
    """A running Azurite on HTTPS that takes bearer tokens too; its authority's certificate is at `ca_path`."""
    return start_azurite(processes, find_program("azurite"), name="azurite-tls", tls=True)


@pytest.fixture(scope="session")
def swift_server(find_program: Callable[[str], Path], processes: ProcessGroup) -> SwiftServer:
    """A running OpenStack Swift: `auth_url`, `storage_url`, `user`, `key`, `denied_user`, `denied_key`.

    One with other limits or a short token life is a test's own: `servers.swift.start_swift(group, python, ...)`.
    """
    return start_swift(processes, find_program("swift"))


@pytest.fixture(scope="session")
def kube_admin(control_plane: ControlPlane) -> KubeClientFactory:
    """Makes `kubernetes.aio` API clients with the administrator's rights: `async with kube_admin() as api: ...`."""

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[kube_client.ApiClient]:
        configuration = kube_client.Configuration()
        await kube_config.load_kube_config(
            str(control_plane.kubeconfig_path), client_configuration=configuration, persist_config=False
        )
        configuration.proxy = None  # it is on loopback, whatever the environment says
        async with kube_client.ApiClient(configuration) as api:
            yield api

    return connect


@pytest.fixture
async def namespace(kube_admin: KubeClientFactory, unique_name: Callable[[str], str]) -> AsyncIterator[str]:
    """The name of a fresh namespace. It is deleted afterwards, and its end not waited for."""
    name = unique_name("test")
    async with kube_admin() as api:
        core = kube_client.CoreV1Api(api)
        await core.create_namespace({"metadata": {"name": name}}, _request_timeout=30)
        yield name
        with contextlib.suppress(kube_client.ApiException):  # a test may have deleted it
            await core.delete_namespace(name, _request_timeout=30)
