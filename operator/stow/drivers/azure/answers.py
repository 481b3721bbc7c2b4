"""What Azure says in XML, as data.

A name with a character that XML cannot hold (U+FFFE, U+FFFF) comes percent-encoded, under an attribute that says so; such a name cannot be
written from here, but a listing that meets one must not break. Folders of a hierarchical namespace are no objects and are left out.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from stow.errors import BackendFailedError
from stow.storage.model import ContainerContents, ListedObject, Listing
from stow.transport.headers import http_date
from stow.transport.xml import Element, expect, parse

_ENCODED: Final = re.compile(rb'<Name Encoded="true">([^<]*)</Name>')


def listing(body: bytes) -> Listing:
    """One page of List Blobs, sorted by UTF-8 bytes."""
    root, page = _page(body)
    try:
        objects = [
            ListedObject(
                key=_name(item),
                size_bytes=int(properties.get("Content-Length")),
                etag=properties.get("Etag").strip('"'),
                last_modified=http_date(properties.get("Last-Modified")),
            )
            for item, properties in _blobs(page)
        ]
    except ValueError as exc:
        raise BackendFailedError("The backend's listing makes no sense.") from exc
    prefixes = {_name(item) for item in page.all("BlobPrefix")}
    return Listing(
        objects=tuple(sorted(objects, key=lambda found: found.key.encode())),
        prefixes=tuple(sorted(prefixes, key=str.encode)),
        token=root.get("NextMarker") or None,
    )


def contents(body: bytes) -> ContainerContents:
    """One page of List Blobs with snapshots and versions, counted."""
    root, page = _page(body)
    objects = versions = 0
    for item, _ in _blobs(page):
        old = item.get("Snapshot") or (item.get("VersionId") and item.get("IsCurrentVersion") != "true")
        objects, versions = (objects, versions + 1) if old else (objects + 1, versions)
    return ContainerContents(objects=objects, versions=versions, truncated=bool(root.get("NextMarker")))


def hierarchical(body: bytes) -> bool | None:
    """Whether a page of List Blobs is that of an account with folders, whose blobs have a ResourceType; None: it shows no blob."""
    _, page = _page(body)
    found = [properties for item in page.all("Blob") for properties in item.all("Properties")]
    return any(properties.get("ResourceType") for properties in found) if found else None


def _page(body: bytes) -> tuple[Element, Element]:
    root = expect(parse(_ENCODED.sub(rb"<EncodedName>\1</EncodedName>", body)), "EnumerationResults")
    page = next(root.all("Blobs"), None)
    if page is None:
        raise BackendFailedError("The backend's listing makes no sense.")
    return root, page


def _blobs(page: Element) -> list[tuple[Element, Element]]:
    found = [(item, next(item.all("Properties"), Element(""))) for item in page.all("Blob")]
    return [(item, properties) for item, properties in found if properties.get("ResourceType") != "directory"]


def _name(item: Element) -> str:
    """Raises:
    BackendFailedError: none, or not UTF-8.
    """
    try:
        name = item.get("Name") or unquote_to_bytes(item.get("EncodedName")).decode()
    except UnicodeDecodeError as exc:
        raise BackendFailedError("The backend lists a key that is not UTF-8.") from exc
    if not name:
        raise BackendFailedError("The backend lists an object without a name.")
    return name
