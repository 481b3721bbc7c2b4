"""The Swift driver: puts its parts together and reads the limits that its Swift tells.

Needs an account, by Keystone's password or application credential (V3) or by Swift's own authentication (V1), and for signed URLs the
key for TempURLs that its owner has set on it. Every request is one of ours over aiohttp; only tokens are had by an SDK. Nothing of the
process's environment changes what it does.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable

from stow.drivers.swift import configuring, containers, copying, objects, signing, writing
from stow.drivers.swift.api import SwiftApi
from stow.drivers.swift.backend import Backend, random_nonce
from stow.drivers.swift.capabilities import Traits, default_traits, told
from stow.drivers.swift.config import SwiftConfig
from stow.drivers.swift.endpoint import Account, presign_origin
from stow.drivers.swift.tokens import Tokens
from stow.errors import AccessDeniedError, BackendError, ContainerNotFoundError, CredentialsInvalidError, StowError
from stow.storage.clock import Clock
from stow.storage.driver import Capabilities, SignRequest
from stow.storage.model import (
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


class SwiftDriver:
    """One account of one Swift. May be made before an event loop runs; belongs to the loop of its first call.

    ``outside`` and ``new_nonce`` are for the composition and for tests.

    Raises:
        InvalidSpecError: a malformed URL, no project, or credentials of another version of the authentication.
        EndpointForbiddenError: the auth URL is a denied address.
    """

    def __init__(
        self,
        config: SwiftConfig,
        *,
        clock: Clock,
        outside: Outside | None = None,
        new_nonce: Callable[[], str] = random_nonce,
    ) -> None:
        self._account = Account.of(config)
        self._clock = clock
        self._temp_url_key = config.temp_url_key
        self._presign_origin = None if config.presign_endpoint is None else presign_origin(config.presign_endpoint)
        config.egress.check_host(self._account.host)
        self._connections = Connections(
            deadlines=config.deadlines,
            egress=config.egress,
            ssl_context=config.ssl_context,
            limit=config.max_connections,
            outside=outside,
        )
        self._tokens = Tokens(config, self._account, self._connections, clock=clock, outside=outside)
        self._defaults = default_traits(signs=bool(config.temp_url_key))
        wire = Wire(SwiftApi(self._tokens), self._connections, clock=clock, outside=outside)
        self._backend = Backend(wire=wire, traits=self._defaults, new_nonce=new_nonce)

    @property
    def scheme(self) -> str:
        return "sw"

    @property
    def identity(self) -> str:
        return self._tokens.identity

    @property
    def capabilities(self) -> Capabilities:
        return self._backend.traits.capabilities

    @property
    def repeated_requests(self) -> int:
        """How many requests were sent again since the start."""
        return self._backend.wire.repeated

    async def probe(self, container: str | None) -> None:
        """A HEAD of a container, and the limits. Without a container one is asked for that cannot exist; then "denied" shows that the
        token is known, and is enough - as it is for nobody, who has none."""
        name = container if container is not None else f"stow-probe-{secrets.token_hex(16)}"
        let_pass: tuple[type[StowError], ...] = (ContainerNotFoundError,)
        if container is None:
            let_pass += (AccessDeniedError,)
            if self._tokens.anonymous:
                let_pass += (CredentialsInvalidError,)
        with contextlib.suppress(*let_pass):
            await containers.head(self._backend, name)
        self._backend.traits = await self._traits()

    async def _traits(self) -> Traits:
        """Limits that are hidden, or make no sense, are those that were told before, else the documented ones."""
        storage = await self._tokens.storage()
        try:
            answer = await self._backend.wire.carry("GET", storage.info_url, headers={}, body=b"")
            info = json.loads(answer.body)
        except (AnswerError, BackendError, ValueError, RecursionError):
            return self._backend.traits
        return told(self._defaults, info) if isinstance(info, dict) else self._backend.traits

    async def create_container(self, name: str, marker: Marker | None) -> None:
        del marker  # marker_with_create is False: StowStore writes it with its own call
        await containers.create(self._backend, name)

    async def container_exists(self, name: str) -> bool:
        return await containers.exists(self._backend, name)

    async def read_marker(self, name: str) -> Marker | None:
        return await containers.read_marker(self._backend, name)

    async def write_marker(self, name: str, marker: Marker | None) -> None:
        await containers.write_marker(self._backend, name, marker)

    async def container_contents(self, name: str) -> ContainerContents:
        return await containers.contents(self._backend, name)

    async def delete_container(self, name: str) -> None:
        await containers.delete(self._backend, name)

    async def container_settings(self, name: str, asked: ContainerSettings | None = None) -> ContainerSettings:
        del asked  # one request tells all
        return await configuring.read(self._backend, name)

    async def configure_container(self, name: str, settings: ContainerSettings) -> None:
        await configuring.write(self._backend, name, settings)

    async def sweep(self, name: str) -> int:
        """Nothing: a write is one request, and one that is cut off leaves nothing."""
        await containers.head(self._backend, name)
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
        return await writing.write(self._backend, container, key, body, size_bytes=size_bytes, options=options)

    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        await objects.delete(self._backend, container, key, if_match=if_match)

    async def copy(self, source: tuple[str, str], destination: tuple[str, str], options: CopyOptions) -> ObjectMetadata:
        return await copying.copy(self._backend, source, destination, options)

    async def sign(self, request: SignRequest) -> SignedURL:
        """The first one may have to ask for a token, which says where the account is."""
        signing.check(request, temp_url_key=self._temp_url_key)
        storage = await self._tokens.storage()
        return signing.sign(
            storage, request, temp_url_key=self._temp_url_key, base=self._presign_origin, clock=self._clock
        )

    async def aclose(self) -> None:
        await self._tokens.aclose()
        await self._connections.aclose()
