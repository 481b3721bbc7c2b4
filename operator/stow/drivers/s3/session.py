"""A session of the AWS SDK that looks at nothing, and the SDK's requests and answers as the transport has them.

Its settings are constants: environment variables, profile files and the user's model files are not read. Its clients open no socket: a
``before-send`` handler answers each request out of the transport, so that the deny list at every connect, the deadlines and the refusal
of redirects and proxies are the same for the SDK as for objects.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.client import BaseClient
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConfigValueStore, ConstantProvider
from botocore.credentials import CredentialProvider, CredentialResolver, Credentials
from botocore.loaders import Loader
from botocore.session import Session
from yarl import URL

from stow.transport.connections import Answer
from stow.transport.threads import Threads

Carry = Callable[[str, URL, Mapping[str, str], bytes], Awaitable[Answer]]
"""Sends (method, URL, headers, body) and gives the answer."""
_UNSENT_HEADERS: Final = frozenset({"expect", "content-length", "accept-encoding", "user-agent"})


@cache
def _loader() -> Loader:
    """The SDK's own model files, parsed once per process; ``~/.aws/models`` is left out."""
    return Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)


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


def new_client(
    service: str,
    sender: Sender,
    *,
    credentials: Credentials | None,
    region: str,
    url: str | None,
    settings: Mapping[str, Any],
) -> BaseClient:
    """A client of the SDK whose requests ``sender`` sends, each once; ``url=None`` is the region's own endpoint."""
    config: dict[str, Any] = {
        "retries": {"total_max_attempts": 1, "mode": "standard"},  # who repeats is the transport
        "proxies": {},
        "ignore_configured_endpoint_urls": True,
        "inject_host_prefix": False,
        **settings,
    }
    # The stubs list the services one by one; the name here is a variable.
    create: Callable[..., BaseClient] = isolated_session(credentials).create_client
    client = create(service, region_name=region, endpoint_url=url, config=Config(**config))
    # The stubs think that handlers give nothing back; what this one gives is the answer.
    before_send: Any = sender.before_send
    client.meta.events.register_first(f"before-send.{service}", before_send)
    return client


@dataclass(frozen=True, slots=True)
class _Raw:
    """What the SDK reads a body from."""

    body: bytes = field(repr=False)

    def stream(self) -> Iterator[bytes]:
        yield self.body


class Sender:
    """Takes the SDK's requests from its threads to the transport: as a handler of clients, and as the HTTP session that its metadata
    clients ask for."""

    def __init__(self, threads: Threads, carry: Carry) -> None:
        self._threads = threads
        self._carry = carry

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """Send and read the answer, within a call of ``threads``. Raises: AnswerError, StowError."""
        return self._threads.exchange(lambda: self._exchange(request))

    def before_send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        return self.send(request)

    async def _exchange(self, request: AWSPreparedRequest) -> AWSResponse:
        # The stubs leave out that a body may be text and that a header's value may be bytes.
        body: Any = request.body or b""
        headers: Iterable[tuple[str, Any]] = request.headers.items()
        sent = {
            name.lower(): value.decode() if isinstance(value, bytes) else str(value)
            for name, value in headers
            if name.lower() not in _UNSENT_HEADERS
        }
        data = bytes(body, "utf-8") if isinstance(body, str) else bytes(body)
        answer = await self._carry(request.method, URL(request.url, encoded=True), sent, data)
        received: Any = dict(answer.headers)
        return AWSResponse(request.url, answer.status, received, _Raw(answer.body))
