"""What S3 says in XML, as data. Refuses document types (so no entity ever expands), deep nesting and what does not parse.

Keys in listings come url-encoded (``encoding-type=url``), because XML 1.0 cannot hold control characters; they are decoded exactly
once. AWS and MinIO write a space as ``+`` and a plus as ``%2B``, moto's server writes ``%20`` and ``%2B``: one decoder fits both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote_to_bytes
from xml.parsers import expat

from stow.errors import BackendFailedError
from stow.storage.model import ListedObject, Listing

MAX_XML_BYTES: Final = 8 * 1024 * 1024
"""A page of 1,000 keys of 1,024 bytes, each byte as ``%XX``, takes 3 MiB; the rest is for everything around."""
_MAX_DEPTH: Final = 16
_CODE: Final = re.compile(r"[A-Za-z0-9]{1,64}")


@dataclass(slots=True)
class Element:
    """One element: its name without namespace prefix, its text, its children."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Element]:
        return (child for child in self.children if child.name == name)

    def get(self, name: str) -> str:
        """The text of the first such child; empty where there is none."""
        return next((child.text for child in self.all(name)), "")


def parse(body: bytes) -> Element:
    """Raises:
    BackendFailedError: not well-formed XML of the plain kind.
    """
    root = Element("")
    stack = [root]

    def refuse(*_: object) -> None:
        raise BackendFailedError("The backend's answer holds a document type, which is refused.")

    def start(name: str, _: dict[str, str]) -> None:
        if len(stack) > _MAX_DEPTH:
            raise BackendFailedError("The backend's answer is nested too deeply.")
        element = Element(name.rpartition(":")[2])
        stack[-1].children.append(element)
        stack.append(element)

    def end(_: str) -> None:
        stack.pop()

    def text(data: str) -> None:
        stack[-1].text += data

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    try:
        parser.Parse(body, True)
    except expat.ExpatError as exc:
        raise BackendFailedError("The backend's answer is no valid XML.") from exc
    return root.children[0]


def error_code(body: bytes) -> str | None:
    """The ``Code`` of an ``<Error>`` document, None where the body is something else. Never anything but letters and digits."""
    if not body.lstrip().startswith(b"<"):
        return None
    try:
        root = parse(body)
    except BackendFailedError:
        return None
    code = root.get("Code") if root.name == "Error" else ""
    return code if _CODE.fullmatch(code) else None


def error_size(body: bytes) -> int | None:
    """``ActualObjectSize`` of an InvalidRange error."""
    try:
        text = parse(body).get("ActualObjectSize")
    except BackendFailedError:
        return None
    return int(text) if text.isascii() and text.isdigit() else None


def decode_key(text: str) -> str:
    """A key of a listing with ``encoding-type=url``, decoded once.

    Raises:
        BackendFailedError: not UTF-8: such a key cannot have come from here, and has no name that a caller could use.
    """
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError as exc:
        raise BackendFailedError("The backend lists a key that is not UTF-8.") from exc


def timestamp(text: str) -> datetime | None:
    """ISO 8601 with Z, as listings have it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def listing(body: bytes) -> Listing:
    """One page of ListObjectsV2, sorted by UTF-8 bytes (directory buckets of AWS do not sort)."""
    root = expect(parse(body), "ListBucketResult")
    try:
        objects = [
            ListedObject(
                key=decode_key(item.get("Key")),
                size_bytes=int(item.get("Size")),
                etag=item.get("ETag").strip('"'),
                last_modified=timestamp(item.get("LastModified")),
            )
            for item in root.all("Contents")
        ]
    except ValueError as exc:
        raise BackendFailedError("The backend's listing makes no sense.") from exc
    prefixes = {decode_key(item.get("Prefix")) for item in root.all("CommonPrefixes")}
    truncated = root.get("IsTruncated") == "true"
    token = root.get("NextContinuationToken") or None
    if truncated and token is None:
        raise BackendFailedError("The backend cut its listing short without saying how to go on.")
    return Listing(
        objects=tuple(sorted(objects, key=lambda found: found.key.encode())),
        prefixes=tuple(sorted(prefixes, key=str.encode)),
        token=token if truncated else None,
    )


def expect(root: Element, name: str) -> Element:
    """The root element, if it is the expected one: "a 200 counts only after its body parsed as success".

    Raises:
        BackendFailedError
    """
    if root.name != name:
        raise BackendFailedError("The backend answered with something else than was asked for.")
    return root


def etag_of(body: bytes, name: str) -> str:
    """The ETag in a result named ``name``, without quotes.

    Raises:
        BackendFailedError: no such result, or no ETag in it.
    """
    etag = expect(parse(body), name).get("ETag").strip('"')
    if not etag:
        raise BackendFailedError("The backend's answer lacks an ETag.")
    return etag
