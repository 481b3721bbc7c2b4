"""The S3 driver: puts its parts together and finds out which S3 it talks to.

Objects are one signed aiohttp request each; containers and signed URLs go through the AWS SDK, whose requests the same wire carries.
Nothing of the process's environment changes what it does, unless its credentials are ambient.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit

import aiohttp

from stow.drivers.s3 import copying, multipart, objects, writing
from stow.drivers.s3.backend import Backend, random_nonce
from stow.drivers.s3.capabilities import TRAITS, dialect_of_host, dialect_of_server
from stow.drivers.s3.config import Dialect, S3Config
from stow.drivers.s3.containers import Containers
from stow.drivers.s3.endpoint import Endpoint
from stow.drivers.s3.sdk import Sdk
from stow.drivers.s3.translate import AnswerError, answer_error
from stow.drivers.s3.wire import Request, Wire
from stow.errors import AccessDeniedError, ContainerNotFoundError, InvalidArgumentError
from stow.storage.budget import ByteBudget
from stow.storage.clock import Clock
from stow.storage.driver import Capabilities, SignRequest
from stow.storage.egress import Resolve, system_resolve
from stow.storage.model import (
    MIB,
    ByteRange,
    ContainerContents,
    CopyOptions,
    Listing,
    Marker,
    Method,
    ObjectMetadata,
    ObjectStream,
    SignedURL,
    WriteOptions,
)

DEFAULT_BUDGET_BYTES: Final = 64 * MIB
"""Of buffered parts, for a driver that is given no budget of its process."""
_OPERATIONS: Final = {
    Method.GET: "get_object",
    Method.HEAD: "head_object",
    Method.PUT: "put_object",
    Method.DELETE: "delete_object",
}


class S3Driver:
    """One S3 backend. May be made before an event loop runs; belongs to the loop of its first call.

    ``budget`` is shared by all drivers of the process. ``resolve``, ``jitter``, ``new_nonce`` and ``trace_configs`` (aiohttp's) are for
    the composition and for tests.

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
        resolve: Resolve = system_resolve,
        jitter: Callable[[], float] = random.random,
        new_nonce: Callable[[], str] = random_nonce,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
    ) -> None:
        endpoint = Endpoint.of(config.endpoint, region=config.region, addressing=config.addressing_style)
        presign = endpoint
        if config.presign_endpoint is not None:
            presign = Endpoint.of(config.presign_endpoint, region=endpoint.region, addressing=config.addressing_style)
        self._endpoint = endpoint
        self._clock = clock
        self._sdk = Sdk(
            config.credentials,
            endpoint=endpoint,
            presign_endpoint=presign,
            clock=clock,
            request_s=config.deadlines.request_s,
            threads=config.sdk_threads,
        )
        options: dict[str, object] = {"limit": config.max_connections}
        if config.ssl_context is not None:
            options["ssl"] = config.ssl_context
        wire = Wire(
            endpoint,
            keys=self._sdk.keys,
            clock=clock,
            deadlines=config.deadlines,
            egress=config.egress,
            connector_options=options,
            resolve=resolve,
            jitter=jitter,
            trace_configs=trace_configs,
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
        self._containers = Containers(self._sdk, self._backend, region=region)

    @property
    def scheme(self) -> str:
        return "s3"

    @property
    def identity(self) -> str:
        return self._endpoint.identity

    @property
    def capabilities(self) -> Capabilities:
        return self._backend.traits.capabilities

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
        expires_in_s = int((request.expires_at - self._clock()).total_seconds())
        if expires_in_s < 1:
            raise InvalidArgumentError("A signed URL lives for at least a second.")
        params: dict[str, object] = {"Bucket": request.container, "Key": request.key}
        required: dict[str, str] = {}
        if request.method is Method.PUT:
            required = writing.signed_headers(content_md5=request.content_md5, content_type=request.content_type)
            params |= {_SIGNED_PARAMS[name]: value for name, value in required.items()}
        keys = await self._sdk.keys()
        url = await self._sdk.presign(_OPERATIONS[request.method], params, expires_in_s=expires_in_s)
        expires_at = min(_end_of(url), request.expires_at)
        if keys is not None and keys.expires_at is not None:
            expires_at = min(expires_at, keys.expires_at)
        return SignedURL(url=url, method=request.method, expires_at=expires_at, required_headers=required)

    async def aclose(self) -> None:
        """Waits for aborts of failed uploads (each has its deadline), then ends connections and threads."""
        await self._backend.settle()
        await self._backend.wire.aclose()
        await self._sdk.aclose()


_SIGNED_PARAMS: Final = {"Content-MD5": "ContentMD5", "Content-Type": "ContentType"}


def _end_of(url: str) -> datetime:
    query = parse_qs(urlsplit(url).query)
    signed_at = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return signed_at + timedelta(seconds=int(query["X-Amz-Expires"][0]))
