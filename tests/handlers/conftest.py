"""Real: the API server with its controllers, kopf's watches, the operator's whole composition, local stores on disk.

Fake: for the scheduler and the publisher time, chance and ports. Asserted: what users see in status, what is on the disk, and how many
writes it took, by the API server's own audit log.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from kubernetes.aio.client import ApiClient

from operatorworld import Cluster
from stow.dev.controlplane import ControlPlane
from stow.dev.definitions import apply_crds


@pytest.fixture(scope="session")
def crds(control_plane: ControlPlane) -> None:
    """The API server serves our kinds."""
    apply_crds(control_plane.kubeconfig_path)


@pytest.fixture(scope="session")
def local_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: objects of an earlier one must not look as if their backend had changed."""
    return tmp_path_factory.mktemp("local-root")


@pytest.fixture
async def cluster(
    control_plane: ControlPlane, kube_admin: Callable[[], ApiClient], crds: None, namespace: str
) -> AsyncIterator[Cluster]:
    async with kube_admin() as api:
        yield Cluster(control_plane, api, namespace)
