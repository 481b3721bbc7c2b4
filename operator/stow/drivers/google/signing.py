"""Signed URLs: V4 in the query, by the SDK. All headers that are bound are signed, so the client has to send them.

A key at hand signs here; otherwise IAM's signBlob does, over our connections.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from google.auth.credentials import Signing
from google.cloud.storage import Client
from yarl import URL

from stow.drivers.google.asking import Asking
from stow.drivers.google.capabilities import MAX_SIGNED_BY_IAM
from stow.drivers.google.endpoint import Endpoint
from stow.drivers.google.sdk import Sdk
from stow.drivers.google.tokens import Tokens
from stow.drivers.google.translate import answer_error, code_of
from stow.errors import BackendFailedError, CredentialsMissingError, InvalidArgumentError
from stow.storage.clock import Clock
from stow.storage.driver import SignRequest
from stow.storage.model import SignedURL
from stow.transport.faults import AnswerError


class IAMSigner(Signing):
    """Signs by signBlob as ``email``; used in a thread of the SDK."""

    def __init__(self, email: str, sdk: Sdk, *, tokens: Tokens, asking: Asking, iam_endpoint: str) -> None:
        self._email = email
        self._sdk = sdk
        self._tokens = tokens
        self._asking = asking
        self._url = URL(
            f"{iam_endpoint.rstrip('/')}/v1/projects/-/serviceAccounts/{quote(email, safe='@')}:signBlob", encoded=True
        )

    def sign_bytes(self, message: bytes) -> bytes:
        """Raises:
        AnswerError: IAM refused.
        StowError: no answer.
        """
        return self._sdk.threads.exchange(lambda: self._sign(message))

    @property
    def signer_email(self) -> str:
        return self._email

    @property
    def signer(self) -> Any:
        """The SDK does not ask for it."""
        return self

    async def _sign(self, message: bytes) -> bytes:
        body = json.dumps({"payload": base64.b64encode(message).decode()}).encode()
        for last in (False, True):
            headers = {"authorization": await self._tokens.authorization(), "content-type": "application/json"}
            answer = await self._asking.ask("POST", self._url, headers, body)
            if answer.status != 401 or last:
                break
            await self._tokens.renew()
        if answer.status != 200:
            raise AnswerError(status=answer.status, code=code_of(answer.body))
        try:
            return base64.b64decode(json.loads(answer.body)["signedBlob"], validate=True)
        except (ValueError, KeyError, TypeError) as exc:
            raise BackendFailedError("IAM's answer holds no signature.") from exc


class Signer:
    """Signs URLs of one backend. ``account`` is who signs by IAM; None is the identity's own account or key."""

    def __init__(
        self,
        sdk: Sdk,
        presign_endpoint: Endpoint,
        *,
        tokens: Tokens | None,
        account: str | None,
        asking: Asking,
        iam_endpoint: str,
        clock: Clock,
    ) -> None:
        self._sdk = sdk
        self._presign_endpoint = presign_endpoint
        self._tokens = tokens
        self._account = account
        self._asking = asking
        self._iam_endpoint = iam_endpoint
        self._clock = clock

    async def sign(self, request: SignRequest) -> SignedURL:
        """See ``Driver.sign``. The SDK dates a signature with its own clock, so the end that is given is read out of the URL."""
        signs = await self._signing()
        expires_at = request.expires_at
        if isinstance(signs, IAMSigner):
            expires_at = min(expires_at, self._clock() + MAX_SIGNED_BY_IAM)
        expires_in_s = int((expires_at - self._clock()).total_seconds())
        if expires_in_s < 1:
            raise InvalidArgumentError("A signed URL lives for at least a second.")
        required = required_headers(request)

        def generate(client: Client) -> str:
            url: str = (
                client.bucket(request.container)
                .blob(request.key)
                .generate_signed_url(
                    version="v4",
                    expiration=timedelta(seconds=expires_in_s),
                    api_access_endpoint=self._presign_endpoint.text,
                    method=request.method.value,
                    headers=dict(required),
                    credentials=signs,
                )
            )
            return url

        try:
            url = await self._sdk.run(generate)
        except AnswerError as exc:
            raise answer_error(exc) from exc
        return SignedURL(
            url=url, method=request.method, expires_at=min(_end_of(url), expires_at), required_headers=required
        )

    async def _signing(self) -> Signing:
        """Asked of the identity each time, which knows what may change; with a key at hand that needs no I/O."""
        if self._tokens is None:
            raise CredentialsMissingError("An anonymous location cannot sign URLs. Give it credentials.")
        found = self._account if self._account is not None else await self._tokens.identity.signer()
        if not isinstance(found, str):
            return found
        return IAMSigner(found, self._sdk, tokens=self._tokens, asking=self._asking, iam_endpoint=self._iam_endpoint)


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
    signed_at = datetime.strptime(query["X-Goog-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return signed_at + timedelta(seconds=int(query["X-Goog-Expires"][0]))
