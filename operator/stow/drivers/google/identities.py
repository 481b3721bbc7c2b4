"""Who the driver is at Google, and where its tokens come from.

A key from a Secret becomes a token at the configured ``token_uri`` and nowhere else. Only ambient credentials read a file or ask the
metadata server (ambient.py). google-auth makes the assertions and speaks to the token services, over our connections; the metadata
server's protocol is one plain GET, which google-auth would send to an address out of its process-wide settings, so it is sent from here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from cryptography.exceptions import UnsupportedAlgorithm
from google.auth import aws, identity_pool
from google.auth.credentials import Signing
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request as SdkRequest
from google.oauth2 import service_account
from yarl import URL

from stow.drivers.google.asking import Asking
from stow.drivers.google.config import ServiceAccountKey
from stow.drivers.google.tokens import Grant, Identity
from stow.errors import (
    BackendFailedError,
    CredentialsInvalidError,
    CredentialsMissingError,
    UnsupportedCredentialTypeError,
)
from stow.transport.connections import Answer
from stow.transport.threads import Threads

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
"""The one scope that storage and signBlob both take; what is allowed is IAM's decision."""
FILE_VARIABLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
METADATA_HOST_VARIABLE: Final = "GCE_METADATA_HOST"
_METADATA_PATH: Final = "/computeMetadata/v1"
_FLAVOR: Final = "metadata-flavor"
_UNSUPPORTED_SOURCES: Final = frozenset({"executable", "certificate"})
"""A program would run outside our bounds; a client certificate belongs to a connection, and ours have none."""
Carried = Callable[[], SdkRequest]
"""Makes what google-auth sends requests with; used in a thread of the SDK."""


class KeyIdentity:
    """A service account's own key."""

    def __init__(self, key: ServiceAccountKey, *, token_uri: str, threads: Threads, carried: Carried) -> None:
        self._key = key
        self._token_uri = token_uri
        self._threads = threads
        self._carried = carried
        self._signer: Signing | None = None

    async def grant(self) -> Grant:
        return await self._threads.run(lambda: _refreshed(self._credentials(), self._carried()))

    async def project(self) -> str | None:
        return self._key.project_id

    async def signer(self) -> Signing | str:
        if self._signer is None:
            self._signer = await self._threads.run(self._credentials)
        return self._signer

    async def aclose(self) -> None:
        """Nothing is held."""

    def _credentials(self) -> service_account.Credentials:
        return key_credentials(
            {
                "client_email": self._key.client_email,
                "private_key": self._key.private_key,
                "private_key_id": self._key.private_key_id,
                "project_id": self._key.project_id,
                "token_uri": self._token_uri,
            }
        )


class FileIdentity:
    """The platform's file: a service account or an external account. Programs that a file names are not run.

    ``read`` is called in a thread, anew for each use: a mounted Secret changes, and its old key may be revoked then.
    """

    def __init__(self, read: Callable[[], Mapping[str, Any]], *, threads: Threads, carried: Carried) -> None:
        self._read = read
        self._threads = threads
        self._carried = carried

    async def grant(self) -> Grant:
        return await self._threads.run(lambda: _refreshed(file_credentials(self._read()), self._carried()))

    async def project(self) -> str | None:
        info = await self._threads.run(self._read)
        found = info.get("project_id") or info.get("quota_project_id")
        return found if isinstance(found, str) else None

    async def signer(self) -> Signing | str:
        credentials = await self._threads.run(lambda: file_credentials(self._read()))
        if isinstance(credentials, Signing):
            return credentials
        email = getattr(credentials, "service_account_email", None)
        if isinstance(email, str) and email:
            return email
        raise CredentialsMissingError(
            "The federated identity cannot sign URLs. Name a service account in the location's signerServiceAccount."
        )

    async def aclose(self) -> None:
        """Nothing is held."""


