"""The object API as the client verbs use it: one method a verb, problem documents turned into CommandError.

Objects are addressed by ``object?key=``, percent-encoded here and by nobody else, so that no client or ingress normalises a key.
Nothing is repeated: a lost answer is a failure that says so.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from stow.cli.exits import CommandError, Exit, exit_of_answer
from stow.cli.transfer import CHUNK_BYTES

_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=10, sock_read=300)
"""The gateway has deadlines of its own and answers when one passes; this one is for a gateway that is gone."""
_COPY_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=10, sock_read=3700)
"""The gateway gives a copy an hour, in which it sends nothing."""
_MAX_PROBLEM_BYTES: Final = 64 * 1024
_MAX_DOCUMENT_BYTES: Final = 16 * 1024 * 1024
"""A page of 1,000 keys of 1,024 bytes, six characters for each byte, is below half of it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where containers are looked up: StowContainers of a namespace, or a location's base and dynamic containers."""

    namespace: str
    location: str | None = None
    cluster_location: str | None = None

    def path(self, container: str) -> str:
        """The part of the URL before ``/objects``."""
        quoted = quote(container, safe="")
        if self.cluster_location is not None:
            return f"/v1/clusterlocations/{quote(self.cluster_location, safe='')}/containers/{quoted}"
        namespace = f"/v1/namespaces/{quote(self.namespace, safe='')}"
        if self.location is not None:
            return f"{namespace}/locations/{quote(self.location, safe='')}/containers/{quoted}"
        return f"{namespace}/containers/{quoted}"


@dataclass(frozen=True, slots=True)
class Connection:
    """A gateway's base URL, without a slash at its end, and what to show it. ``token`` is never printed."""

    server: str
    token: str = field(repr=False)
    tls: ssl.SSLContext | None = None
    """None: the system's store of certificates."""


