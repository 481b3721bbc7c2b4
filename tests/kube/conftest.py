"""Real: the API server, RBAC and tokens (`control_plane`), sockets, the memory driver.

Fake: time, chance, and for decisions the API server's answers. Asserted: what is kept, asked, written and closed, and when.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from kubehelp import ServiceAccounts
from stow.dev.controlplane import ControlPlane
from stow.dev.definitions import apply_crds
from stow.kube.rest import Requests, requests


@pytest.fixture(scope="session")
def crds(control_plane: ControlPlane) -> None:
    """The API server serves our kinds."""
    apply_crds(control_plane.kubeconfig_path)


@pytest.fixture
async def api(kube_admin: Callable[[], ApiClient]) -> AsyncIterator[ApiClient]:
    """A connection with the administrator's rights."""
    async with kube_admin() as client:
        yield client


@pytest.fixture
def request_as_admin(api: ApiClient) -> Requests:
    return requests(api)


@pytest.fixture
async def accounts(
    control_plane: ControlPlane, request_as_admin: Requests, namespace: str
) -> AsyncIterator[ServiceAccounts]:
    """Makes ServiceAccounts of the test's namespace, their tokens, rights and connections."""

    def configuration(token: str) -> Configuration:
        found = Configuration(host=control_plane.server_url)
        found.ssl_ca_cert = str(control_plane.ca_path)
        found.api_key["BearerToken"] = token
        found.api_key_prefix["BearerToken"] = "Bearer"
        found.client_session_kwargs = {"trust_env": False}
        return found

    async with ServiceAccounts(request_as_admin, namespace, configuration) as made:
        yield made
