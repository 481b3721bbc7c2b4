"""Answers: the headers of objects, and the answers that have no stream.

What is stored was perhaps written by another tool: a value that would break the answer (a control character, stray bytes) is left
out, never sent and never an error. Nothing served runs in a browser: ``nosniff`` and a sandbox stand on everything.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from email.utils import format_datetime
from typing import Any, Final

from aiohttp import web

from stow.errors import NotModifiedError
from stow.gateway.connection import FIXED_HEADERS, answer_headers
from stow.gateway.problems import CODE_HEADER, Problem
from stow.storage.model import ObjectMetadata
from stow.storage.names import encode_metadata_value

_META_NAME: Final = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
DEFAULT_TYPE: Final = "application/octet-stream"


def object_headers(found: ObjectMetadata) -> dict[str, str]:
    """Headers that GET and HEAD of an object share; no Content-Length."""
    stored = found.attributes
    optional = {
        "Last-Modified": format_datetime(found.last_modified, usegmt=True) if found.last_modified else None,
        "Content-Encoding": _safe(stored.content_encoding),
        "Content-Language": _safe(stored.content_language),
        "Content-Disposition": _safe(stored.content_disposition),
        "Stow-Cache-Control": _safe(stored.cache_control),
        "Stow-Checksum-MD5": _base64(found.md5),
        "Stow-Checksum-CRC32C": _base64(found.crc32c),
    }
    headers = {
        **FIXED_HEADERS,
        "Content-Type": _safe(stored.content_type) or DEFAULT_TYPE,
        "ETag": _etag(found.etag),
        "Accept-Ranges": "bytes",
        "Cache-Control": private(_safe(stored.cache_control)),
    }
    headers |= {name: value for name, value in optional.items() if value}
    for name, value in stored.metadata.items():
        encoded = _encoded(value)
        if _META_NAME.fullmatch(name) and encoded is not None:
            headers[f"Stow-Meta-{name}"] = encoded
    return headers


def not_modified(error: NotModifiedError) -> web.StreamResponse:
    """304 with what a cache has to renew of the 200 that it holds (RFC 9110 15.4.5)."""
    dates = {"Last-Modified": error.last_modified} if error.last_modified else {}
    renewed = {"ETag": _etag(error.etag), "Cache-Control": private(_safe(error.cache_control))}
    return empty(304, {**renewed, **dates})


def _etag(version: str) -> str:
    return f'"{_safe(version) or ""}"'


def private(stored: str | None) -> str:
    """The stored Cache-Control without what would let a shared cache keep it; ``Stow-Cache-Control`` has it as it was written."""
    kept = [part.strip() for part in (stored or "no-cache").split(",")]
    kept = [p for p in kept if p and p.partition("=")[0].strip().lower() not in {"public", "private", "s-maxage"}]
    return ", ".join(["private", *kept])


def _safe(value: str | None) -> str | None:
    return value if value is not None and value.isascii() and value.isprintable() else None


def _encoded(value: str) -> str | None:
    try:
        encoded = encode_metadata_value(value)
    except UnicodeEncodeError:
        return None
    return _safe(encoded)


def _base64(digest: bytes | None) -> str | None:
    return None if digest is None else base64.b64encode(digest).decode()


def empty(status: int, headers: Mapping[str, str] | None = None) -> web.StreamResponse:
    """An answer without a body."""
    answer = web.StreamResponse(status=status, headers={**FIXED_HEADERS, **(headers or {})})
    if status not in {204, 304}:
        answer.content_length = 0
    return answer


def document(status: int, value: Any) -> web.Response:
    """A JSON answer."""
    return web.Response(
        status=status,
        body=json.dumps(value).encode() + b"\n",
        headers={**FIXED_HEADERS, "Content-Type": "application/json"},
    )


def text(status: int, body: bytes, content_type: str) -> web.Response:
    return web.Response(status=status, body=body, headers={**FIXED_HEADERS, "Content-Type": content_type})


def problem(found: Problem, *, head: bool) -> web.StreamResponse:
    """A problem document; to HEAD its headers alone, the code in ``Stow-Error-Code``."""
    headers = answer_headers(found)
    answer: web.StreamResponse
    if head:
        answer = web.StreamResponse(status=found.status, headers=headers)
        answer.content_length = len(found.document())
    elif found.status == 304:
        answer = empty(304, {**found.headers, CODE_HEADER: found.code})
    else:
        answer = web.Response(status=found.status, body=found.document(), headers=headers)
    if found.close:
        answer.force_close()
    return answer
