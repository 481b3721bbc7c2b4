"""Signed URLs: Swift's TempURL, an HMAC-SHA256 over method, end and decoded path.

It binds nothing else: no header, no body, no response. A URL for GET or PUT serves HEAD as well (Swift allows that), one for HEAD serves
HEAD alone. A GET by it answers with a Content-Disposition of Swift's where the object has none of its own.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime

from stow.drivers.swift.endpoint import StorageURL, encoded
from stow.errors import CredentialsMissingError, InvalidArgumentError, UnsupportedError
from stow.storage.clock import Clock
from stow.storage.driver import SignRequest
from stow.storage.model import SignedURL


def sign(
    storage: StorageURL, request: SignRequest, *, temp_url_key: str | None, base: str | None, clock: Clock
) -> SignedURL:
    """See ``Driver.sign``. ``base`` stands in place of the storage URL's scheme and host."""
    check(request, temp_url_key=temp_url_key)
    end = int(request.expires_at.timestamp())
    if end <= clock().timestamp():
        raise InvalidArgumentError("A signed URL lives for at least a second.")
    plain = f"{storage.plain_path}/{request.container}/{request.key}"
    signed = f"{request.method}\n{end}\n{plain}".encode()
    signature = hmac.new((temp_url_key or "").encode(), signed, hashlib.sha256).hexdigest()
    path = f"{base or storage.origin}{storage.path}{encoded(request.container, request.key)}"
    return SignedURL(
        url=f"{path}?temp_url_expires={end}&temp_url_sig={signature}",
        method=request.method,
        expires_at=datetime.fromtimestamp(end, UTC),
    )


def check(request: SignRequest, *, temp_url_key: str | None) -> None:
    """Raises:
    CredentialsMissingError: there is no key for TempURLs.
    UnsupportedError: something is to be bound that a TempURL does not bind.
    """
    if not temp_url_key:
        raise CredentialsMissingError(
            "Signing needs the account's key for TempURLs: put SWIFT_TEMP_URL_KEY into the Secret."
        )
    if (
        request.content_md5 is not None
        or request.content_type is not None
        or request.headers
        or request.response_overrides
    ):
        raise UnsupportedError("A signed URL of this backend binds method, key and end, and nothing else.")
