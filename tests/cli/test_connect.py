"""Where the gateway and the token come from: options, the environment, a pod's files, a KUBECONFIG on the real API server."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubernetes.aio import client as kube_client

from cli.command import Stow, plant
from conftest import KubeClientFactory
from gateway.world import ALICE, TOKEN, World
from stow.cli.client import ObjectClient, Target
from stow.cli.connect import (
    DISCOVERY,
    Options,
    Surroundings,
    checked_server,
    connect,
    current_namespace,
    surroundings,
)
from stow.cli.exits import CommandError, Exit
from stow.dev.controlplane import ControlPlane
from stow.gateway.ports import Identity
from stow.kube.client import KubeConfig
from stow.kube.client import connect as connect_to_api_server
from stow.kube.rest import requests
from stow.kube.reviews import TokenReviewer


@pytest.fixture
def pod(world: World, tmp_path: Path) -> Surroundings:
    """A pod's files, with the token of ``world``, and its gateway where the Service would be."""
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "namespace").write_text("team\n")
    return Surroundings(
        in_cluster=True,
        token_file=tmp_path / "token",
        namespace_file=tmp_path / "namespace",
        server=f"http://127.0.0.1:{world.port}",
    )


async def test_a_pod_needs_no_option(world: World, pod: Surroundings) -> None:
    await plant(world, "k", b"data")
    namespace = current_namespace(Options(), pod)
    connection = await connect(Options(), namespace, pod)

    async with ObjectClient(connection, Target(namespace)) as client:
        headers = await client.head("reports", "k")

    assert namespace == "team"
    assert headers["Content-Length"] == "4"
    assert TOKEN not in repr(connection)


async def test_what_is_said_goes_before_what_a_pod_has(pod: Surroundings, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    options = Options(server="https://elsewhere.test/base/", token_file=tmp_path / "mine", namespace="other")

    connection = await connect(options, "other", pod)

    assert current_namespace(options, pod) == "other"
    assert (connection.server, connection.token) == ("https://elsewhere.test/base", "mine")


async def test_a_pod_without_a_token_hears_which_volume_to_add(pod: Surroundings, tmp_path: Path) -> None:
    without = dataclasses.replace(pod, token_file=tmp_path / "none")

    with pytest.raises(CommandError, match=r"audience stowstore\.io") as raised:
        await connect(Options(), "team", without)

    assert raised.value.exit_code is Exit.REFUSED


async def test_a_pods_token_that_cannot_be_read_is_an_error_and_not_no_token(pod: Surroundings, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(CommandError, match="cannot be read"):
        await connect(Options(), "team", dataclasses.replace(pod, token_file=tmp_path / "folder"))


def test_a_pod_without_a_namespace_file_is_in_default(pod: Surroundings, tmp_path: Path) -> None:
    assert current_namespace(Options(), dataclasses.replace(pod, namespace_file=tmp_path / "none")) == "default"


def test_a_process_is_in_a_cluster_where_kubernetes_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert not surroundings().in_cluster

    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert surroundings().in_cluster
    assert str(surroundings().token_file) == "/var/run/secrets/stowstore.io/token"


@pytest.mark.parametrize("url", ["http://h", "https://h:8080", "http://[::1]:80/", "https://h/base/path/"])
def test_a_base_url_of_http_is_taken(url: str) -> None:
    assert checked_server(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        *("", "h:8080", "ftp://h", "http://", "http://u:p@h", "http://h:x", "http://h:99999", "http://h:0"),
        *("http://h?q", "http://h#f", "http://h\n", "http://h/ü", "http://h /", "http://[::1"),
    ],
)
def test_any_other_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(CommandError, match="is no URL such as") as raised:
        checked_server(url)

    assert not url or url not in raised.value.message
    assert raised.value.exit_code is Exit.USAGE


async def test_no_pod_and_no_kubeconfig_says_what_to_set(stow: Stow) -> None:
    done = await stow.run("ls", "reports")

    assert (done.code, done.output) == (2, b"")
    assert "Set --server or STOW_SERVER" in done.error


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: [", b"[]", b"just text", b"", b"current-context: x\n"])
async def test_a_kubeconfig_that_is_none_is_one_message(stow: Stow, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config").write_bytes(content)

    done = await stow.told(KUBECONFIG=str(tmp_path / "config")).run("ls", "reports")

    assert done.code == 6
    assert done.error.startswith("stow: No gateway is known: ")
    assert done.error.count("\n") == 1
    assert "error of the command itself" not in done.error


async def test_an_api_server_that_is_gone_is_6(stow: Stow, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],"
        " clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: u, user: {token: t}}]}"
    )

    done = await stow.told(KUBECONFIG=str(tmp_path / "config")).run("ls", "reports")

    assert (done.code, done.error.count("\n")) == (6, 1)


@pytest.fixture
async def published(world: World, kube_admin: KubeClientFactory) -> AsyncIterator[None]:
    """The ConfigMap that ``stow dev`` writes, on the real API server."""
    namespace, name = DISCOVERY
    async with kube_admin() as api:
        core = kube_client.CoreV1Api(api)
        body = {"metadata": {"name": name}, "data": {"url": f"http://127.0.0.1:{world.port}"}}
        await core.create_namespaced_config_map(namespace, body, _request_timeout=30)
        yield
        await core.delete_namespaced_config_map(name, namespace, _request_timeout=30)


class RealTokens:
    """A gateway's TokenReviewer that asks the API server, and knows everybody as Alice afterwards: rights have their own tests."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self.config = KubeConfig(path=control_plane.kubeconfig_path)
        self.seen: list[str] = []

    async def review(self, token: str) -> Identity | None:
        async with connect_to_api_server(self.config) as api:
            found = await TokenReviewer(requests(api), Identity).review(token)
        if found is None:
            return None
        self.seen.append(found.user)
        return ALICE


@pytest.mark.usefixtures("published")
async def test_a_kubeconfig_alone_finds_gateway_namespace_and_token(
    world: World, stow: Stow, control_plane: ControlPlane, namespace: str, kube_admin: KubeClientFactory
) -> None:
    async with kube_admin() as api:
        core = kube_client.CoreV1Api(api)
        await core.create_namespaced_service_account(namespace, {"metadata": {"name": "app"}}, _request_timeout=30)
    tokens = RealTokens(control_plane)
    world.tokens.review = tokens.review  # type: ignore[method-assign]  # the port's fake, told to ask the real one
    world.memory.labels[namespace] = {}
    told = stow.told(KUBECONFIG=str(control_plane.kubeconfig_path))

    found = await told.run("ls", "reports", "-n", namespace, "--service-account", "app")
    missing = await told.run("ls", "reports", "-n", namespace, "--service-account", "nobody")

    assert tokens.seen == [f"system:serviceaccount:{namespace}:app"]
    assert found.code == 3, found.error  # it came in as Alice, and there is no such container there
    assert (missing.code, "There is no ServiceAccount nobody" in missing.error) == (2, True)


async def test_a_cluster_without_a_gateway_is_1_and_never_absent(
    stow: Stow, control_plane: ControlPlane, tmp_path: Path
) -> None:
    """A script that takes 3 for "the object does not exist" must not be told so by a missing ConfigMap."""
    done = await stow.told(KUBECONFIG=str(control_plane.kubeconfig_path)).run("stat", "reports/k")

    assert done.code == 1
    assert "kube-public/stow-gateway" in done.error
    assert "STOW_SERVER" in done.error
