"""What is in the Secret of keys, and its text: strict when it is read, whole or not at all when it is written. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from stow.api.location import LONGEST_SIGNED_TTL
from stow.errors import CredentialsInvalidError
from stow.storage.local_signing import Keyring, SigningKey

KEY_BYTES: Final = 32
"""The output length of SHA-256, which both kinds of keys feed."""
_FIELD: Final = "keys.json"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """All keys, newest first; a key whose ``created_at`` is in the future verifies already but does not sign yet."""

    signing: tuple[SigningKey, ...]
    cursor: bytes = field(repr=False)

    def keyring(self, now: datetime) -> Keyring:
        """The newest key that is active signs; before the first one is, that one does."""
        current = next((key for key in self.signing if key.created_at <= now), self.signing[-1])
        return Keyring(current, tuple(key for key in self.signing if key is not current))


def pruned(material: KeyMaterial, now: datetime, *, max_ttl: timedelta = LONGEST_SIGNED_TTL) -> KeyMaterial:
    """Without the keys whose last URL has expired."""
    ring = Keyring(material.signing[0], material.signing[1:]).pruned(now, max_ttl=max_ttl)
    return replace(material, signing=ring.keys)


def encode(material: KeyMaterial) -> dict[str, str]:
    """The Secret's ``data``: one field, so that a reader sees all of a change or nothing."""
    document = {
        "version": _FORMAT,
        "cursorKey": _to_text(material.cursor),
        "signingKeys": [
            {"kid": key.kid, "secret": _to_text(key.secret), "createdAt": key.created_at.isoformat()}
            for key in material.signing
        ],
    }
    return {_FIELD: _to_text(json.dumps(document).encode())}


def decode(data: object) -> KeyMaterial:
    """Raises:
    CredentialsInvalidError: not what :func:`encode` makes.
    """
    try:
        if not isinstance(data, Mapping):
            raise TypeError
        document = json.loads(base64.b64decode(data[_FIELD], validate=True))
        if document["version"] != _FORMAT or not document["signingKeys"]:
            raise ValueError
        signing = tuple(_signing_key(each) for each in document["signingKeys"])
        cursor = base64.b64decode(document["cursorKey"], validate=True)
        Keyring(signing[0], signing[1:])  # refuses two keys of one id
        if len(cursor) < KEY_BYTES:
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error, CredentialsInvalidError):
        raise CredentialsInvalidError(
            "The Secret with the signing keys cannot be understood. Delete it, and the operator makes a new one; signed URLs of local "
            "locations end with it."
        ) from None
    return KeyMaterial(tuple(sorted(signing, key=lambda key: key.created_at, reverse=True)), cursor)


def _signing_key(raw: Any) -> SigningKey:
    created_at = datetime.fromisoformat(raw["createdAt"])
    if created_at.tzinfo is None:
        raise ValueError("no time zone")
    return SigningKey(raw["kid"], base64.b64decode(raw["secret"], validate=True), created_at)


def _to_text(value: bytes) -> str:
    return base64.b64encode(value).decode()
