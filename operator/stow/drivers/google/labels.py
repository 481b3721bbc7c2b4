"""The marker of a container as labels of a bucket, exactly.

A label's value has at most 63 characters out of ``[a-z0-9_-]``. A field of the marker that fits stands as it is, where people can read
it; any other is base32 of its UTF-8, cut into numbered labels. Labels of others are not touched.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from stow.errors import BackendFailedError, InvalidSpecError
from stow.storage.model import Marker
from stow.storage.names import printable

PREFIX: Final = "stowstore-"
EXPIRE: Final = f"{PREFIX}expire-days"
"""Tells which lifecycle rule is ours: Google's have no names."""
_FIELDS: Final = ("installation", "namespace", "name", "uid", "nonce")
_OURS: Final = re.compile(rf"{PREFIX}({'|'.join(_FIELDS)})(?:-(\d+))?")
_PLAIN: Final = re.compile(r"[a-z0-9_-]{1,63}")
_LONGEST: Final = 63


def encode(marker: Marker) -> dict[str, str]:
    """The labels of a marker."""
    labels: dict[str, str] = {}
    for field in _FIELDS:
        value: str = getattr(marker, field)
        if not value:
            continue
        if _PLAIN.fullmatch(value):
            labels[PREFIX + field] = value
            continue
        text = base64.b32encode(value.encode()).decode().rstrip("=").lower()
        for number, start in enumerate(range(0, len(text), _LONGEST)):
            labels[f"{PREFIX}{field}-{number}"] = text[start : start + _LONGEST]
    return labels


def decode(labels: Mapping[str, str]) -> Marker | None:
    """The marker among the labels, None where there is none.

    Raises:
        BackendFailedError: it is damaged, so nothing can be said about the owner.
    """
    if not any(_OURS.fullmatch(name) for name in labels):
        return None
    found = {field: _decode(field, labels) for field in _FIELDS}
    if not found["uid"]:
        raise BackendFailedError(
            "The container's marker is damaged: the labels that begin with stowstore- were changed."
        )
    return Marker(**found)


def without_marker(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if not _OURS.fullmatch(name)}


def users(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that are none of ours."""
    return {name: value for name, value in labels.items() if not name.startswith(PREFIX)}


def check_tags(tags: Mapping[str, str]) -> None:
    """Raises:
    InvalidSpecError: Google does not take them as labels ("Requirements for labels").
    """
    for name, value in tags.items():
        fits = _is_label(name) and name[0].isalpha() and (not value or _is_label(value))
        if not fits or name.startswith(PREFIX):
            raise InvalidSpecError(
                f"The tag {printable(name)!r} is no label of Google's: write up to 63 lower-case letters, digits, _ and -, "
                f"beginning with a letter and not with {PREFIX}."
            )


def _is_label(text: str) -> bool:
    fits = 0 < len(text) <= _LONGEST and text == text.lower()
    return fits and all(character.isalnum() or character in "_-" for character in text)


def _decode(field: str, labels: Mapping[str, str]) -> str:
    plain = labels.get(PREFIX + field)
    if plain is not None:
        return plain
    text = ""
    while (piece := labels.get(f"{PREFIX}{field}-{len(text) // _LONGEST}")) is not None and len(text) % _LONGEST == 0:
        text += piece
    try:
        return base64.b32decode(text.upper() + "=" * (-len(text) % 8)).decode()
    except (binascii.Error, ValueError):
        raise BackendFailedError(
            "The container's marker is damaged: the labels that begin with stowstore- were changed."
        ) from None