class MetadataIdentity:
    """The service account of the machine or, on GKE, of the Pod."""

    def __init__(self, endpoint: URL, asking: Asking) -> None:
        self._endpoint = endpoint
        self._asking = asking
        self._email: str | None = None

    async def grant(self) -> Grant:
        answer = await self._get(f"/instance/service-accounts/default/token?{urlencode({'scopes': SCOPE})}")
        try:
            found = json.loads(answer.body)
            text, life = found["access_token"], timedelta(seconds=int(found["expires_in"]))
        except (ValueError, KeyError, TypeError, OverflowError) as exc:
            raise BackendFailedError("The metadata server's answer makes no sense.") from exc
        if not isinstance(text, str) or not (text.isascii() and text.isprintable() and text):
            raise BackendFailedError("The metadata server's answer makes no sense.")
        return Grant(text, life)

    async def project(self) -> str | None:
        return (await self._get("/project/project-id")).body.decode("ascii", "replace")

    async def signer(self) -> Signing | str:
        if self._email is None:
            answer = await self._get("/instance/service-accounts/default/email")
            self._email = answer.body.decode("ascii", "replace")
        return self._email

    async def aclose(self) -> None:
        await self._asking.connections.aclose()

    async def _get(self, path: str) -> Answer:
        url = URL(f"{str(self._endpoint).rstrip('/')}{_METADATA_PATH}{path}", encoded=True)
        answer = await self._asking.ask("GET", url, {_FLAVOR: "Google"})
        if answer.status == 404:
            raise CredentialsMissingError("The metadata server knows no service account for this process.")
        if answer.status != 200 or answer.headers.get(_FLAVOR) != "Google":
            raise CredentialsInvalidError("The metadata server gives no token to this process.", status=answer.status)
        return answer


class LateIdentity:
    """An identity that is found out when it is first needed, once."""

    def __init__(self, find: Callable[[], Awaitable[Identity]]) -> None:
        self._find = find
        self._found: Identity | None = None
        self._finding = asyncio.Lock()

    async def grant(self) -> Grant:
        return await (await self._identity()).grant()

    async def project(self) -> str | None:
        return await (await self._identity()).project()

    async def signer(self) -> Signing | str:
        return await (await self._identity()).signer()

    async def aclose(self) -> None:
        if self._found is not None:
            await self._found.aclose()

    async def _identity(self) -> Identity:
        async with self._finding:
            if self._found is None:
                self._found = await self._find()
        return self._found


def key_credentials(info: Mapping[str, Any]) -> service_account.Credentials:
    """Raises:
    CredentialsInvalidError: the key is no RSA key in PEM.
    """
    try:
        found: service_account.Credentials = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call] # google-auth has no annotations here
            dict(info), scopes=[SCOPE]
        )
        found.sign_bytes(b"")  # google-auth takes a key of any kind for RSA's, and fails with it only here
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        # `from None`: the SDK's message may hold a piece of the key.
        del exc
        raise CredentialsInvalidError(
            "The service account's private key cannot be read. Use the key unchanged."
        ) from None
    return found


def file_credentials(info: Mapping[str, Any]) -> Any:
    """google-auth's credentials of an ambient file.

    Raises:
        UnsupportedCredentialTypeError: a user's file, a program to run, or an unknown type.
        CredentialsInvalidError: it is malformed.
    """
    kind = info.get("type")
    source = info.get("credential_source")
    if kind == "service_account":
        return key_credentials(info)
    if kind != "external_account" or not isinstance(source, Mapping) or not _UNSUPPORTED_SOURCES.isdisjoint(source):
        raise UnsupportedCredentialTypeError(
            f"The file that {FILE_VARIABLE} names is neither a service account nor an external account with a file, URL or AWS source."
        )
    external: Any = aws.Credentials if source.get("environment_id") else identity_pool.Credentials
    try:
        return external.from_info(dict(info), scopes=[SCOPE])
    except (ValueError, TypeError):
        raise CredentialsInvalidError(f"The file that {FILE_VARIABLE} names is malformed.") from None


def _refreshed(credentials: Any, request: SdkRequest) -> Grant:
    try:
        credentials.refresh(request)
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as exc:
        # google-auth trusts the form of the answer. (The StowErrors of our connections and its own are none of these.)
        if isinstance(exc, GoogleAuthError):
            raise
        raise BackendFailedError("The token service's answer makes no sense.") from exc
    text, expiry = credentials.token, credentials.expiry
    if not isinstance(text, str) or not (text and text.isascii() and text.isprintable()):
        raise BackendFailedError("The token service's answer makes no sense.")
    # google-auth dates the end by the system's clock, and without a time zone.
    return Grant(text, None if expiry is None else expiry.replace(tzinfo=UTC) - datetime.now(UTC))
