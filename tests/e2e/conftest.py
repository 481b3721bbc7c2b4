"""Real: everything. `stow operator` and `stow gateway` as processes of their own, the control plane with its controllers, RBAC and
ServiceAccount tokens, MinIO, local disks. Fake: nothing, but a stub of an S3 server where a backend has to stall.

Asserted: what a user of the two programs sees - status, HTTP answers, what is at the backend - and how many writes it took, by the API
server's own audit log. Each module has its own installation; the modules may run on different workers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager

import pytest
from kubernetes.aio.client import ApiClient

from e2e.cluster import Cluster
from e2e.installation import Installation, installed
from stow.dev.assets import Assets
from stow.dev.controlplane import ControlPlane
from stow.dev.definitions import apply_crds
from stow.dev.minio import MinioServer


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows the end of what operator and gateway logged."""
    del call
    report = yield
    found = getattr(item, "funcargs", {}).get("installation")
    if report.failed and isinstance(found, Installation):
        for name, text in found.logs.items():
            report.sections.append((f"{name}'s log", text[-2500:].decode("utf-8", "replace")))
    return report


@pytest.fixture(scope="session")
async def cluster(
    control_plane: ControlPlane, kube_admin: Callable[[], AbstractAsyncContextManager[ApiClient]]
) -> AsyncIterator[Cluster]:
    apply_crds(control_plane.kubeconfig_path)
    async with kube_admin() as api:
        yield Cluster(control_plane, api)


@pytest.fixture(scope="module")
async def installation(
    cluster: Cluster,
    control_plane: ControlPlane,
    assets: Assets,
    minio: MinioServer,
    request: pytest.FixtureRequest,
) -> AsyncIterator[Installation]:
    """Operator and gateway, ready. A module's ``OPERATOR_OPTIONS`` and ``GATEWAY_OPTIONS`` are added to their command lines."""
    async with installed(
        cluster,
        control_plane,
        assets,
        minio,
        operator_options=getattr(request.module, "OPERATOR_OPTIONS", ()),
        gateway_options=getattr(request.module, "GATEWAY_OPTIONS", ()),
    ) as found:
        yield found
