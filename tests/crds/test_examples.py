"""Each folder of examples/ is what `kubectl apply -k` takes, and what the API server stores, field by field."""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from crds.conftest import Api, crd_documents, path_of
from stow.api.credentials.azure import AZURE_KEYS
from stow.api.credentials.google import GOOGLE_KEYS
from stow.api.credentials.s3 import ORACLE_KEYS, S3_KEYS
from stow.api.credentials.swift import SWIFT_KEYS
from stow.api.meta import KINDS, STOW_CONTAINER, STOW_LOCATION
from stow.dev.assets import Assets
from stow.dev.controlplane import ControlPlane

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/kustomization.yaml"))
SECRET_KEYS: dict[str, Collection[str]] = {
    "s3": S3_KEYS.values,
    "google": GOOGLE_KEYS,
    "azure": AZURE_KEYS.values,
    "swift": SWIFT_KEYS.values,
    "oracle": ORACLE_KEYS.values,
}
"""By the kind of backend; local has none."""


def kinds_of_backends() -> set[str]:
    """The union members of the schema."""
    spec = crd_documents()["StowLocation"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return {name for name in spec["properties"] if name in {*SECRET_KEYS, "local"}}


def objects(folder: str) -> list[dict[str, Any]]:
    """What the Kustomization lists, in its order."""
    kustomization = yaml.safe_load((EXAMPLES / folder / "kustomization.yaml").read_text(encoding="utf-8"))
    return [
        document
        for name in kustomization["resources"]
        for document in yaml.safe_load_all((EXAMPLES / folder / name).read_text(encoding="utf-8"))
    ]


def one(folder: str, kind: str) -> dict[str, Any]:
    (found,) = [each for each in objects(folder) if each["kind"] == kind]
    return found


def test_every_kind_of_backend_has_an_example() -> None:
    assert set(FOLDERS) == kinds_of_backends()


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_kustomization_lists_every_manifest_beside_it_and_nothing_else(folder: str) -> None:
    kustomization = yaml.safe_load((EXAMPLES / folder / "kustomization.yaml").read_text(encoding="utf-8"))
    beside = {path.name for path in (EXAMPLES / folder).glob("*.yaml")} - {"kustomization.yaml"}

    assert kustomization == {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": kustomization["resources"],
    }
    assert sorted(kustomization["resources"]) == sorted(beside)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_api_server_takes_every_object(api: Api, namespace: str, folder: str) -> None:
    """As `kubectl apply --server-side -k` sends them, and without a namespace, so that `-n` says where they go."""
    for document in objects(folder):
        assert "namespace" not in document["metadata"]
        kind, name = document["kind"], document["metadata"]["name"]
        path = path_of(kind, namespace, name) if kind in KINDS else f"/api/v1/namespaces/{namespace}/secrets/{name}"
        answer = api.request(
            "PATCH",
            f"{path}?fieldManager=examples&dryRun=All&fieldValidation=Strict",
            document,
            content_type="application/apply-patch+yaml",
        )
        assert (answer.status, answer.message, answer.warnings) == (201, "", None)


@pytest.mark.parametrize("folder", FOLDERS)
def test_kubectl_applies_the_folder(
    api: Api, control_plane: ControlPlane, assets: Assets, namespace: str, folder: str
) -> None:
    command = [str(assets.find("kubectl")), "apply", "-k", str(EXAMPLES / folder), "-n", namespace, "--dry-run=server"]
    done = subprocess.run(
        command,
        env={"KUBECONFIG": str(control_plane.kubeconfig_path), "HOME": str(control_plane.kubeconfig_path.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(line.partition("/")[2] for line in done.stdout.splitlines()) == sorted(
        f"{each['metadata']['name']} created (server dry run)" for each in objects(folder)
    )


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_example_is_of_the_kind_that_its_folder_says_and_fits_together(folder: str) -> None:
    location, container = one(folder, STOW_LOCATION.kind), one(folder, STOW_CONTAINER.kind)

    assert folder in location["spec"]
    assert container["spec"]["locationRef"] == {"kind": STOW_LOCATION.kind, "name": location["metadata"]["name"]}
    if folder in SECRET_KEYS:
        assert location["spec"]["credentials"] == {"secretRef": {"name": one(folder, "Secret")["metadata"]["name"]}}


@pytest.mark.parametrize("folder", sorted(SECRET_KEYS))
def test_a_secret_template_has_known_keys_and_no_value_that_could_be_real(folder: str) -> None:
    secret = one(folder, "Secret")

    assert set(secret) == {"apiVersion", "kind", "metadata", "stringData"}
    assert set(secret["stringData"]) <= set(SECRET_KEYS[folder])
    assert [key for key, value in secret["stringData"].items() if "REPLACE-WITH-" not in value] == []
