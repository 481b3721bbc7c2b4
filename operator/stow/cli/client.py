"""The object API as the client verbs use it: one method a verb, problem documents turned into CommandError.

Objects are addressed by ``object?key=``, percent-encoded here and by nobody else, so that no client or ingress normalises a key.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from stow.cli.exits import CommandError, Exit, exit_of_status

CHUNK_BYTES: Final = 256 * 1024
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=10, sock_read=300)
"""The gateway has deadlines of its own and answers when one passes; this one is for a gateway that is gone."""


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
    """A gateway and what to show it. ``token`` is never printed."""

    server: str
    token: str = field(repr=False)
    ca_file: str | None = None


class ObjectClient:
    """Use as an async context manager."""

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
        query = {"prefix": prefix, "delimiter": delimiter, "limit": str(limit), "cursor": cursor}
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items() if value)
        async with self._request("GET", f"{self._target.path(container)}/objects?{text}") as answer:
            page: Mapping[str, Any] = await answer.json()
            return page

    @asynccontextmanager
    async def read(self, container: str, key: str, *, byte_range: str | None = None) -> AsyncIterator[Download]:
        """An open download; a body that ends before its announced size raises CommandError."""
        headers = {"Range": byte_range} if byte_range else {}
        async with self._request("GET", self._object(container, key), headers=headers) as answer:
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
        """Store an object; returns the answer's headers."""
        sized = {"Content-Length": str(size_bytes)} if size_bytes is not None else {}
        async with self._request(
            "PUT", self._object(container, key), headers={**headers, **sized}, data=body
        ) as answer:
            return answer.headers

    async def delete(self, container: str, key: str, *, if_match: str | None) -> None:
        headers = {"If-Match": if_match} if if_match else {}
        async with self._request("DELETE", self._object(container, key), headers=headers):
            return

    async def copy(self, source: tuple[str, str], destination: tuple[str, str]) -> Mapping[str, Any]:
        """Copy between (container, key) pairs of the target."""
        document = {"source": {"container": source[0], "key": source[1]}, "destination": {"key": destination[1]}}
        return await self._post(f"{self._target.path(destination[0])}/copy", document)

    async def sign(self, container: str, key: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """The signed URL's document."""
        return await self._post(f"{self._target.path(container)}/sign", {"key": key, **document})

    def _object(self, container: str, key: str) -> str:
        return f"{self._target.path(container)}/object?key={quote(key, safe='')}"

    async def _post(self, path: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
        headers = {"Content-Type": "application/json"}
        async with self._request("POST", path, headers=headers, data=json.dumps(document).encode()) as answer:
            result: Mapping[str, Any] = await answer.json()
            return result

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | AsyncIterator[bytes] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("ObjectClient is used outside of its context")
        url = URL(self._connection.server.rstrip("/") + path, encoded=True)
        try:
            async with self._session.request(
                method, url, headers=headers, data=data, allow_redirects=False, ssl=_tls(self._connection)
            ) as answer:
                if answer.status >= 300:
                    raise await _problem(answer)
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise CommandError(
                f"The gateway at {self._connection.server} did not answer ({type(error).__name__}); check --server and that it runs.",
                exit_code=Exit.UNAVAILABLE,
            ) from error


@dataclass(frozen=True, slots=True)
class Download:
    """``size_bytes`` is that of the body (of the range, where one was asked for)."""

    size_bytes: int | None
    _answer: aiohttp.ClientResponse

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._answer.content.iter_chunked(CHUNK_BYTES):
            yield chunk


def content_md5(data: bytes) -> str:
    """The value of a Content-MD5 header."""
    return b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _tls(connection: Connection) -> Any:
    if connection.ca_file is None:
        return True
    import ssl  # late: most calls inside a cluster are plain or use the system's store

    return ssl.create_default_context(cafile=connection.ca_file)


async def _problem(answer: aiohttp.ClientResponse) -> CommandError:
    """The gateway's problem document, or the bare status where something else answered."""
    code, detail = answer.headers.get("Stow-Error-Code", ""), ""
    if answer.content_type == "application/problem+json":
        document = json.loads((await answer.content.read(64 * 1024)) or b"{}")
        code, detail = str(document.get("code", "")), str(document.get("detail", ""))
    detail = detail or (f"{code.replace('_', ' ')} (HTTP {answer.status})" if code else f"HTTP {answer.status}")
    return CommandError(detail, exit_code=exit_of_status(answer.status), code=code or f"http_{answer.status}")
