"""A development cluster: control plane, CRDs, children."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from stow.dev.assets import Assets
from stow.dev.cluster import DevCluster, dev_cluster
from stow.dev.controlplane import ControlPlane
from stow.dev.definitions import apply_crds, packaged_folder
from stow.dev.failures import DevError, ProcessFailedError
from stow.dev.processes import answers, tail
from stow.dev.runfolder import RunFolder
from stow.dev.session import hold, stopped_by_signals

TIMEOUT_S = 60.0
SHOW_ENVIRONMENT = "import json, os; print(json.dumps({name: os.environ.get(name) for name in ('KUBECONFIG', 'GREETING')}), flush=True)"


@pytest.fixture
def cluster(control_plane: ControlPlane, assets: Assets, tmp_path: Path) -> Iterator[DevCluster]:
    """The session's control plane with children of its own."""
    with RunFolder(parent=tmp_path) as run:
        cluster = DevCluster(run, control_plane, assets)
        with cluster.children:
            yield cluster


def definition(group: str) -> dict[str, object]:
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def test_our_crds_are_served_after_they_were_applied_and_again(control_plane: ControlPlane, assets: Assets) -> None:
    names = apply_crds(control_plane.kubeconfig_path)

    assert apply_crds(control_plane.kubeconfig_path) == names
    assert {"stowlocations.stowstore.io", "clusterstowlocations.stowstore.io", "stowcontainers.stowstore.io"} <= set(
        names
    )
    kubectl = [str(assets.find("kubectl")), f"--kubeconfig={control_plane.kubeconfig_path}"]
    done = subprocess.run(
        [*kubectl, "get", "stowlocations,stowcontainers", "--all-namespaces"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_crd_that_the_api_server_refuses_is_an_error_that_names_the_field(
    control_plane: ControlPlane, tmp_path: Path, unique_name: Callable[[str], str]
) -> None:
    wrong = definition(f"{unique_name('group')}.example")
    wrong["spec"]["scope"] = "Galaxy"  # type: ignore[index]  # a nested dict
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))

    with pytest.raises(DevError, match=r"refuses the CRD things\.group-.* with HTTP 422: (.|\n)*spec\.scope"):
        apply_crds(control_plane.kubeconfig_path, folder=tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind: Secret\n", "is no CustomResourceDefinition"),
        ("just text\n", "is no CustomResourceDefinition"),
        (None, "holds no Custom"),
    ],
)
def test_a_folder_with_anything_else_is_refused_before_a_request(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "file.yaml").write_text(content)

    with pytest.raises(DevError, match=message):
        apply_crds(tmp_path / "no-kubeconfig", folder=tmp_path)


def test_the_checkout_supplies_what_a_wheel_packs() -> None:
    assert list(packaged_folder("crds").glob("*.yaml"))


def test_a_child_gets_the_kubeconfig_and_what_it_is_given(cluster: DevCluster) -> None:
    child = cluster.start_child("child", [sys.executable, "-c", SHOW_ENVIRONMENT], env={"GREETING": "hello"})
    child.wait(timeout_s=TIMEOUT_S)

    assert json.loads(tail(child.log_path)[-1]) == {"KUBECONFIG": str(cluster.kubeconfig_path), "GREETING": "hello"}


def test_a_child_that_is_not_ready_is_stopped_and_reported(cluster: DevCluster) -> None:
    with pytest.raises(ProcessFailedError, match=r"child was not ready within 0\.1 s"):
        cluster.start_child(
            "child", [sys.executable, "-c", "import signal; signal.pause()"], is_ready=lambda: False, timeout_s=0.1
        )

    assert cluster.ended() is None


def test_holding_ends_with_the_last_words_of_a_child_that_ended_by_itself(cluster: DevCluster) -> None:
    cluster.start_child("gateway", [sys.executable, "-c", "raise SystemExit('port taken')"]).wait(timeout_s=TIMEOUT_S)

    with pytest.raises(ProcessFailedError, match=r"gateway ended with code 1(.|\n)*port taken"):
        hold(cluster)


def test_a_stow_server_runs_from_the_same_installation_on_a_free_port(cluster: DevCluster) -> None:
    """The gateway, before any operator has made its keys: it is alive, and will not be ready."""
    process, port = cluster.start_stow(
        "gateway", lambda free: ["gateway", "--listen", f"127.0.0.1:{free}"], ready_path="/healthz"
    )

    assert process.exit_code() is None
    assert not answers(f"http://127.0.0.1:{port}/readyz")
    cluster.children.stop(process)


def test_a_failure_in_the_cluster_stops_it_and_passes_through(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with pytest.raises(ZeroDivisionError), dev_cluster(crds=False, assets=assets):
        _ = 1 // 0

    assert list(tmp_path.iterdir()) == []


def test_signal_handlers_are_as_before_once_the_block_is_left() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    with stopped_by_signals():
        os.kill(os.getpid(), signal.SIGTERM)

    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
