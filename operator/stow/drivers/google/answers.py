"""What the JSON API says, as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stow.drivers.google.headers import updated
from stow.errors import BackendFailedError
from stow.storage.model import ContainerContents, ListedObject, Listing

LISTED = "items(name,size,generation,updated),prefixes,nextPageToken"
"""The fields of a listing that are used: the rest of a resource is ten times as long."""
COUNTED = "items(timeDeleted),nextPageToken"


def document(body: bytes) -> Mapping[str, Any]:
    """Raises:
    BackendFailedError: no JSON object.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise BackendFailedError("The backend's answer is no valid JSON.") from exc
    if not isinstance(found, dict):
        raise BackendFailedError("The backend answered with something else than was asked for.")
    return found


def listing(body: bytes) -> Listing:
    """One page, sorted by UTF-8 bytes."""
    page = document(body)
    try:
        objects = [
            ListedObject(
                key=str(item["name"]),
                size_bytes=int(item["size"]),
                etag=str(item["generation"]),
                last_modified=updated(item),
            )
            for item in page.get("items", ())
        ]
        prefixes = {str(prefix) for prefix in page.get("prefixes", ())}
        return Listing(
            objects=tuple(sorted(objects, key=lambda found: found.key.encode())),
            prefixes=tuple(sorted(prefixes, key=str.encode)),
            token=_token(page),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise BackendFailedError("The backend's listing makes no sense.") from exc


def contents(body: bytes) -> ContainerContents:
    """One page of a listing of all versions: those that ended are noncurrent."""
    page = document(body)
    items = page.get("items", ())
    if not isinstance(items, list | tuple) or not all(isinstance(item, dict) for item in items):
        raise BackendFailedError("The backend's listing makes no sense.")
    ended = sum(1 for item in items if "timeDeleted" in item)
    return ContainerContents(objects=len(items) - ended, versions=ended, truncated=_token(page) is not None)


def _token(page: Mapping[str, Any]) -> str | None:
    token = page.get("nextPageToken")
    return token if isinstance(token, str) and token else None
