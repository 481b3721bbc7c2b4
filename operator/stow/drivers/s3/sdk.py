"""The AWS SDK, held in check: it signs, builds and parses; it reads no environment and opens no socket of its own.

The clients come from a session whose settings are constants: environment variables, profile files and the user's model files are not
looked at. A ``before-send`` handler answers each request out of our own :class:`Wire`, so that the deny list at every connect, the
deadlines, the refusal of redirects and proxies, and the mapping of errors are the same for the SDK as for objects. Its blocking calls run
in a small thread pool; cancelling one closes its connection at once. Only ambient credentials are looked up by the SDK itself,
as the platform wants it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from botocore import UNSIGNED
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConfigValueStore, ConstantProvider
from botocore.credentials import CredentialProvider, CredentialResolver, Credentials
from botocore.loaders import Loader
from botocore.session import Session
from yarl import URL

from stow.drivers.s3.config import Anonymous, StaticCredentials
from stow.drivers.s3.config import Credentials as Configured
from stow.drivers.s3.endpoint import AddressingStyle, Endpoint
from stow.drivers.s3.sigv4 import Keys
from stow.drivers.s3.translate import sdk_error
from stow.errors import CredentialsMissingError
from stow.storage.clock import Clock
from stow.storage.model import EMPTY
from stow.transport.threads import Threads
from stow.transport.wire import Wire

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client  # stubs: not there at run time

T = TypeVar("T")
_AMBIENT_FRESH: Final = timedelta(seconds=30)
"""For so long fetched keys are used without asking the SDK; it renews temporary ones 15 minutes before they end."""
_UNSENT_HEADERS: Final = frozenset({"expect", "content-length", "accept-encoding", "user-agent"})


@cache
def _loader() -> Loader:
    """The SDK's own model files, parsed once per process; ``~/.aws/models`` is left out."""
    return Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)


_SDK_STYLE: Final[dict[AddressingStyle, Callable[[Endpoint], str]]] = {
    AddressingStyle.AUTO: lambda endpoint: "auto" if endpoint.aws_partition is not None else "path",
    AddressingStyle.PATH: lambda _: "path",
    AddressingStyle.VIRTUAL: lambda _: "virtual",
}


class _Fixed(CredentialProvider):
    METHOD = "stow"

    def __init__(self, credentials: Credentials | None) -> None:
        super().__init__()
        self._credentials = credentials

    def load(self) -> Credentials | None:
        return self._credentials


def isolated_session(credentials: Credentials | None) -> Session:
    """A session that knows these credentials and the SDK's defaults, and looks at nothing else."""
    session = Session()
    constants = {
        name: ConstantProvider(value=setting[2]) for name, setting in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    }
    files = dict.fromkeys(
        ("config_file", "credentials_file", "profile", "s3", "proxies_config"), ConstantProvider(value=None)
    )
    session.register_component("config_store", ConfigValueStore(mapping=constants | files))
    session.register_component("data_loader", _loader())
    session.register_component("credential_provider", CredentialResolver(providers=[_Fixed(credentials)]))
    return session


@dataclass(frozen=True, slots=True)
class _Raw:
    """What the SDK reads a body from."""

    body: bytes = field(repr=False)

    def stream(self) -> Iterator[bytes]:
        yield self.body


