"""The S3 driver: puts its parts together and finds out which S3 it talks to.

Objects are one signed aiohttp request each; containers and signed URLs go through the AWS SDK, whose requests the same wire carries.
Nothing of the process's environment changes what it does, unless its credentials are ambient.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final

from stow.drivers.s3 import configuring, copying, multipart, objects, signing, writing
from stow.drivers.s3.ambient import AmbientKeys
from stow.drivers.s3.api import S3Api
from stow.drivers.s3.backend import Backend, random_nonce
from stow.drivers.s3.capabilities import TRAITS, dialect_of_host, dialect_of_server
from stow.drivers.s3.config import Ambient, Anonymous, Dialect, S3Config, StaticCredentials
from stow.drivers.s3.containers import Containers
from stow.drivers.s3.endpoint import Endpoint
from stow.drivers.s3.sdk import Sdk
from stow.drivers.s3.translate import answer_error
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
from stow.transport.wire import Request, Wire

DEFAULT_BUDGET_BYTES: Final = 64 * MIB
"""Of buffered parts, for a driver that is given no budget of its process."""


class S3Driver:
    """One S3 backend. May be made before an event loop runs; belongs to the loop of its first call.

    ``budget`` is shared by all drivers of the process. ``outside`` and ``new_nonce`` are for the composition and
    for tests.

    Raises:
        InvalidSpecError: a malformed endpoint or region.
        EndpointForbiddenError: the endpoint is a denied address.
    """

    def __init__(
        self,
        config: S3Config,
        *,
        clock: Clock,
        budget: ByteBudget | None = None,
        outside: Outside | None = None,
        new_nonce: Callable[[], str] = random_nonce,
    ) -> None:
        endpoint = Endpoint.of(config.endpoint, region=config.region, addressing=config.addressing_style)
        presign = endpoint
        if config.presign_endpoint is not None:
            presign = Endpoint.of(config.presign_endpoint, region=endpoint.region, addressing=config.addressing_style)
        self._clock = clock
        self._anonymous = isinstance(config.credentials, Anonymous)
        credentials: StaticCredentials | Anonymous | AmbientKeys
        if isinstance(config.credentials, Ambient):
            credentials = AmbientKeys(
                config.credentials,
                region=endpoint.region,
                clock=clock,
                deadlines=config.deadlines,
                ssl_context=config.ssl_context,
                outside=outside,
            )
        else:
            credentials = config.credentials
        self._sdk = Sdk(
            credentials,
            endpoint=endpoint,
            presign_endpoint=presign,
            request_s=config.deadlines.request_s,
            threads=config.sdk_threads,
        )
        config.egress.check_host(endpoint.host)
        connections = Connections(
            deadlines=config.deadlines,
            egress=config.egress,
            ssl_context=config.ssl_context,
            limit=config.max_connections,
            outside=outside,
        )
        wire = Wire(
            S3Api(endpoint, keys=self._sdk.keys, renew=self._sdk.renew, clock=clock),
            connections,
            clock=clock,
            outside=outside,
        )
        self._sdk.attach(wire)
        dialect: Dialect | None = config.dialect
        if dialect is Dialect.AUTO:
            dialect = dialect_of_host(endpoint.host, aws=endpoint.aws_partition is not None)
        self._dialect_open = dialect is None
        self._backend = Backend(
            wire=wire,
            traits=TRAITS[dialect or Dialect.GENERIC],
            multipart=config.multipart,
            budget=budget if budget is not None else ByteBudget(DEFAULT_BUDGET_BYTES),
            clock=clock,
            new_nonce=new_nonce,
        )
        # Elsewhere than on AWS a region is named in a create only when somebody configured one.
        region = endpoint.region if endpoint.aws_partition is not None else config.region
        if not self._backend.traits.create_names_region:
            region = None
        self._scheme = config.scheme
        self._identity = config.identity or endpoint.identity
        self._containers = Containers(self._sdk, self._backend, region=region)

    @property
    def scheme(self) -> str:
        return self._scheme

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def capabilities(self) -> Capabilities:
        """Nobody signs for an anonymous location."""
        found = self._backend.traits.capabilities
        return replace(found, sign_methods=frozenset(), sign_binds=frozenset()) if self._anonymous else found

    @property
    def repeated_requests(self) -> int:
        """How many requests were sent again since the start."""
        return self._backend.wire.repeated

    async def probe(self, container: str | None) -> None:
        """One listing of at most one key. Without a container one is asked for that cannot exist; then "denied" shows that the
        credentials are known, and is enough."""
        bucket = container if container is not None else f"stow-probe-{secrets.token_hex(16)}"
        request = Request("GET", bucket, query=[("list-type", "2"), ("max-keys", "1")])
        try:
            server = (await self._backend.wire.call(request)).headers.get("server", "")
        except AnswerError as exc:
            error = answer_error(exc, container_only=True)
            server = exc.server
            if not isinstance(error, ContainerNotFoundError) and (
                container is not None or not isinstance(error, AccessDeniedError)
            ):
                raise error from exc
        if self._dialect_open:
            self._backend.traits = TRAITS[dialect_of_server(server)]
            self._dialect_open = False

    async def create_container(self, name: str, marker: Marker | None) -> None:
        del marker  # marker_with_create is False: StowStore writes it with its own call
        await self._containers.create(name)

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
        return await configuring.read(self._containers, self._backend.traits.capabilities, name, asked)

    async def configure_container(self, name: str, settings: ContainerSettings) -> None:
        await configuring.write(self._containers, self._backend.traits, name, settings)

    async def sweep(self, name: str) -> int:
        """Abort the multipart uploads that began longer ago than ``Multipart.abandoned_after``: those of a killed process, and of other
        writers, which nothing tells apart."""
        return await multipart.sweep(self._backend, name, self._backend.multipart.abandoned_after)

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
        return await writing.write(self._backend, container, key, body, size_bytes=size_bytes, options=options)

    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        await objects.delete(self._backend, container, key, if_match=if_match)

    async def copy(self, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions) -> ObjectMetadata:
        return await copying.copy(self._backend, source, destination, options)

    async def sign(self, request: SignRequest) -> SignedURL:
        """The SDK dates a signature with its own clock, so the end that is given is read out of the URL."""
        return await signing.sign(self._sdk, request, traits=self._backend.traits, clock=self._clock)

    async def aclose(self) -> None:
        """Waits for aborts of failed uploads (each has its deadline), then ends connections and threads."""
        await self._backend.settle()
        await self._backend.wire.connections.aclose()
        await self._sdk.aclose()
