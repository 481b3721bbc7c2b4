"""KUBECONFIG files: how kubectl, the operator and kube-controller-manager reach the API server."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import yaml

from stow.dev.certificates import KeyPair

CONTEXT = "stow-dev"


def write_kubeconfig(path: Path, *, server_url: str, ca_path: Path, client: KeyPair) -> None:
    """Write a file that needs no other: certificates and key are inside. Mode 0600."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": CONTEXT, "cluster": {"server": server_url, "certificate-authority-data": _inline(ca_path)}}
        ],
        "users": [
            {
                "name": CONTEXT,
                "user": {
                    "client-certificate-data": _inline(client.certificate_path),
                    "client-key-data": _inline(client.key_path),
                },
            }
        ],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": "default"}}],
        "current-context": CONTEXT,
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.safe_dump(config, file, sort_keys=False)


def _inline(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
