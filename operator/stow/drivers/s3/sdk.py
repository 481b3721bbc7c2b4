"""The AWS SDK, held in check: it signs, builds and parses; it reads no environment and opens no socket of its own.

Its clients come from the session of session.py, and our own :class:`Wire` carries their requests. Its blocking calls run in a small thread
pool; cancelling one closes its connection at once. Which keys sign a call is decided before the call, here: the SDK looks none up.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from botocore import UNSIGNED
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from yarl import URL

from stow.drivers.s3.ambient import AmbientKeys
from stow.drivers.s3.config import Anonymous, StaticCredentials
from stow.drivers.s3.endpoint import AddressingStyle, Endpoint
from stow.drivers.s3.session import Sender, new_client
from stow.drivers.s3.sigv4 import Keys
from stow.drivers.s3.translate import sdk_error
from stow.errors import CredentialsMissingError
from stow.storage.model import EMPTY
from stow.transport.connections import Answer
from stow.transport.faults import AnswerError
from stow.transport.threads import Threads
from stow.transport.wire import Wire

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client  # stubs: not there at run time

T = TypeVar("T")
_SDK_STYLE: Final[dict[AddressingStyle, Callable[[Endpoint], str]]] = {
    AddressingStyle.AUTO: lambda endpoint: "auto" if endpoint.aws_partition is not None else "path",
    AddressingStyle.PATH: lambda _: "path",
    AddressingStyle.VIRTUAL: lambda _: "virtual",
}


class _OfThisCall(Credentials):
    """The keys of the call that runs in this thread."""

    def __init__(self, local: threading.local) -> None:
        super().__init__("", "")
        self._local = local

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        keys: Keys = self._local.keys
        return ReadOnlyCredentials(keys.access_key_id, keys.secret_access_key, keys.session_token)


class Sdk:
    """The SDK's clients for one backend. Everything of botocore lives in its threads, the first use of each client included."""

    def __init__(
        self,
        credentials: StaticCredentials | Anonymous | AmbientKeys,
        *,
        endpoint: Endpoint,
        presign_endpoint: Endpoint,
        request_s: float,
        threads: int,
    ) -> None:
        # At DEBUG the SDK logs signatures, tokens and signed URLs.
        logging.getLogger("botocore").setLevel(logging.WARNING)
        self._configured = credentials
        self._endpoint = endpoint
        self._presign_endpoint = presign_endpoint
        self._threads = Threads("stow-s3", threads=threads, request_s=request_s, foreign=sdk_error)
        self._sender = Sender(self._threads, self._carry)
        self._lock = threading.Lock()
        self._local = threading.local()
        self._wire: Wire | None = None
        self._clients: dict[str, S3Client] = {}

    def attach(self, wire: Wire) -> None:
        """Give the wire that carries the clients' requests; the wire in turn asks this for keys."""
        self._wire = wire

    async def keys(self, *, until: datetime | None = None) -> Keys | None:
        """The present keys; None where requests are anonymous. With ``until`` such as live so long, if there are any.

        Raises:
            CredentialsMissingError, CredentialsInvalidError, BackendError.
        """
        match self._configured:
            case StaticCredentials(access_key_id=key_id, secret_access_key=secret, session_token=token):
                return Keys(key_id, secret, token)
            case AmbientKeys() as ambient:
                return await (ambient.present() if until is None else ambient.lasting(until))
            case _:
                return None

    async def renew(self) -> bool:
        """Whether other keys could be had for those that the backend says have ended."""
        return isinstance(self._configured, AmbientKeys) and await self._configured.renew()

    async def run(self, function: Callable[[S3Client], T]) -> T:
        """Call the SDK in a thread, within ``request_s``; once more with other keys where these had ended.

        Raises:
            AnswerError: the backend refused.
            StowError: no answer.
        """
        try:
            return await self._run(function, await self.keys())
        except AnswerError as exc:
            if self._wire is None or not await self._wire.renewed(exc):
                raise
        return await self._run(function, await self.keys())

    async def _run(self, function: Callable[[S3Client], T], keys: Keys | None) -> T:
        def call() -> T:
            self._local.keys = keys
            return function(self._client(self._endpoint))

        return await self._threads.run(call)

    async def presign(
        self,
        operation: str,
        params: dict[str, Any],
        *,
        keys: Keys | None,
        headers: Mapping[str, str],
        expires_in_s: int,
        absent: str | None = None,
    ) -> str:
        """A signed URL that binds ``headers``, and that the header ``absent`` is not sent; a secret. Sends nothing.

        Raises:
            CredentialsMissingError: anonymous locations sign nothing.
        """
        if keys is None:
            raise CredentialsMissingError("An anonymous location cannot sign URLs. Give it credentials.")

        def sign() -> str:
            client = self._client(self._presign_endpoint)
            self._local.keys = keys
            self._local.signed_headers = headers
            self._local.absent = absent
            return client.generate_presigned_url(operation, Params=params, ExpiresIn=expires_in_s)

        return await self._threads.run(sign)

    async def aclose(self) -> None:
        """Let the threads go; calls that still run have been given up or end at their deadline."""
        if isinstance(self._configured, AmbientKeys):
            await self._configured.aclose()
        await self._threads.aclose()

    def _client(self, endpoint: Endpoint) -> S3Client:
        with self._lock:
            if endpoint.url not in self._clients:
                self._clients[endpoint.url] = self._new_client(endpoint)
            return self._clients[endpoint.url]

    def _new_client(self, endpoint: Endpoint) -> S3Client:
        anonymous = isinstance(self._configured, Anonymous)
        client = new_client(
            "s3",
            self._sender,
            credentials=None if anonymous else _OfThisCall(self._local),
            region=endpoint.region,
            url=endpoint.url,
            settings={
                "signature_version": UNSIGNED if anonymous else "s3v4",
                "s3": {"addressing_style": _SDK_STYLE[endpoint.addressing](endpoint)},
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            },
        )
        client.meta.events.register_first("before-sign.s3", self._before_sign)
        return cast("S3Client", client)

    def _before_sign(self, request: AWSRequest, **_: object) -> None:
        """The headers of a signed URL that are no parameters of its operation."""
        for name, value in getattr(self._local, "signed_headers", EMPTY).items():
            del request.headers[name]
            request.headers[name] = value
        self._local.signed_headers = EMPTY
        absent: str | None = getattr(self._local, "absent", None)
        if absent is not None:
            # MinIO takes a signed header's value from the query where the request has no such header: with an empty one there, the
            # client has nothing to send, and whatever it sends is not what was signed.
            request.headers[absent] = ""
            request.params[absent] = ""
        self._local.absent = None

    async def _carry(self, method: str, url: URL, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._wire is None:
            raise RuntimeError("attach() comes before the first call")
        return await self._wire.carry(method, url, headers=headers, body=body)
