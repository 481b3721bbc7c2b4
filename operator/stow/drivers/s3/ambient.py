"""Credentials of the environment that the operator runs in: a closed chain of the SDK's own parts, kept and renewed here.

In this order, and the first that is configured decides, whether it works or not: keys in environment variables; a web identity (IRSA:
``AWS_ROLE_ARN`` and ``AWS_WEB_IDENTITY_TOKEN_FILE``, exchanged at STS); the container's endpoint (EKS Pod Identity and ECS); and, only
where none of these is configured and ``AWS_EC2_METADATA_DISABLED`` is not true, the instance's metadata service, version 2 alone.

It refuses the rest of the SDK's chain: no profile or configuration file, no ``credential_process``, no single sign-on, no proxy. Each
request goes over connections of this chain, whose policy lets the metadata addresses through that the policy of endpoints denies; no
request to a backend uses them. Temporary keys are fetched once for all who wait, before they end, never once for each request.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

from botocore import UNSIGNED
from botocore import exceptions as sdk
from botocore.client import BaseClient
from botocore.config import Config
from botocore.credentials import AssumeRoleWithWebIdentityCredentialFetcher, EnvProvider
from botocore.utils import ContainerMetadataFetcher, FileWebIdentityTokenLoader, InstanceMetadataFetcher
from yarl import URL

from stow.drivers.s3.config import Ambient
from stow.drivers.s3.session import Sender, new_client
from stow.drivers.s3.sigv4 import Keys
from stow.drivers.s3.translate import credential_error, refused_container
from stow.errors import BackendError, BackendFailedError, CredentialsInvalidError, CredentialsMissingError, StowError
from stow.storage.clock import Clock
from stow.transport.connections import Answer, Connections, Outside
from stow.transport.deadlines import Deadlines
from stow.transport.faults import ours
from stow.transport.renewing import Lease, Renewing
from stow.transport.threads import Threads

_METADATA_S: Final = 2.0
"""For one request to the container's or the instance's endpoint: it is on this machine or not there at all."""
_RELATIVE_URI: Final = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
_FULL_URI: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_NOTHING: Final = (
    "No credentials were found in the environment of the operator: no keys, no web identity, no container endpoint, and no role by the "
    "instance's metadata service."
)
_RENEWAL_GAP: Final = timedelta(minutes=1)
"""A backend that refuses whatever it gets must not make each request ask for new keys."""
_SDK_LENGTHENING_S: Final = -600
"""Keys of an instance that end soon are reported by the SDK as ending up to ten minutes later, so that it need not ask again. Here the
true end counts, for signed URLs too: the minutes are taken off again."""


class AmbientKeys:
    """The present keys of the environment. ``region`` is whose STS is asked, where the environment names none."""

    def __init__(
        self,
        ambient: Ambient,
        *,
        region: str,
        clock: Clock,
        deadlines: Deadlines,
        ssl_context: ssl.SSLContext | None = None,
        outside: Outside | None = None,
    ) -> None:
        self._environ: Mapping[str, str] = dict(os.environ) if ambient.environ is None else ambient.environ
        self._region = self._environ.get("AWS_REGION") or self._environ.get("AWS_DEFAULT_REGION") or region
        self._clock = clock
        self._connections = Connections(
            deadlines=deadlines, egress=ambient.egress, ssl_context=ssl_context, limit=4, outside=outside
        )
        # One at a time: the renewal is shared.
        self._threads = Threads("stow-s3-keys", threads=1, request_s=deadlines.request_s, foreign=credential_error)
        self._sts_sender = Sender(self._threads, self._carry)
        self._container_sender = Sender(self._threads, self._carry_to_container)
        self._instance_sender = Sender(self._threads, self._carry_quickly)
        self._renewing = Renewing(self._fetch, clock=clock)
        self._renewed_at: datetime | None = None
        self._instance_gave = False
        """From then on its silence is an outage: before, there may be no such service."""

    async def present(self) -> Keys:
        """Keys that hold now.

        Raises:
            CredentialsMissingError: the environment has none.
            CredentialsInvalidError: it has some, which are refused or malformed.
            BackendError: the service that gives them does not answer, and those at hand have ended.
        """
        return (await self._renewing.get()).value

    async def lasting(self, until: datetime) -> Keys:
        """The same, living until then if new ones do."""
        return (await self._renewing.get_lasting(until)).value

    async def renew(self) -> bool:
        """Fetch others for those at hand, which the backend says have ended; at most once in ``_RENEWAL_GAP``. Then ask again."""
        now = self._clock()
        if self._renewed_at is None or now - self._renewed_at >= _RENEWAL_GAP:
            self._renewed_at = now
            self._renewing.drop(await self._renewing.get())
        return True

    async def aclose(self) -> None:
        """End a renewal that runs, its thread and its connections."""
        await self._renewing.aclose()
        await self._connections.aclose()
        await self._threads.aclose()

    async def _fetch(self) -> Lease[Keys]:
        source = self._first_configured()
        keys = await self._threads.run(lambda: _sensible(source))
        if keys.expires_at is not None and keys.expires_at <= self._clock():
            raise CredentialsInvalidError("The credentials of the operator's environment have expired.")
        return Lease(keys, keys.expires_at)

    def _first_configured(self) -> Callable[[], Keys]:
        environ = self._environ
        if environ.get(EnvProvider.ACCESS_KEY):
            return self._from_environment
        if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
            return self._from_web_identity
        if environ.get(_RELATIVE_URI) or environ.get(_FULL_URI):
            return self._from_container
        if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
            return self._from_instance
        return _nothing

    def _from_environment(self) -> Keys:
        # Without the end the SDK gives plain keys; with it an object that renews itself by its own clock.
        environ = {name: value for name, value in self._environ.items() if name != EnvProvider.EXPIRY_TIME}
        found = EnvProvider(environ=environ).load()
        if found is None:
            _nothing()
        frozen = found.get_frozen_credentials()
        ends = self._environ.get(EnvProvider.EXPIRY_TIME) or None
        return _keys(frozen.access_key, frozen.secret_key, frozen.token, ends)

    def _from_web_identity(self) -> Keys:
        role = self._environ.get("AWS_ROLE_ARN")
        if not role:
            raise CredentialsMissingError(
                "The operator's environment has AWS_WEB_IDENTITY_TOKEN_FILE but no AWS_ROLE_ARN."
            )
        fetcher = AssumeRoleWithWebIdentityCredentialFetcher(
            client_creator=self._sts,
            web_identity_token_loader=_token_of(self._environ["AWS_WEB_IDENTITY_TOKEN_FILE"]),
            role_arn=role,
            extra_args={"RoleSessionName": self._environ.get("AWS_ROLE_SESSION_NAME") or "stow-operator"},
        )
        given = fetcher.fetch_credentials()
        return _keys(given["access_key"], given["secret_key"], given["token"], given["expiry_time"])

    def _sts(self, service: str, *, config: Config) -> BaseClient:
        del config  # asks for what is asked for here: no signature, the token is the proof
        return new_client(
            service,
            self._sts_sender,
            credentials=None,
            region=self._region,
            url=self._environ.get("AWS_ENDPOINT_URL_STS") or None,
            settings={"signature_version": UNSIGNED},
        )

    def _from_container(self) -> Keys:
        fetcher = ContainerMetadataFetcher(session=self._container_sender, sleep=lambda _: None)
        fetcher.RETRY_ATTEMPTS = 1  # who asks again is the next request
        headers = self._container_headers()
        if relative := self._environ.get(_RELATIVE_URI):
            given = fetcher.retrieve_full_uri(fetcher.full_url(relative), headers=headers)
        else:
            # Plain HTTP goes to the hosts of the SDK's own list alone.
            given = fetcher.retrieve_full_uri(self._environ[_FULL_URI], headers=headers)
        return _keys(given["AccessKeyId"], given["SecretAccessKey"], given.get("Token"), given.get("Expiration"))

    def _container_headers(self) -> dict[str, str]:
        token = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        if path := self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            token = _token_of(path)()
        if not token:
            return {}
        if not (token.isascii() and token.isprintable()):
            raise CredentialsInvalidError(
                "The container's authorization token in the operator's environment is no header."
            )
        return {"Authorization": token}

    def _from_instance(self) -> Keys:
        fetcher = InstanceMetadataFetcher(
            env=self._environ,
            config={
                "ec2_metadata_service_endpoint": self._environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or None,
                "ec2_metadata_service_endpoint_mode": self._environ.get(
                    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", ""
                ).lower(),
                "ec2_metadata_v1_disabled": True,
                "ec2_credential_refresh_window": _SDK_LENGTHENING_S,
            },
        )
        # It takes no session, and the one that it made has opened nothing yet.
        fetcher._session = self._instance_sender  # type: ignore[attr-defined]  # noqa: SLF001 (see above; stubs leave it out)
        try:
            given = fetcher.retrieve_iam_role_credentials()
        except (BackendError, sdk.MetadataRetrievalError) as exc:
            raise self._no_instance() from exc
        if not given:
            raise self._no_instance()
        self._instance_gave = True
        return _keys(given["access_key"], given["secret_key"], given["token"], given["expiry_time"])

    def _no_instance(self) -> StowError:
        if self._instance_gave:
            return BackendFailedError("The instance's metadata service gives no more keys. Try again later.")
        return CredentialsMissingError(_NOTHING)

    async def _carry(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        return await self._connections.carry(method, url, headers=headers, body=body)

    async def _carry_to_container(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        """The SDK would put the text of a refusal into its error."""
        answer = await self._carry_quickly(method, url, headers, body)
        if answer.status != 200:
            raise refused_container(answer.status)
        return answer

    async def _carry_quickly(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            async with asyncio.timeout(_METADATA_S):
                return await self._carry(method, url, headers, body)
        except TimeoutError as exc:
            raise ours(exc) from exc


def _sensible(source: Callable[[], Keys]) -> Keys:
    """What a source gives, or the fact that its answer makes no sense: the SDK takes it apart without looking."""
    try:
        return source()
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as exc:
        raise CredentialsInvalidError(
            "What the credential service of the operator's environment answered makes no sense."
        ) from exc


def _keys(access_key_id: object, secret_access_key: object, session_token: object, ends: object) -> Keys:
    """Raises: TypeError, ValueError: what is given is no set of keys."""
    if not isinstance(access_key_id, str) or not isinstance(secret_access_key, str) or not access_key_id:
        raise TypeError("keys are text")
    if not isinstance(session_token, str | None) or not isinstance(ends, str | None):
        raise TypeError("a token and an end are text")
    expires_at = None
    if ends is not None:
        expires_at = datetime.fromisoformat(ends)
        expires_at = expires_at.replace(tzinfo=UTC) if expires_at.tzinfo is None else expires_at
    return Keys(access_key_id, secret_access_key, session_token or None, expires_at)


def _token_of(path: str) -> Callable[[], str]:
    """Reads the token anew at each exchange: Kubernetes replaces it."""

    def read() -> str:
        try:
            return str(FileWebIdentityTokenLoader(path)())
        except OSError as exc:
            raise CredentialsInvalidError(
                "The token file that the operator's environment names cannot be read."
            ) from exc

    return read


def _nothing() -> NoReturn:
    raise CredentialsMissingError(_NOTHING)
