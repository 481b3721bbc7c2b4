"""Google's storage SDK, held in check: it builds, parses and signs; it opens no socket of its own.

Its client has a session whose requests go out over our own :class:`Wire`, which adds the token: so the deny list at every connect, the
deadlines, the refusal of redirects and proxies, the renewal of tokens and the mapping of errors are the same for the SDK as for objects.
Its blocking calls run in a small thread pool; cancelling one closes its connection at once. It is told endpoint, project and credentials
(anonymous ones), so it looks at nothing in the environment.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import Request as SdkRequest
from google.cloud.storage import Client
from yarl import URL

from stow.drivers.google.asking import Asking
from stow.drivers.google.endpoint import Endpoint, Located
from stow.drivers.google.translate import sdk_error
from stow.transport.connections import Answer
from stow.transport.requests_session import requests_session
from stow.transport.threads import Threads
from stow.transport.wire import Wire

T = TypeVar("T")
_LOGGERS: Final = ("google.auth", "google.cloud.storage", "google.api_core", "urllib3", "requests")
_NO_PROJECT: Final = "-"
"""Keeps the client from looking for one; each call that needs a project is given it."""


class Sdk:
    """The SDK's client for one endpoint, and what google-auth sends its requests with."""

    def __init__(self, endpoint: Endpoint, asking: Asking, *, request_s: float, threads: int) -> None:
        for name in _LOGGERS:  # at DEBUG some of them log headers and bodies
            logging.getLogger(name).setLevel(logging.WARNING)
        self.threads = Threads("stow-google", threads=threads, request_s=request_s, foreign=sdk_error)
        self.auth_threads = Threads("stow-google-auth", threads=1, request_s=request_s, foreign=sdk_error)
        """google-auth's own: a call of the SDK holds its thread while its request waits for a token."""
        self._endpoint = endpoint
        self._asking = asking
        self._lock = threading.Lock()
        self._wire: Wire | None = None
        self._client: Client | None = None

    def attach(self, wire: Wire) -> None:
        """Give the wire that carries the client's requests; the wire in turn asks for tokens, which this fetches."""
        self._wire = wire

    async def run(self, function: Callable[[Client], T]) -> T:
        """Call the SDK in a thread, within ``request_s``.

        Raises:
            AnswerError: the backend refused.
            StowError: no answer.
        """
        return await self.threads.run(lambda: function(self._made()))

    def unauthorized(self) -> SdkRequest:
        """For google-auth, in its thread: requests that carry their own authorization, or none."""
        return SdkRequest(requests_session(self.auth_threads, self._plain))

    async def aclose(self) -> None:
        await self.threads.aclose()
        await self.auth_threads.aclose()

    def _made(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = Client(
                    project=_NO_PROJECT,
                    credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call] # no annotations there
                    _http=requests_session(self.threads, self._authorized),
                    client_options={"api_endpoint": self._endpoint.text},
                )
            return self._client

    async def _authorized(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._wire is None:
            raise RuntimeError("attach() comes before the first call")
        return await self._wire.call(Located(method, url=url, headers=headers, body=body))

    async def _plain(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        """A failure of the service comes out as an error of ours, so google-auth does not sleep in its thread to ask again."""
        return await self._asking.ask(method, url, headers, body)
