"""Backends' XML as data. Refuses document types (so no entity ever expands), deep nesting and what does not parse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from xml.parsers import expat

from stow.errors import BackendFailedError

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


def timestamp(text: str) -> datetime | None:
    """ISO 8601 with Z, as listings have it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def expect(root: Element, name: str) -> Element:
    """The root element, if it is the expected one: "a 200 counts only after its body parsed as success".

    Raises:
        BackendFailedError
    """
    if root.name != name:
        raise BackendFailedError("The backend answered with something else than was asked for.")
    return root
