"""The Azure driver: puts its parts together. One storage account; its blobs are ``abfs://`` references.

Needs an account key, a shared access signature, a service principal, an identity of the process, or nothing for what is public. Objects
are one signed aiohttp request each, a suffix range two. Containers, tokens and signatures are the SDK's business, whose requests go over
the same connections. Nothing of the process's environment changes what it does, unless its credentials are ambient.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import UTC
from typing import Final

from azure.storage.blob import UserDelegationKey
from azure.storage.blob.aio import BlobServiceClient

from stow.drivers.azure import answers, configuring, copying, objects, signing, writing
from stow.drivers.azure.api import AzureApi
from stow.drivers.azure.authorizing import VERSION
from stow.drivers.azure.backend import Backend, random_nonce
from stow.drivers.azure.capabilities import Dialect, capabilities
from stow.drivers.azure.config import AzureConfig
from stow.drivers.azure.containers import Containers
from stow.drivers.azure.credentials import access
from stow.drivers.azure.endpoint import Endpoint
from stow.drivers.azure.sdk import QUIET, WireTransport, quieten
from stow.drivers.azure.translate import answer_error, sdk_error
from stow.errors import AccessDeniedError, ContainerNotFoundError, InvalidContainerNameError, StowError
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
from stow.storage.names import printable
from stow.transport.connections import Connections, Outside
from stow.transport.faults import AnswerError
from stow.transport.renewing import Lease
from stow.transport.wire import Request, Wire

DEFAULT_BUDGET_BYTES: Final = 64 * MIB
"""Of buffered blocks, for a driver that is given no budget of its process."""
_CONTAINER: Final = re.compile(r"(?=[a-z0-9-]{3,63}\Z)[a-z0-9](?:-?[a-z0-9])+")


class AzureDriver:
    """One storage account. May be made before an event loop runs; belongs to the loop of its first call.

    ``budget`` is shared by all drivers of the process. ``outside`` and ``new_nonce`` are for the composition and for tests.

    Raises:
        InvalidSpecError: a malformed account, endpoint or authority, or a token that would go out without TLS.
        CredentialsInvalidError: malformed credentials.
        EndpointForbiddenError: the endpoint is a denied address.
    """

    def __init__(
        self,
        config: AzureConfig,
        *,
        clock: Clock,
        budget: ByteBudget | None = None,
        outside: Outside | None = None,
        new_nonce: Callable[[], str] = random_nonce,
    ) -> None:
        quieten()
        endpoint = Endpoint.of(config.endpoint, account=config.account)
        self._presign = endpoint
        if config.presign_endpoint is not None:
            self._presign = Endpoint.of(config.presign_endpoint, account=config.account)
        config.egress.check_host(endpoint.host)
        self._config = config
        self._clock = clock
        connections = Connections(
            deadlines=config.deadlines,
            egress=config.egress,
            ssl_context=config.ssl_context,
            limit=config.max_connections,
            outside=outside,
        )
        granted = access(
            config, endpoint, connections=connections, clock=clock, outside=outside, fetch_key=self._fetch_key
        )
        wire = Wire(
            AzureApi(endpoint, authorizer=granted.authorizer, clock=clock), connections, clock=clock, outside=outside
        )
        self._dialect_open = True
        self._backend = Backend(
            wire=wire,
            endpoint=endpoint,
            capabilities=capabilities(config.credentials, config.blocks, Dialect.HIERARCHICAL),
            blocks=config.blocks,
            budget=budget if budget is not None else ByteBudget(DEFAULT_BUDGET_BYTES),
            access=granted,
            clock=clock,
            new_nonce=new_nonce,
        )
        self._containers = Containers(self._backend)

    @property
    def scheme(self) -> str:
        return "abfs"

    @property
    def identity(self) -> str:
        return self._backend.endpoint.identity

    @property
    def capabilities(self) -> Capabilities:
        return self._backend.capabilities

    @property
    def repeated_requests(self) -> int:
        """How many requests were sent again since the start."""
        return self._backend.wire.repeated

    async def probe(self, container: str | None) -> None:
        """One listing of at most one key. Without a container one is asked for that cannot exist; then "denied" shows that the
        credentials are known, and is enough. The first time also what kind of account it is, where that may be asked."""
        name = _checked(container) if container is not None else f"stow-probe-{secrets.token_hex(16)}"
        seen: bool | None = None
        try:
            page = await self._backend.wire.call(Request("GET", name, query=[*objects.LIST, ("maxresults", "1")]))
            seen = answers.hierarchical(page.body)
        except AnswerError as exc:
            error = answer_error(exc, container_only=True)
            if not isinstance(error, ContainerNotFoundError) and (
                container is not None or not isinstance(error, AccessDeniedError)
            ):
                raise error from exc
        if self._dialect_open:
            await self._find_dialect(seen)

    async def create_container(self, name: str, marker: Marker | None) -> None:
        await self._containers.create(_checked(name), marker)

    async def container_exists(self, name: str) -> bool:
        return await self._containers.exists(_checked(name))

    async def read_marker(self, name: str) -> Marker | None:
        return await self._containers.read_marker(_checked(name))

    async def write_marker(self, name: str, marker: Marker | None) -> None:
        await self._containers.write_marker(_checked(name), marker)

    async def container_contents(self, name: str) -> ContainerContents:
        return await self._containers.contents(_checked(name))

    async def delete_container(self, name: str) -> None:
        await self._containers.delete(_checked(name))

    async def container_settings(self, name: str, asked: ContainerSettings | None = None) -> ContainerSettings:
        del asked  # one request tells all
        return await configuring.read(self._containers, _checked(name))

    async def configure_container(self, name: str, settings: ContainerSettings) -> None:
        await configuring.write(self._containers, _checked(name), settings)

    async def sweep(self, name: str) -> int:
        """Nothing to do: the service drops blocks that no object uses after a week, and has no request that drops them sooner.

        Raises:
            ContainerNotFoundError
        """
        await self._containers.metadata(_checked(name))
        return 0

    async def head(self, container: str, key: str) -> ObjectMetadata:
        return await objects.head(self._backend, _checked(container), key)

    async def list(
        self, container: str, *, prefix: str, delimiter: str | None, limit: int, token: str | None
    ) -> Listing:
        return await objects.list_page(
            self._backend, _checked(container), prefix=prefix, delimiter=delimiter, limit=limit, token=token
        )

    async def read(self, container: str, key: str, byte_range: ByteRange | None) -> ObjectStream:
        return await objects.read(self._backend, _checked(container), key, byte_range)

    async def write(
        self, container: str, key: str, body: AsyncIterator[bytes], *, size_bytes: int | None, options: WriteOptions
    ) -> ObjectMetadata:
        return await writing.write(
            self._backend, _checked(container), key, body, size_bytes=size_bytes, options=options
        )

    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        await objects.delete(self._backend, _checked(container), key, if_match=if_match)

    async def copy(self, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions) -> ObjectMetadata:
        _checked(source[0]), _checked(destination[0])
        return await copying.copy(self._backend, source, destination, options)

    async def sign(self, request: SignRequest) -> SignedURL:
        """No I/O with a shared key; with a token's owner a delegation key now and then."""
        _checked(request.container)
        return await signing.sign(self._backend.access.signer, self._presign, request, clock=self._clock)

    async def aclose(self) -> None:
        """Ends renewals and connections."""
        await self._backend.access.aclose()
        await self._backend.wire.connections.aclose()

    async def _find_dialect(self, seen: bool | None) -> None:
        """Ask once what kind of account it is. The service answers that to keys and signatures; to others a listing may show it
        (``seen``). Where nothing does, the narrower rules stay: an account with folders would store ``a//b`` as ``a/b``."""
        try:
            answer = await self._backend.wire.call(
                Request("HEAD", query=[("restype", "account"), ("comp", "properties")])
            )
            seen = answer.headers.get("x-ms-is-hns-enabled") == "true"
        except (AnswerError, StowError):
            if seen is None:
                return
        self._dialect_open = False
        dialect = Dialect.HIERARCHICAL if seen else Dialect.FLAT
        self._backend.capabilities = capabilities(self._config.credentials, self._config.blocks, dialect)

    async def _fetch_key(self) -> Lease[UserDelegationKey]:
        start = (self._clock() - signing.DELEGATION_SKEW).replace(microsecond=0)
        client = BlobServiceClient(
            self._backend.endpoint.url,
            transport=WireTransport(self._backend.wire, self._backend.endpoint),
            api_version=VERSION,
            **QUIET,
        )
        try:
            key = await client.get_user_delegation_key(
                key_start_time=start, key_expiry_time=start + signing.DELEGATION_LIFETIME
            )
        except Exception as exc:
            error = sdk_error(exc)
            if error is None or error is exc:
                raise
            raise error from exc
        return Lease(key, (start + signing.DELEGATION_LIFETIME).astimezone(UTC))


def _checked(name: str) -> str:
    """Azure's names of containers are narrower than those of the other kinds.

    Raises:
        InvalidContainerNameError
    """
    if not _CONTAINER.fullmatch(name):
        raise InvalidContainerNameError(
            f"{printable(name)!r} is no container name of Azure: use 3 to 63 lower-case letters, digits and single hyphens, "
            "beginning and ending with a letter or digit."
        )
    return name