class Sdk:
    """The SDK's clients for one backend. Everything of botocore lives in its threads, the first use of each client included."""

    def __init__(
        self,
        credentials: Configured,
        *,
        endpoint: Endpoint,
        presign_endpoint: Endpoint,
        clock: Clock,
        request_s: float,
        threads: int,
    ) -> None:
        # At DEBUG the SDK logs signatures, tokens and signed URLs.
        logging.getLogger("botocore").setLevel(logging.WARNING)
        self._configured = credentials
        self._endpoint = endpoint
        self._presign_endpoint = presign_endpoint
        self._clock = clock
        self._threads = Threads("stow-s3", threads=threads, request_s=request_s, foreign=sdk_error)
        self._lock = threading.Lock()
        self._local = threading.local()
        self._wire: Wire | None = None
        self._sdk_credentials: Credentials | None = None
        self._clients: dict[str, S3Client] = {}
        self._fetched: tuple[datetime, Keys] | None = None

    def attach(self, wire: Wire) -> None:
        """Give the wire that carries the clients' requests; the wire in turn asks this for keys."""
        self._wire = wire

    async def keys(self) -> Keys | None:
        """The present keys, for own signatures; None where requests are anonymous.

        Raises:
            CredentialsMissingError, CredentialsInvalidError, BackendTimeoutError.
        """
        if isinstance(self._configured, StaticCredentials):
            configured = self._configured
            return Keys(configured.access_key_id, configured.secret_access_key, configured.session_token)
        if isinstance(self._configured, Anonymous):
            return None
        now = self._clock()
        if self._fetched is None or now - self._fetched[0] >= _AMBIENT_FRESH:
            self._fetched = now, await self._threads.run(self._frozen_keys)
        return self._fetched[1]

    async def run(self, function: Callable[[S3Client], T]) -> T:
        """Call the SDK in a thread, within ``request_s``.

        Raises:
            AnswerError: the backend refused.
            StowError: no answer.
        """
        return await self._threads.run(lambda: function(self._client(self._endpoint)))

    async def presign(
        self, operation: str, params: dict[str, Any], *, headers: Mapping[str, str], expires_in_s: int
    ) -> str:
        """A signed URL that binds ``headers``; a secret. Sends nothing, but for ambient credentials that have to be renewed.

        Raises:
            CredentialsMissingError: anonymous locations sign nothing.
        """
        if isinstance(self._configured, Anonymous):
            raise CredentialsMissingError("An anonymous location cannot sign URLs. Give it credentials.")

        def sign() -> str:
            client = self._client(self._presign_endpoint)
            self._local.signed_headers = headers
            return client.generate_presigned_url(operation, Params=params, ExpiresIn=expires_in_s)

        return await self._threads.run(sign)

    async def aclose(self) -> None:
        """Let the threads go; calls that still run have been given up or end at their deadline."""
        await self._threads.aclose()

    def _client(self, endpoint: Endpoint) -> S3Client:
        with self._lock:
            if endpoint.url not in self._clients:
                self._clients[endpoint.url] = self._new_client(endpoint)
            return self._clients[endpoint.url]

    def _new_client(self, endpoint: Endpoint) -> S3Client:
        anonymous = isinstance(self._configured, Anonymous)
        settings: dict[str, Any] = {
            "signature_version": UNSIGNED if anonymous else "s3v4",
            "s3": {"addressing_style": _SDK_STYLE[endpoint.addressing](endpoint)},
            "retries": {"total_max_attempts": 1, "mode": "standard"},  # the wire repeats
            "proxies": {},
            "ignore_configured_endpoint_urls": True,
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            "inject_host_prefix": False,
        }
        client = isolated_session(None if anonymous else self._credentials()).create_client(
            "s3",
            region_name=endpoint.region,
            endpoint_url=endpoint.url,
            config=Config(**settings),
        )
        # The stubs think that handlers give nothing back; what this one gives is the answer.
        before_send: Any = self._before_send
        client.meta.events.register_first("before-send.s3", before_send)
        client.meta.events.register_first("before-sign.s3", self._before_sign)
        return cast("S3Client", client)

    def _credentials(self) -> Credentials:
        """The SDK's form of the credentials; of ambient ones an object that renews itself. The caller holds the lock or is the first."""
        if self._sdk_credentials is None:
            if isinstance(self._configured, StaticCredentials):
                configured = self._configured
                self._sdk_credentials = Credentials(
                    configured.access_key_id, configured.secret_access_key, configured.session_token
                )
            else:
                self._sdk_credentials = Session().get_credentials()
            if self._sdk_credentials is None:
                raise CredentialsMissingError("No credentials were found in the environment of the operator.")
        return self._sdk_credentials

    def _frozen_keys(self) -> Keys:
        with self._lock:
            credentials = self._credentials()
        frozen = credentials.get_frozen_credentials()
        if not frozen.access_key or not frozen.secret_key:
            raise CredentialsMissingError("The credentials of the operator's environment are incomplete.")
        # Only renewing credentials have an end, and no public name for it.
        expires_at = getattr(credentials, "_expiry_time", None)
        return Keys(frozen.access_key, frozen.secret_key, frozen.token, expires_at)

    def _before_sign(self, request: AWSRequest, **_: object) -> None:
        """The headers of a signed URL that are no parameters of its operation."""
        for name, value in getattr(self._local, "signed_headers", EMPTY).items():
            del request.headers[name]
            request.headers[name] = value
        self._local.signed_headers = EMPTY

    def _before_send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        return self._threads.exchange(lambda: self._exchange(request))

    async def _exchange(self, request: AWSPreparedRequest) -> AWSResponse:
        if self._wire is None:
            raise RuntimeError("attach() comes before the first call")
        # The stubs leave out that a body may be text and that a header's value may be bytes.
        body: Any = request.body or b""
        headers: Iterable[tuple[str, Any]] = request.headers.items()
        answer = await self._wire.carry(
            request.method,
            URL(request.url, encoded=True),
            headers={
                name.lower(): value.decode() if isinstance(value, bytes) else str(value)
                for name, value in headers
                if name.lower() not in _UNSENT_HEADERS
            },
            body=bytes(body, "utf-8") if isinstance(body, str) else bytes(body),
        )
        received: Any = dict(answer.headers)
        return AWSResponse(request.url, answer.status, received, _Raw(answer.body))
