"""Tokens and the account's storage URL, by keystoneauth: V3 from Keystone, V1 by python-swiftclient's plugin.

The SDK's requests go out over the driver's own connections (its session is ours), in a small thread pool; it follows no redirect, reads no
environment and no file, and nothing that it raises gets out, because its exceptions quote the backend. Which project a token is for is held
against the configuration, and which account it leads to is the driver's identity, which no later token may change. A token is fetched once
for all who wait, in at most three attempts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from keystoneauth1 import exceptions as sdk
from keystoneauth1.access import AccessInfoV3
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from swiftclient import authv1  # type: ignore[import-untyped]  # has no types
from yarl import URL

from stow.drivers.swift.config import Anonymous, ApplicationCredential, Password, SwiftConfig, V1User
from stow.drivers.swift.endpoint import Account, StorageURL, storage_url
from stow.drivers.swift.translate import auth_error, nonsense, sdk_error
from stow.errors import (
    BackendFailedError,
    BackendThrottledError,
    BackendUnreachableError,
    CredentialsInvalidError,
    StowError,
)
from stow.storage.clock import Clock
from stow.transport.connections import Answer, Connections, Outside
from stow.transport.faults import AnswerError
from stow.transport.renewing import Lease, Renewing
from stow.transport.requests_session import requests_session
from stow.transport.threads import Threads
from stow.transport.wire import retry_after_s

SERVICE: Final = "object-store"
_ATTEMPTS: Final = 3
_BACKOFF_S: Final = 0.1
_REPEATABLE: Final = (BackendUnreachableError, BackendThrottledError, BackendFailedError)


@dataclass(frozen=True, slots=True)
class Access:
    """What a request needs. ``token=None``: anonymous."""

    storage: StorageURL
    identity: str
    """Of the account."""
    token: str | None = field(default=None, repr=False)


class Tokens:
    """The access of one configuration."""

    def __init__(
        self, config: SwiftConfig, account: Account, connections: Connections, *, clock: Clock, outside: Outside | None
    ) -> None:
        # At DEBUG the SDKs log tokens, keys and catalogs.
        for name in ("keystoneauth", "swiftclient"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._config = config
        self._account = account
        self._threads = Threads(
            "stow-swift", threads=config.sdk_threads, request_s=config.deadlines.request_s, foreign=sdk_error
        )
        self._connections = connections
        self._clock = clock
        self._jitter = (outside or Outside()).jitter
        self._renewing = Renewing(self._fetch, clock=clock)
        self._given: Lease[Access] | None = None

    @property
    def anonymous(self) -> bool:
        return isinstance(self._config.credentials, Anonymous)

    @property
    def identity(self) -> str:
        """Of the account, by the first token; before it, by the configuration."""
        return self._given.value.identity if self._given is not None else self._account.identity

    async def access(self) -> Access:
        """The present one, fetched or renewed where it is time.

        Raises:
            CredentialsInvalidError, InvalidSpecError, BackendError.
        """
        return (await self._renewing.get()).value

    async def storage(self) -> StorageURL:
        """The account's URL, which stays while tokens come and go. Asks only where it is not known yet. Errors of :meth:`access`."""
        return self._given.value.storage if self._given is not None else (await self.access()).storage

    def refused(self, token: str | None) -> None:
        """Forget a token that the backend does not take; a newer one stays."""
        if self._given is not None and token is not None and self._given.value.token == token:
            self._renewing.drop(self._given)

    async def aclose(self) -> None:
        await self._renewing.aclose()
        await self._threads.aclose()

    async def _fetch(self) -> Lease[Access]:
        if self.anonymous:
            lease = Lease(Access(storage_url(self._account.auth_url), self._account.identity))
        else:
            try:
                lease = await self._threads.run(self._authenticate)
            except AnswerError as exc:
                raise auth_error(exc) from exc
        if self._given is not None and lease.value.identity != self.identity:
            raise CredentialsInvalidError(
                "The credentials lead to another project or region than before. Name the region, and correct the credentials."
            )
        self._given = lease
        return lease

    def _authenticate(self) -> Lease[Access]:
        """In a thread. What the SDK raises stays here: kept errors must not keep answers and secrets."""
        problem: StowError | None
        try:
            token, url, expires_at, identity = self._ask()
        except (sdk.ClientException, KeyError, TypeError, ValueError, AttributeError, RecursionError) as exc:
            problem = sdk_error(exc) if isinstance(exc, sdk.ClientException) else nonsense()
        else:
            return Lease(Access(storage_url(url), identity, token), expires_at)
        raise problem or nonsense()

    def _ask(self) -> tuple[str, str, datetime | None, str]:
        session = Session(session=requests_session(self._threads, self._carry), redirect=False)
        credentials = self._config.credentials
        if isinstance(credentials, V1User):
            found = authv1.PasswordPlugin(self._account.auth_url, credentials.user, credentials.key).get_access(session)
            return str(found.auth_token), str(found.service_catalog.storage_url), found.expires, self._account.identity
        access = self._v3_plugin().get_access(session)
        if not isinstance(access, AccessInfoV3):
            raise TypeError("no token of version 3")
        self._check_project(access)
        place = access.service_catalog.endpoint_data_for(
            service_type=SERVICE, interface=str(self._config.interface), region_name=self._config.region
        )
        identity = self._account.told(region=place.region_name, project_id=str(access.project_id))
        return str(access.auth_token), str(place.url), access.expires, identity

    def _v3_plugin(self) -> v3.Password | v3.ApplicationCredential:
        config = self._config
        if isinstance(config.credentials, ApplicationCredential):
            return v3.ApplicationCredential(
                self._account.auth_url,
                application_credential_id=config.credentials.id,
                application_credential_secret=config.credentials.secret,
            )
        if not isinstance(config.credentials, Password):
            raise TypeError("no credentials of version 3")
        by_name = config.project_id is None
        return v3.Password(
            self._account.auth_url,
            username=config.credentials.username,
            password=config.credentials.password,
            user_domain_name=config.user_domain_name,
            project_id=config.project_id,
            project_name=config.project_name if by_name else None,
            project_domain_name=config.project_domain_name if by_name else None,
        )

    def _check_project(self, access: AccessInfoV3) -> None:
        """An application credential brings its own project: it must be the one that the driver's identity names."""
        config = self._config
        if config.project_id is not None:
            right = access.project_id == config.project_id
        else:
            right = (access.project_name, access.project_domain_name) == (
                config.project_name,
                config.project_domain_name,
            )
        if not right:
            raise CredentialsInvalidError(
                "The credentials are of another project than the configured one. Correct the project, or use its credentials."
            )

    async def _carry(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        """A request of the SDK. It may be repeated: a token more does no harm. Raises: AnswerError: no success."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._config.deadlines.request_s
        for attempt in range(1, _ATTEMPTS + 1):
            asked_s = 0.0
            try:
                answer = await self._connections.carry(method, url, headers=headers, body=body)
                if 200 <= answer.status < 300:
                    return answer
                asked_s = retry_after_s(answer.headers.get("retry-after", ""), now=self._clock()) or 0.0
                raise AnswerError(status=answer.status)
            except (AnswerError, StowError) as exc:
                error = auth_error(exc) if isinstance(exc, AnswerError) else exc
                patient = loop.time() + asked_s < end
                if attempt == _ATTEMPTS or not patient or not isinstance(error, _REPEATABLE):
                    raise
            await asyncio.sleep(max(asked_s, _BACKOFF_S * 2**attempt * self._jitter()))
        raise AssertionError("the loop above returns or raises")
