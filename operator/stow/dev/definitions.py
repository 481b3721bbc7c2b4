"""The CRDs and examples that come with the package, and their way into a control plane.

In a wheel they lie below this package, in a checkout at its root. CRDs are applied server-side, so that applying them
again changes nothing.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from stow.dev.failures import DevError

FIELD_MANAGER = "stow-dev"
REQUEST_TIMEOUT_S = 15.0
ESTABLISHED_TIMEOUT_S = 30.0
POLL_INTERVAL_S = 0.05
_CHECKOUT = {"crds": "crds", "quickstart": "examples/quickstart"}


def packaged_folder(name: str) -> Path:
    """The folder `crds` or `quickstart`.

    Raises:
        DevError: it is neither in the package nor in a checkout.
    """
    package = Path(__file__).parent
    for folder in (package / name, package.parents[2] / _CHECKOUT[name]):
        if folder.is_dir():
            return folder
    raise DevError(f"this installation of stow-operator lacks its folder {name}: install it anew")


def apply_crds(kubeconfig_path: Path, *, folder: Path | None = None) -> list[str]:
    """Apply every CRD of a folder (default: ours) and wait until each is served; return their names.

    Raises:
        DevError: a file holds something else, the API server refuses a CRD, or it is not served in time.
    """
    definitions = _read(folder or packaged_folder("crds"))
    configuration = client.Configuration()
    config.load_kube_config(str(kubeconfig_path), client_configuration=configuration, persist_config=False)  # type: ignore[no-untyped-call]  # it has no annotations
    configuration.proxy = None  # the API server is on loopback
    with client.ApiClient(configuration) as connection:
        api = client.ApiextensionsV1Api(connection)
        for name, definition in definitions.items():
            _apply(api, name, definition)
        deadline = time.monotonic() + ESTABLISHED_TIMEOUT_S
        for name in definitions:
            _wait_established(api, name, deadline=deadline)
    return list(definitions)


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    definitions: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if not isinstance(document, dict) or document.get("kind") != "CustomResourceDefinition":
                raise DevError(f"{path} holds something that is no CustomResourceDefinition")
            definitions[document["metadata"]["name"]] = document
    if not definitions:
        raise DevError(f"{folder} holds no CustomResourceDefinition")
    return definitions


def _apply(api: client.ApiextensionsV1Api, name: str, definition: dict[str, Any]) -> None:
    try:
        api.patch_custom_resource_definition(
            name,
            definition,
            field_manager=FIELD_MANAGER,
            force=True,
            _content_type="application/apply-patch+yaml",
            _request_timeout=REQUEST_TIMEOUT_S,
        )
    except client.ApiException as error:
        # The API server's own words: this is the developer's cluster, and they name the wrong field.
        raise DevError(f"the API server refuses the CRD {name} with HTTP {error.status}: {error.body}") from error


def _wait_established(api: client.ApiextensionsV1Api, name: str, *, deadline: float) -> None:
    while True:
        found = api.read_custom_resource_definition(name, _request_timeout=REQUEST_TIMEOUT_S)
        conditions = {
            condition.type: condition.status for condition in (found.status and found.status.conditions) or []
        }
        if conditions.get("Established") == "True":
            return
        if time.monotonic() >= deadline:
            raise DevError(
                f"the CRD {name} is not served after {ESTABLISHED_TIMEOUT_S:g} s; its conditions: {conditions}"
            )
        time.sleep(POLL_INTERVAL_S)
