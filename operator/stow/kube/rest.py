"""Requests to the API server in plain JSON, each with a deadline, each failure one error of the tree.

The typed models of the client library are not used: they refuse what a newer server sends and cost several times the parsing. No error
repeats what the server answered, nor a namespace or name: only the HTTP status, the verb and the resource.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol
from urllib.parse import quote

import aiohttp
from kubernetes.aio.client import ApiClient

from stow.api.meta import GROUP, KINDS, VERSION
from stow.errors import ControlPlaneError

REQUEST_TIMEOUT_S: Final = 10.0
"""A healthy API server answers in milliseconds; one that is overloaded queues a request for seconds."""
_CONTENT_TYPES: Final = {"PATCH": "application/merge-patch+json"}
"""Custom resources take no strategic merge patch; a JSON merge patch (RFC 7386) serves all kinds."""
NOT_FOUND: Final = 404
CONFLICT: Final = 409
GONE: Final = 410


class Requests(Protocol):
    """One request to the API server."""

    async def __call__(
        self, method: str, path: str, *, query: Sequence[tuple[str, str]] = (), body: object = None
    ) -> dict[str, Any]:
        """The answer's JSON object.

        Raises:
            ControlPlaneError: no answer in time, or an answer of 400 and above.
        """
        ...


def requests(api: ApiClient, *, timeout_s: float = REQUEST_TIMEOUT_S) -> Requests:
    """Requests over this connection, each with this deadline for all of it."""

    async def request(
        method: str, path: str, *, query: Sequence[tuple[str, str]] = (), body: object = None
    ) -> dict[str, Any]:
        async with _failures(method, path):
            async with asyncio.timeout(timeout_s):
                response = await _send(api, method, path, query=query, body=body, timeout_s=timeout_s)
                raw = await response.read()
            answer = json.loads(raw)
        if not isinstance(answer, dict):
            raise ControlPlaneError(f"The API server's answer to {method} {_resource(path)} is not an object.")
        return answer

    return request


@asynccontextmanager
async def lines(
    api: ApiClient, path: str, *, query: Sequence[tuple[str, str]], connect_timeout_s: float, idle_timeout_s: float
) -> AsyncIterator[AsyncIterator[bytes]]:
    """A response that goes on, line by line; leaving the block ends it. Silence of ``idle_timeout_s`` ends it with an error.

    Raises:
        ControlPlaneError: also from the iteration.
    """
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=idle_timeout_s)
    async with _failures("GET", path), asyncio.timeout(connect_timeout_s):
        response = await _send(api, "GET", path, query=query, body=None, timeout_s=timeout)
    try:
        yield _lines(response.content, path)
    finally:
        response.close()


async def _lines(content: aiohttp.StreamReader, path: str) -> AsyncIterator[bytes]:
    """Lines of any length: an object may have megabytes, and ``readline`` stops at the buffer's size."""
    pending = bytearray()
    while True:
        async with _failures("GET", path):
            chunk = await content.readany()
        if not chunk:
            return
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            pending += line
            if pending:
                yield bytes(pending)
            pending.clear()
        pending += rest


async def _send(
    api: ApiClient, method: str, path: str, *, query: Sequence[tuple[str, str]], body: object, timeout_s: object
) -> aiohttp.ClientResponse:
    serialized = await api.param_serialize(
        method,
        path,
        query_params=list(query),
        header_params={"Accept": "application/json", "Content-Type": _CONTENT_TYPES.get(method, "application/json")},
        body=body,
        auth_settings=["BearerToken"],
    )
    answer = await api.call_api(*serialized, _request_timeout=timeout_s)
    response: aiohttp.ClientResponse = answer.response
    if response.status >= 400:
        response.release()
        raise ControlPlaneError(_refusal(method, path, response.status), status=response.status)
    return response


@asynccontextmanager
async def _failures(method: str, path: str) -> AsyncIterator[None]:
    try:
        yield
    except TimeoutError as exc:
        raise ControlPlaneError(f"The API server did not answer {method} {_resource(path)} in time.") from exc
    except (aiohttp.ClientError, OSError) as exc:
        raise ControlPlaneError(f"The API server cannot be reached for {method} {_resource(path)}.") from exc
    except ValueError as exc:
        raise ControlPlaneError(f"The API server's answer to {method} {_resource(path)} is not JSON.") from exc


def _refusal(method: str, path: str, status: int) -> str:
    hint = {
        401: "; it does not know this process, see its ServiceAccount or kubeconfig",
        403: "; give this process the right, see its Role",
    }.get(status, "")
    return f"The API server answered {status} to {method} {_resource(path)}{hint}."


def _resource(path: str) -> str:
    """``secrets`` of ``/api/v1/namespaces/team/secrets/name``: names stay out of messages, which may travel."""
    parts = path.strip("/").split("/")
    rest = parts[3:] if parts[0] == "apis" else parts[2:]
    if not rest:
        return parts[-1]
    return rest[2] if len(rest) > 2 and rest[0] == "namespaces" else rest[0]


def collection_path(kind: str, namespace: str | None = None) -> str:
    """Where objects of a kind are listed: all of them, or those of one namespace.

    Raises:
        KeyError: a kind that is not known here.
    """
    if kind in KINDS:
        prefix, plural = f"/apis/{GROUP}/{VERSION}", KINDS[kind].plural
    else:
        prefix, plural = "/api/v1", _CORE[kind]
    within = f"/namespaces/{quote(namespace, safe='')}" if namespace is not None else ""
    return f"{prefix}{within}/{plural}"


def object_path(kind: str, namespace: str | None, name: str) -> str:
    """Where one object is. A name is one path segment, whatever it holds."""
    return f"{collection_path(kind, namespace)}/{quote(name, safe='')}"


_CORE: Final = {
    "Namespace": "namespaces",
    "Secret": "secrets",
    "ConfigMap": "configmaps",
    "Pod": "pods",
    "ServiceAccount": "serviceaccounts",
}
