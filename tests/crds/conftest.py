"""Tests of the CRDs.

Real: the API server, which takes the files of crds/ as they are and judges every object. Fake: nothing. Asserted: the
answers of the API server, with the messages that users see, and that operator/stow/api agrees with the schema.
"""

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import config

CRD_FOLDER = Path(__file__).parents[2] / "crds"
GROUP_PATH = "/apis/stowstore.io/v1alpha1"
CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PLURALS = {
    "StowLocation": "stowlocations",
    "ClusterStowLocation": "clusterstowlocations",
    "StowContainer": "stowcontainers",
}


class Answer:
    """Status, JSON body and headers of one request."""

    def __init__(self, status: int, body: dict[str, Any], warnings: str | None) -> None:
        self.status = status
        self.body = body
        self.warnings = warnings

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


class Api:
    """Plain requests to the API server with the control plane's own KUBECONFIG."""

    def __init__(self, kubeconfig_path: Path) -> None:
        self._client = config.new_client_from_config(config_file=str(kubeconfig_path))

    def close(self) -> None:
        self._client.rest_client.pool_manager.clear()

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        names = {"accept": "Accept", "content_type": "Content-Type"}
        wanted = {"Accept": "application/json", "Content-Type": "application/json"}
        wanted |= {names[key]: value for key, value in headers.items()}
        arguments = self._client.param_serialize(
            method, path, header_params=wanted, body=body, auth_settings=["BearerToken"]
        )
        response = self._client.call_api(*arguments, _request_timeout=20)
        text = response.read().decode()
        body = json.loads(text) if text.startswith("{") else {"message": text}
        return Answer(response.status, body, response.getheader("Warning"))


def path_of(kind: str, namespace: str, name: str = "", subresource: str = "") -> str:
    scope = "" if kind == "ClusterStowLocation" else f"/namespaces/{namespace}"
    return "/".join(part for part in (f"{GROUP_PATH}{scope}/{PLURALS[kind]}", name, subresource) if part)


def crd_documents() -> dict[str, dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text()) for path in sorted(CRD_FOLDER.glob("*.yaml"))]
    return {document["spec"]["names"]["kind"]: document for document in documents}


def eventually(look: Any, *, within_s: float = 30.0) -> None:
    """Waits until `look()` is true; the API server has no way to announce that a new endpoint is served."""
    end = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < end, "the API server did not get there in time"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def api(control_plane: Any) -> Iterator[Api]:
    """A connection to an API server that holds the CRDs."""
    connection = Api(Path(control_plane.kubeconfig_path))
    for document in crd_documents().values():
        path = f"{CRD_PATH}/{document['metadata']['name']}?fieldManager=crd-tests&force=true"
        answer = connection.request("PATCH", path, document, content_type="application/apply-patch+yaml")
        assert answer.status in (200, 201), answer.message
    for kind in PLURALS:
        eventually(lambda kind=kind: connection.request("GET", path_of(kind, "default")).status == 200)
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def namespace(api: Api) -> Iterator[str]:
    name = f"crds-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert api.request("POST", "/api/v1/namespaces", body).status == 201
    yield name
    api.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def created(api: Api, namespace: str) -> Iterator[Any]:
    """A function that stores an object and answers with it; what it stored goes after the test."""
    paths = []

    def create(kind: str, spec: dict[str, Any], name: str | None = None) -> dict[str, Any]:
        body = custom_resource(kind, spec, name or f"x{uuid.uuid4().hex[:8]}")
        answer = api.request("POST", f"{path_of(kind, namespace)}?fieldValidation=Strict", body)
        assert answer.status == 201, answer.message
        paths.append(path_of(kind, namespace, body["metadata"]["name"]))
        return answer.body

    yield create
    for path in paths:
        api.request("DELETE", path)


def custom_resource(kind: str, spec: Any, name: str) -> dict[str, Any]:
    return {"apiVersion": "stowstore.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
