"""An HTTP client of the object API: sends targets byte for byte as they are written, follows nothing, decodes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's stable code; empty for a success."""
        return self.headers.get("Stow-Error-Code", "")


class Web:
    """Requests to one gateway. ``base`` may change when the gateway starts anew; ``seen`` keeps all error bodies."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session = session
        self.base = base
        self.seen: list[bytes] = []

    def send(
        self,
        method: str,
        target: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterable[bytes] | None = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """A request whose answer is read by the caller. ``target``: a path, or a whole URL."""
        sent = CIMultiDict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        url = target if target.startswith("http://") else f"{self.base}{target}"
        return self.session.request(method, URL(url, encoded=True), headers=sent, data=body, allow_redirects=False)

    async def ask(
        self,
        method: str,
        target: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | AsyncIterable[bytes] | None = None,
    ) -> Reply:
        async with asyncio.timeout(DEADLINE_S):
            async with self.send(method, target, token=token, headers=headers, body=body) as answer:
                reply = Reply(answer.status, CIMultiDict(answer.headers), await answer.read())
        if reply.status >= 400:
            self.seen.append(reply.body + repr(dict(reply.headers)).encode())
        return reply

    async def post(self, target: str, document: Mapping[str, Any], *, token: str | None = None) -> Reply:
        headers = {"Content-Type": "application/json"}
        return await self.ask("POST", target, token=token, headers=headers, body=json.dumps(document).encode())


def new_session() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=DEADLINE_S)
    return aiohttp.ClientSession(timeout=timeout, auto_decompress=False, connector=aiohttp.TCPConnector(limit=64))


def container_path(namespace: str, name: str) -> str:
    return f"/v1/namespaces/{namespace}/containers/{name}"


def location_path(namespace: str, location: str, container: str) -> str:
    return f"/v1/namespaces/{namespace}/locations/{location}/containers/{container}"
