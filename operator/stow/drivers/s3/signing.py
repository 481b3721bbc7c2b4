"""Signed URLs: SigV4 in the query, by the SDK. All headers that are bound are signed, so the client has to send them.

A PUT binds more than it says where the backend would obey an instruction that nobody signed: see ``Traits.refuses_unsigned_copy``.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit

from stow.drivers.s3.capabilities import Traits
from stow.drivers.s3.headers import META_PREFIX, check_metadata_name
from stow.drivers.s3.sdk import Sdk
from stow.errors import InvalidArgumentError
from stow.storage.clock import Clock
from stow.storage.driver import SignRequest
from stow.storage.model import Method, ResponseOverride, SignedURL

_OPERATIONS: Final = {
    Method.GET: "get_object",
    Method.HEAD: "head_object",
    Method.PUT: "put_object",
    Method.DELETE: "delete_object",
}
_OVERRIDES: Final = {
    ResponseOverride.CACHE_CONTROL: "ResponseCacheControl",
    ResponseOverride.CONTENT_DISPOSITION: "ResponseContentDisposition",
    ResponseOverride.CONTENT_ENCODING: "ResponseContentEncoding",
    ResponseOverride.CONTENT_LANGUAGE: "ResponseContentLanguage",
    ResponseOverride.CONTENT_TYPE: "ResponseContentType",
}


_COPY_SOURCE: Final = "x-amz-copy-source"


async def sign(sdk: Sdk, request: SignRequest, *, traits: Traits, clock: Clock) -> SignedURL:
    """See ``Driver.sign``."""
    for name in request.headers:
        check_metadata_name(name.removeprefix(META_PREFIX))
    expires_in_s = int((request.expires_at - clock()).total_seconds())
    if expires_in_s < 1:
        raise InvalidArgumentError("A signed URL lives for at least a second.")
    params: dict[str, object] = {"Bucket": request.container, "Key": request.key}
    params |= {_OVERRIDES[name]: value for name, value in request.response_overrides.items()}
    keys = await sdk.keys(until=request.expires_at)
    required = required_headers(request)
    url = await sdk.presign(
        _OPERATIONS[request.method],
        params,
        keys=keys,
        headers=required,
        absent=_COPY_SOURCE if request.method is Method.PUT and not traits.refuses_unsigned_copy else None,
        expires_in_s=expires_in_s,
    )
    expires_at = min(_end_of(url), request.expires_at)
    if keys is not None and keys.expires_at is not None:
        expires_at = min(expires_at, keys.expires_at)
    return SignedURL(url=url, method=request.method, expires_at=expires_at, required_headers=required)


def required_headers(request: SignRequest) -> dict[str, str]:
    """The headers that the URL binds its client to."""
    headers = dict(request.headers)
    if request.content_md5 is not None:
        headers["Content-MD5"] = base64.b64encode(request.content_md5).decode()
    if request.content_type is not None:
        headers["Content-Type"] = request.content_type
    return headers


def _end_of(url: str) -> datetime:
    query = parse_qs(urlsplit(url).query)
    signed_at = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return signed_at + timedelta(seconds=int(query["X-Amz-Expires"][0]))
