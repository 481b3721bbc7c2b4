"""The API server's audit log: who wrote what, and how often.

Only requests that change something are recorded, with their metadata and never their bodies, so no Secret gets into it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

WRITE_VERBS = ("create", "update", "patch", "delete", "deletecollection")
FIRST_ERROR_STATUS = 400
_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "omitManagedFields": True,
    "rules": [{"level": "Metadata", "verbs": list(WRITE_VERBS)}, {"level": "None"}],
}


def write_policy(path: Path) -> None:
    """The policy that records every write, each once, when it is complete."""
    path.write_text(yaml.safe_dump(_POLICY, sort_keys=False), encoding="utf-8")


def read_events(path: Path) -> list[Mapping[str, Any]]:
    """The events so far, in the order in which they were written; a last line that is still being written is left
    out."""
    if not path.exists():
        return []
    *whole, _ = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in whole if line]


def writes_to(
    events: Iterable[Mapping[str, Any]],
    resource: str,
    *,
    namespace: str | None = None,
    name: str | None = None,
    user: str | None = None,
) -> list[Mapping[str, Any]]:
    """Those that were accepted and changed objects of a resource (`stowcontainers`), subresources included; `None`
    matches all.

    A create with a generated name has no name in its event.
    """
    return [
        event
        for event in events
        if (reference := event.get("objectRef", {})).get("resource") == resource
        and event["responseStatus"]["code"] < FIRST_ERROR_STATUS
        and (namespace is None or reference.get("namespace") == namespace)
        and (name is None or reference.get("name") == name)
        and (user is None or event["user"]["username"] == user)
    ]
