"""The Google driver: puts its parts together.

What it needs: a service account with ``storage.objectAdmin`` on its buckets, and ``storage.admin`` (or a role with ``storage.buckets.*``)
where containers are created, loaded or deleted; ``iam.serviceAccountTokenCreator`` on the signer where URLs are signed without a key.
Objects are one aiohttp request each with a bearer token; containers, tokens and signed URLs go through Google's SDKs, whose requests the
same connections carry. Nothing of the process's environment changes what it does, unless its credentials are ambient.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

from stow.drivers.google import ambient, configuring, copying, objects, uploading
from stow.drivers.google.api import GoogleApi
from stow.drivers.google.asking import Asking
from stow.drivers.google.backend import Backend, random_nonce
from stow.drivers.google.capabilities import capabilities
from stow.drivers.google.config import Ambient, GoogleConfig, ServiceAccountKey
from stow.drivers.google.containers import Containers
from stow.drivers.google.endpoint import Endpoint, Located
from stow.drivers.google.identities import KeyIdentity, LateIdentity
from stow.drivers.google.sdk import Sdk
from stow.drivers.google.signing import Signer
from stow.drivers.google.tokens import Identity, Tokens
from stow.drivers.google.translate import answer_error
from stow.errors import AccessDeniedError, ContainerNotFoundError
from stow.storage.budget import ByteBudget
from stow.storage.clock import Clock
from stow.storage.driver import Capabilities, SignRequest
from stow.storage.model import (
    MIB,
    ByteRange,
    ContainerContents,
    ContainerSettings,
    CopyOptions,
    Listing,
    Marker,
    ObjectMetadata,
    ObjectStream,
    SignedURL,
    WriteOptions,
)
from stow.transport.connections import Connections, Outside
from stow.transport.faults import AnswerError
from stow.transport.wire import Wire

DEFAULT_BUDGET_BYTES: Final = 64 * MIB
"""Of buffered chunks, for a driver that is given no budget of its process."""


class GoogleDriver:
    """One Cloud Storage. May be made before an event loop runs; belongs to the loop of its first call.

    ``budget`` is shared by all drivers of the process. ``outside`` and ``new_nonce`` are for the composition and
    for tests.

    Raises:
        InvalidSpecError: a malformed endpoint.
        EndpointForbiddenError: the endpoint is a denied address.
    """

    def __init__(
        self,
        config: GoogleConfig,
        *,
        clock: Clock,
        budget: ByteBudget | None = None,
        outside: Outside | None = None,
        new_nonce: Callable[[], str] = random_nonce,
    ) -> None:
        self._endpoint = endpoint = Endpoint.of(config.endpoint)
        presign = Endpoint.of(config.presign_endpoint) if config.presign_endpoint is not None else endpoint
        config.egress.check_host(endpoint.host)
        self._config = config
        self._connections = connections = Connections(
            deadlines=config.deadlines,
            egress=config.egress,
            ssl_context=config.ssl_context,
            limit=config.max_connections,
            outside=outside,
        )
        asking = Asking(connections, outside or Outside())
        self._sdk = Sdk(endpoint, asking, request_s=config.deadlines.request_s, threads=config.sdk_threads)
        identity = _identity(config, self._sdk, outside=outside)
        self._tokens = Tokens(identity, clock=clock) if identity is not None else None
        wire = Wire(GoogleApi(endpoint, tokens=self._tokens), connections, clock=clock, outside=outside)
        self._sdk.attach(wire)
        account = _signer_account(config)
        self._backend = Backend(
            wire=wire,
            endpoint=endpoint,
            capabilities=capabilities(
                config.uploads, by_iam=account is not None or isinstance(config.credentials, Ambient)
            ),
            uploads=config.uploads,
            budget=budget if budget is not None else ByteBudget(DEFAULT_BUDGET_BYTES),
            new_nonce=new_nonce,
        )
        self._containers = Containers(self._sdk, self._backend, project=self._project)
        self._signer = Signer(
            self._sdk,
            presign,
            tokens=self._tokens,
            account=account,
            asking=asking,
            iam_endpoint=config.iam_endpoint,
            clock=clock,
        )

    @property
    def scheme(self) -> str:
        return "gs"

    @property
    def identity(self) -> str:
        return self._endpoint.identity

    @property
    def capabilities(self) -> Capabilities:
        """Nobody signs for an anonymous location."""
        found = self._backend.capabilities
        return found if self._tokens is not None else replace(found, sign_methods=frozenset(), sign_binds=frozenset())

    @property
    def repeated_requests(self) -> int:
        """How many requests were sent again since the start."""
        return self._backend.wire.repeated

    async def probe(self, container: str | None) -> None:
        """One listing of at most one key. Without a container one is asked for that cannot exist; then "denied" shows that the
        credentials are known, and is enough."""
        bucket = container if container is not None else f"stow-probe-{secrets.token_hex(16)}"
        query = [("maxResults", "1"), ("fields", "kind")]
        try:
            await self._backend.wire.call(Located("GET", url=self._endpoint.objects(bucket), query=query))
        except AnswerError as exc:
            error = answer_error(exc, container_only=True)
            if not isinstance(error, ContainerNotFoundError) and (
                container is not None or not isinstance(error, AccessDeniedError)
            ):
                raise error from exc

    async def create_container(self, name: str, marker: Marker | None) -> None:
        await self._containers.create(name, marker)

    async def container_exists(self, name: str) -> bool:
        return await self._containers.exists(name)

    async def read_marker(self, name: str) -> Marker | None:
        return await self._containers.read_marker(name)

    async def write_marker(self, name: str, marker: Marker | None) -> None:
        await self._containers.write_marker(name, marker)

    async def container_contents(self, name: str) -> ContainerContents:
        return await self._containers.contents(name)

    async def delete_container(self, name: str) -> None:
        await self._containers.delete(name)

    async def container_settings(self, name: str, asked: ContainerSettings | None = None) -> ContainerSettings:
        del asked  # one request tells all
        return await configuring.read(self._containers, name)

    async def configure_container(self, name: str, settings: ContainerSettings) -> None:
        await configuring.write(self._containers, name, settings)

    async def sweep(self, name: str) -> int:
        """Nothing: what a dead writer leaves is a session that shows nowhere, and Google drops it after a week."""
        del name
        return 0

    async def head(self, container: str, key: str) -> ObjectMetadata:
        return await objects.head(self._backend, container, key)

    async def list(
        self, container: str, *, prefix: str, delimiter: str | None, limit: int, token: str | None
    ) -> Listing:
        return await objects.list_page(
            self._backend, container, prefix=prefix, delimiter=delimiter, limit=limit, token=token
        )

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> ObjectStream:
        return await objects.read(self._backend, container, key, byte_range)

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        return await uploading.write(self._backend, container, key, body, size_bytes=size_bytes, options=options)

    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        await objects.delete(self._backend, container, key, if_match=if_match)

    async def copy(self, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions) -> ObjectMetadata:
        return await copying.copy(self._backend, source, destination, options)

    async def sign(self, request: SignRequest) -> SignedURL:
        return await self._signer.sign(request)

    async def aclose(self) -> None:
        """Waits for cancellations of failed uploads (each has its deadline), then ends connections and threads."""
        await self._backend.settle()
        if self._tokens is not None:
            await self._tokens.aclose()
        await self._connections.aclose()
        await self._sdk.aclose()

    async def _project(self) -> str | None:
        if self._config.project is not None or self._tokens is None:
            return self._config.project
        return await self._tokens.identity.project()


def _identity(config: GoogleConfig, sdk: Sdk, *, outside: Outside | None) -> Identity | None:
    """None where requests are anonymous."""
    credentials = config.credentials
    if isinstance(credentials, ServiceAccountKey):
        return KeyIdentity(credentials, token_uri=config.token_uri, threads=sdk.auth_threads, carried=sdk.unauthorized)
    if isinstance(credentials, Ambient):
        return LateIdentity(
            lambda: ambient.find(
                credentials, config, threads=sdk.auth_threads, carried=sdk.unauthorized, outside=outside
            )
        )
    return None


def _signer_account(config: GoogleConfig) -> str | None:
    """Who signs by IAM; a key signs for its own account."""
    account = config.signer_service_account
    if isinstance(config.credentials, ServiceAccountKey) and account == config.credentials.client_email:
        return None
    return account
