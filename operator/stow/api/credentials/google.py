"""Google's service account keys: one JSON document, of which four fields are taken and nothing is followed.

Google's SDK takes documents of other types that make it read local files, run programs, or post what it read to a URL in the document
(`external_account`), or act as somebody else. Those are refused here by their type, before any SDK sees them, and so is every document
that two readers might understand differently. The address that tokens come from is never taken from the document.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Final

from stow.api.credentials.keys import Data, KeyList, Value, invalid, is_indirect, named, unsupported

MAX_DOCUMENT_BYTES: Final = 16_384
"""A key as Google gives it out has some 2,400 bytes."""
GOOGLE_KEYS: Final = (
    "credentials.json",
    "key.json",
    "GOOGLE_APPLICATION_CREDENTIALS_JSON",
    "GOOGLE_CREDENTIALS",
)
"""Names of the one key; a Secret holds exactly one of them."""
SERVICE_ACCOUNT: Final = "service_account"
UNIVERSE: Final = "googleapis.com"

_DOCUMENTS: Final = KeyList(
    {key: Value(MAX_DOCUMENT_BYTES, lambda _: None) for key in GOOGLE_KEYS}, "keys of a service account"
)
_EMAIL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,126}@[A-Za-z0-9][A-Za-z0-9.-]{0,125}[A-Za-z0-9]", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_PEM: Final = re.compile(r"-----BEGIN PRIVATE KEY-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END PRIVATE KEY-----\s*", re.ASCII)
_RSA_OID: Final = bytes.fromhex("06092a864886f70d010101")  # 1.2.840.113549.1.1.1, rsaEncryption (RFC 8017)
_OID_WITHIN: Final = 40
"""PKCS#8 (RFC 5208) begins with a version and the algorithm."""


@dataclass(frozen=True, slots=True)
class GoogleServiceAccount:
    """A service account's own key. `private_key` is PEM of PKCS#8 in form; only the driver reads it."""

    client_email: str
    private_key: str = field(repr=False)
    private_key_id: str | None = field(default=None, repr=False)
    project_id: str | None = None


def google_service_account(data: Data) -> GoogleServiceAccount:
    """The service account in a Secret. Raises: CredentialsProblem."""
    _refuse_others(data)
    keys = [key for key in GOOGLE_KEYS if key in data]
    if len(keys) != 1:
        held = f"holds {named(keys)}" if keys else "holds no credentials"
        raise invalid(f"the Secret {held}; it needs exactly one of {', '.join(GOOGLE_KEYS)}")
    key = keys[0]
    document = _flat_document(key, _DOCUMENTS.text(data, key))
    if document.get("universe_domain", UNIVERSE) != UNIVERSE:
        raise invalid(f"universe_domain in {key} is not {UNIVERSE}; no other is supported")
    return GoogleServiceAccount(
        client_email=_required(key, document, "client_email", _EMAIL),
        private_key=_private_key(key, document),
        private_key_id=_optional(key, document, "private_key_id", _NAME),
        project_id=_optional(key, document, "project_id", _NAME),
    )


def _refuse_others(data: Data) -> None:
    """A document under another name is merely unknown here, not a pointer to a file."""
    documents = sorted(key for key in data if key not in GOOGLE_KEYS and key.lower().endswith(".json"))
    if documents and not any(is_indirect(key) for key in data if key not in (*GOOGLE_KEYS, *documents)):
        raise invalid(
            f"the Secret holds {named(documents)}, which is not known; name the key {' or '.join(GOOGLE_KEYS)}"
        )
    _DOCUMENTS.refuse_others(data)


def _flat_document(key: str, text: str) -> dict[str, str]:
    document = _parsed(text)
    if isinstance(document, str):
        raise invalid(f"the value of {key} {document}")
    kind = document.get("type")
    if kind is None:
        raise invalid(f"the document in {key} lacks type; it is no key of a service account")
    if kind != SERVICE_ACCOUNT:
        raise unsupported(
            f"the document in {key} is not of type {SERVICE_ACCOUNT}; external accounts, impersonation and users are not"
            " taken, because they lead to files, URLs or other identities"
        )
    flat = {name: value for name, value in document.items() if isinstance(value, str)}
    if len(flat) != len(document):
        raise invalid(f"the document in {key} holds something else than text, which no key of a service account does")
    return flat


def _parsed(text: str) -> dict[str, object] | str:
    """The document, or what is wrong with it. An error of the parser holds the whole document, so none leaves here."""
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        return "is nested too deeply"
    except _RepeatedNameError:
        return "holds a name twice"
    except ValueError:
        return "is not JSON"
    return document if isinstance(document, dict) else "is not a JSON object"


class _RepeatedNameError(Exception):
    """Two readers would take different ones."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedNameError
    return found


def _required(key: str, document: dict[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = _optional(key, document, name, pattern)
    if value is None:
        raise invalid(f"the document in {key} lacks {name}")
    return value


def _optional(key: str, document: dict[str, str], name: str, pattern: re.Pattern[str]) -> str | None:
    value = document.get(name)
    if value is not None and pattern.fullmatch(value) is None:
        raise invalid(f"{name} in {key} has a form that Google never gives out")
    return value


def _private_key(key: str, document: dict[str, str]) -> str:
    pem = document.get("private_key")
    if pem is None:
        raise invalid(f"the document in {key} lacks private_key")
    block = _PEM.fullmatch(pem)
    if block is None:
        raise invalid(f"private_key in {key} is no PEM of PKCS#8; use the file as Google gives it out, unchanged")
    if not _is_rsa(block[1]):
        raise invalid(f"private_key in {key} is no RSA key")
    return pem


def _is_rsa(body: str) -> bool:
    try:
        der = base64.b64decode("".join(body.split()), validate=True)
    except binascii.Error:
        return False
    return der.startswith(b"\x30") and _RSA_OID in der[:_OID_WITHIN]
