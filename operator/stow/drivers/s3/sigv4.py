"""AWS Signature Version 4 in request headers, over raw paths.

Source: "Signature Version 4 signing process" in the Amazon S3 API reference. S3's variant encodes a path once and never normalises it,
so ``a//b``, ``..`` and ``%2e`` are signed as they are. The signing key is derived once per day, region and secret: it is most of the cost.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
STREAMING_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs a request. ``expires_at`` of temporary ones, where it is known."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None


def encode_query(query: Sequence[tuple[str, str]]) -> str:
    """The query as it is sent and signed: encoded, sorted by name and value."""
    return "&".join(
        f"{name}={value}" for name, value in sorted((quote(n, safe="~"), quote(v, safe="~")) for n, v in query)
    )


class Signer:
    """Signs requests to one region. Keeps one derived key."""

    def __init__(self, region: str, *, service: str = "s3") -> None:
        self._region = region
        self._service = service
        self._cached: tuple[str, str, bytes] | None = None

    def sign(
        self,
        method: str,
        *,
        host: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        payload: str,
        keys: Keys | None,
        now: datetime,
    ) -> dict[str, str]:
        """The headers to send: ``headers`` (names in lower case) and those of the signature.

        ``path`` and ``query`` are encoded already, exactly as they go out. Every given header is signed. ``keys=None`` signs nothing.
        """
        signed = {**headers, "host": host, "x-amz-content-sha256": payload}
        if keys is None:
            return signed
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        signed["x-amz-date"] = stamp
        if keys.session_token is not None:
            signed["x-amz-security-token"] = keys.session_token
        names = sorted(signed)
        canonical_headers = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in names)
        signed_names = ";".join(names)
        canonical = f"{method}\n{path}\n{query}\n{canonical_headers}\n{signed_names}\n{payload}"
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(self._key(stamp[:8], keys.secret_access_key), text.encode(), hashlib.sha256).hexdigest()
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={keys.access_key_id}/{scope}, SignedHeaders={signed_names}, Signature={signature}"
        )
        return signed

    def _key(self, day: str, secret: str) -> bytes:
        if self._cached is not None and self._cached[:2] == (day, secret):
            return self._cached[2]
        key = f"AWS4{secret}".encode()
        for part in (day, self._region, self._service, "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        self._cached = (day, secret, key)
        return key
