"""``stow gateway`` and ``stow operator`` that cannot start: one line that says why, exit code 1, no traceback.

The API server is real. What starts well is shown by the tests of the whole installation.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.command import Done, Stow
from stow.dev.controlplane import ControlPlane

SERVERS = ["gateway", "operator"]


@pytest.fixture
def server(stow: Stow, control_plane: ControlPlane) -> Stow:
    return stow.told(KUBECONFIG=str(control_plane.kubeconfig_path))


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield int(listening.getsockname()[1])


def why(done: Done, name: str) -> str:
    """What the one line of the command itself says; log lines may stand before it."""
    assert (done.code, done.output) == (1, b""), done.error
    own = [line for line in done.error.splitlines() if line.startswith(f"stow {name}: ")]
    assert len(own) == 1, done.error
    assert done.error.splitlines()[-1] == own[0]
    return own[0]


@pytest.mark.parametrize("name", SERVERS)
async def test_no_kubeconfig_says_where_it_was_looked_for(stow: Stow, name: str, tmp_path: Path) -> None:
    done = await stow.run(name, "--listen", "127.0.0.1:0", "--kubeconfig", str(tmp_path / "none"))

    assert "There is no usable connection to an API server" in why(done, name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("gateway", b"\xff\x00"),
        ("gateway", b"a: ["),
        ("gateway", b"[]"),
        ("gateway", b"current-context: x\n"),
        ("operator", b"a: ["),
    ],
)
async def test_a_kubeconfig_that_is_none_is_one_line(stow: Stow, name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(content)

    done = await stow.run(name, "--listen", "127.0.0.1:0", "--kubeconfig", str(tmp_path / "config"))

    assert "There is no usable connection to an API server" in why(done, name)


@pytest.mark.parametrize("name", SERVERS)
async def test_an_api_server_that_is_gone_ends_the_start(stow: Stow, name: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],"
        " clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: u, user: {token: canary}}]}"
    )

    done = await stow.run(name, "--listen", "127.0.0.1:0", "--kubeconfig", str(tmp_path / "config"))

    assert "API server" in why(done, name)
    assert "canary" not in done.error


@pytest.mark.parametrize(
    "audience", ["https://kubernetes.default.svc.cluster.local", "https://kubernetes.default.svc", ""]
)
async def test_the_api_servers_own_audience_is_refused(server: Stow, audience: str) -> None:
    done = await server.run("gateway", "--listen", "127.0.0.1:0", "--audience", audience)

    assert "Choose another one with --audience" in why(done, "gateway")


@pytest.mark.parametrize(
    ("name", "option", "network"),
    [
        ("gateway", "--egress-allow", "everything"),
        ("gateway", "--egress-allow", "10.0.0.1/8"),
        ("gateway", "--egress-deny", "10.0.0.0/99"),
        ("operator", "--egress-deny", "everything"),
    ],
)
async def test_a_network_that_is_none_is_named(server: Stow, name: str, option: str, network: str) -> None:
    done = await server.run(name, "--listen", "127.0.0.1:0", option, network)

    assert network in why(done, name)


@pytest.mark.parametrize("name", SERVERS)
async def test_a_port_in_use_is_named(server: Stow, name: str, taken_port: int) -> None:
    done = await server.run(
        name, "--listen", f"127.0.0.1:{taken_port}", "--system-namespace", "default", "--log-format", "text"
    )

    said = why(done, name)
    assert str(taken_port) in said
    assert "in use" in said


async def test_an_operator_without_its_namespace_says_which(server: Stow) -> None:
    done = await server.run("operator", "--listen", "127.0.0.1:0", "--system-namespace", "nowhere")

    assert "nowhere" in why(done, "operator")


@pytest.mark.parametrize("name", SERVERS)
async def test_wrong_options_are_2(stow: Stow, name: str) -> None:
    done = await stow.run(name, "--listen", "here")

    assert (done.code, done.output) == (2, b"")
    assert "is not host:port" in done.error