class ObjectClient:
    """Use as an async context manager. Every method raises CommandError."""

    def __init__(self, connection: Connection, target: Target) -> None:
        self._connection = connection
        self._target = target
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=_TIMEOUT,
            auto_decompress=False,
            trust_env=False,
            headers={
                "Authorization": f"Bearer {self._connection.token}",
                "Accept-Encoding": "identity",
                "User-Agent": "stow-cli",
            },
        )
        # It would send a PUT or DELETE again by itself when a reused connection breaks: the second one may meet another version.
        self._session._retry_connection = False  # noqa: SLF001 (there is no public switch)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def head(self, container: str, key: str) -> Mapping[str, str]:
        """The answer's headers."""
        async with self._request("HEAD", self._object(container, key)) as answer:
            return answer.headers

    async def list(
        self, container: str, *, prefix: str, delimiter: str | None, limit: int, cursor: str | None
    ) -> Mapping[str, Any]:
        """One page, as the gateway sent it: ``objects``, ``prefixes``, ``cursor``."""
        query = {"prefix": prefix or None, "delimiter": delimiter, "limit": str(limit), "cursor": cursor}
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items() if value is not None)
        async with self._request("GET", f"{self._target.path(container)}/objects?{text}") as answer:
            page = await self._document(answer)
        if not isinstance(page.get("objects"), list) or not isinstance(page.get("prefixes"), list):
            raise self._foreign()
        return page

    @asynccontextmanager
    async def read(self, container: str, key: str, *, byte_range: str | None = None) -> AsyncIterator[Download]:
        """An open download; a body that ends before its announced size raises CommandError."""
        headers = {"Range": byte_range} if byte_range else {}
        async with self._request("GET", self._object(container, key), headers=headers) as answer:
            if byte_range and answer.status != 206:
                raise self._foreign()
            yield Download(answer.content_length, answer)

    async def write(
        self,
        container: str,
        key: str,
        body: AsyncIterator[bytes],
        *,
        size_bytes: int | None,
        headers: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Store an object; returns the answer's headers. A failure of ``body`` cuts the request and is raised as it is."""
        sized = {"Content-Length": str(size_bytes)} if size_bytes is not None else {}
        watched = _Body(body)
        try:
            async with self._request(
                "PUT", self._object(container, key), headers={**headers, **sized}, data=watched.chunks()
            ) as answer:
                return answer.headers
        except CommandError as error:
            raise watched.failure or error from None

    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        headers = {"If-Match": if_match} if if_match else {}
        async with self._request("DELETE", self._object(container, key), headers=headers):
            return

    async def copy(self, source: tuple[str, str], destination: tuple[str, str]) -> Mapping[str, Any]:
        """Copy between (container, key) pairs of the target."""
        document = {"source": {"container": source[0], "key": source[1]}, "destination": {"key": destination[1]}}
        return await self._post(f"{self._target.path(destination[0])}/copy", document, patience=_COPY_TIMEOUT)

    async def sign(self, container: str, key: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The signed URL's document."""
        return await self._post(f"{self._target.path(container)}/sign", {"key": key, **document}, patience=_TIMEOUT)

    def _object(self, container: str, key: str) -> str:
        return f"{self._target.path(container)}/object?key={quote(key, safe='')}"

    async def _post(
        self, path: str, document: Mapping[str, Any], *, patience: aiohttp.ClientTimeout
    ) -> Mapping[str, Any]:
        headers = {"Content-Type": "application/json"}
        data = json.dumps(document).encode()
        async with self._request("POST", path, headers=headers, data=data, patience=patience) as answer:
            return await self._document(answer)

    async def _document(self, answer: aiohttp.ClientResponse) -> Mapping[str, Any]:
        with reachable(self._connection.server, "GET"):
            raw = await _read_up_to(answer, _MAX_DOCUMENT_BYTES)
        try:
            document = json.loads(raw)
        except ValueError:
            raise self._foreign() from None
        if not isinstance(document, dict):
            raise self._foreign()
        return document

    def _foreign(self) -> CommandError:
        return CommandError(
            f"What answers at {self._connection.server} is not this project's gateway; check --server.",
            exit_code=Exit.FAILED,
        )

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | AsyncIterator[bytes] | None = None,
        patience: aiohttp.ClientTimeout = _TIMEOUT,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("ObjectClient is used outside of its context")
        connection = self._connection
        url = URL(connection.server + path, encoded=True)
        tls: Any = connection.tls or True
        with reachable(connection.server, method):
            answer = await self._session.request(
                method, url, headers=headers, data=data, allow_redirects=False, ssl=tls, timeout=patience
            )
        async with answer:
            if answer.status >= 300:
                with reachable(connection.server, method):
                    raise await _problem(answer)
            yield answer


@dataclass(slots=True)
class _Body:
    """Remembers why a body failed: the HTTP client says only that it did."""

    _chunks: AsyncIterator[bytes]
    failure: Exception | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._chunks:
                yield chunk
        except Exception as error:
            self.failure = error
            raise


@dataclass(frozen=True, slots=True)
class Download:
    """``size_bytes`` is that of the body (of the range, where one was asked for)."""

    size_bytes: int | None
    _answer: aiohttp.ClientResponse

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks, received = self._answer.content.iter_chunked(CHUNK_BYTES), 0
        while True:
            try:
                chunk = await anext(chunks, b"")
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                whole = "an unknown number of" if self.size_bytes is None else self.size_bytes
                raise CommandError(
                    f"The download was cut after {received} of {whole} bytes.", exit_code=Exit.UNAVAILABLE
                ) from error
            if not chunk:
                return
            received += len(chunk)
            yield chunk


@contextmanager
def reachable(server: str, method: str) -> Iterator[None]:
    """What the network does, as a CommandError.

    A lost answer to a request that changes something says that nobody knows whether it was done.
    """
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise CommandError(
            f"The certificate of {server} is not trusted; check --ca-file, and that --server has the name in the certificate.",
            exit_code=Exit.UNAVAILABLE,
        ) from error
    except aiohttp.ClientSSLError as error:
        raise CommandError(
            f"{server} does not speak TLS as expected; check http or https in --server, and --ca-file.",
            exit_code=Exit.UNAVAILABLE,
        ) from error
    except aiohttp.ClientConnectorError as error:
        number = error.os_error.errno  # asyncio's own text repeats the address; a resolver's numbers are negative
        reason = os.strerror(number) if number and number > 0 else error.os_error.strerror or "no address of it answers"
        raise CommandError(
            f"The gateway at {server} cannot be reached ({reason}); check --server and that it runs.",
            exit_code=Exit.UNAVAILABLE,
        ) from error
    except aiohttp.ClientPayloadError as error:
        raise CommandError(
            f"The gateway at {server} closed the connection in the middle of its answer.", exit_code=Exit.UNAVAILABLE
        ) from error
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        lost = (
            "" if method in {"GET", "HEAD"} else " Whether the change was made is not known; look before you repeat it."
        )
        raise CommandError(
            f"The gateway at {server} gave no answer ({type(error).__name__}).{lost}", exit_code=Exit.UNAVAILABLE
        ) from error


async def _read_up_to(answer: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    parts, total = [], 0
    async for part in answer.content.iter_any():
        total += len(part)
        if total > limit_bytes:
            break
        parts.append(part)
    return b"".join(parts)


async def _problem(answer: aiohttp.ClientResponse) -> CommandError:
    """The gateway's problem document, or the bare status where something else answered."""
    code, detail = answer.headers.get("Stow-Error-Code", ""), ""
    if answer.content_type == "application/problem+json":
        try:
            document = json.loads(await _read_up_to(answer, _MAX_PROBLEM_BYTES) or b"{}")
            code, detail = str(document.get("code", code)), str(document.get("detail", ""))
        except (ValueError, AttributeError):
            pass  # the status still says something
    detail = detail or _without_document(code, answer.status)
    return CommandError(detail, exit_code=exit_of_answer(answer.status, code), code=code or f"http_{answer.status}")


_WAYS_OUT: Final = {
    "forbidden": "you may not get objects here; ask for that verb in a Role",
    "unauthenticated": "the token is expired, unknown or made for another audience; get a new one, or check its audience",
}


def _without_document(code: str, status: int) -> str:
    """An answer to HEAD has no body: what its code says, and what to do where that is not plain."""
    if not code:
        return f"HTTP {status}"
    said = f"{code.replace('_', ' ')} (HTTP {status})"
    return f"{said}: {_WAYS_OUT[code]}" if code in _WAYS_OUT else said
