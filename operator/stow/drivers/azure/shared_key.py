"""Shared Key: the signature of one request, over raw paths.

Source: "Authorize with Shared Key" in the Azure Storage REST reference. The service sorts header names in the order of a language, not of
bytes: an underscore comes before digits, which matters for metadata names; hyphens never meet a letter among the headers that are sent.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from stow.errors import CredentialsInvalidError

_SIGNED: Final = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)


def decoded_key(account_key: str) -> bytes:
    """Raises:
    CredentialsInvalidError: not base64.
    """
    try:
        raw = base64.b64decode(account_key, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not raw:
        raise CredentialsInvalidError(
            "The account key is no base64 text: copy it whole, with its = signs, from the account."
        )
    return raw


def string_to_sign(
    method: str, *, account: str, path: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str]
) -> str:
    """``path`` and ``headers`` as they go out (names in lower case, no ``content-length`` of an empty body), ``query`` decoded."""
    lines = [method, *(headers.get(name, "") for name in _SIGNED)]
    ours = sorted((name for name in headers if name.startswith("x-ms-")), key=_order)
    lines += [f"{name}:{headers[name].strip()}" for name in ours]
    lines.append(f"/{account}{path}")
    lines += [f"{name}:{value}" for name, value in sorted((name.lower(), value) for name, value in query)]
    return "\n".join(lines)


def authorization(account: str, key: bytes, text: str) -> str:
    """The value of the Authorization header."""
    signature = base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode()
    return f"SharedKey {account}:{signature}"


def _order(name: str) -> str:
    return name.replace("_", "\x01")
