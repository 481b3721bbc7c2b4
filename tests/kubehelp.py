"""ServiceAccounts, their tokens and rights on the real API server; and waiting for a cache without sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

from kubernetes.aio.client import ApiClient, Configuration

from stow.kube.cache import ObjectCache
from stow.kube.rest import Requests, collection_path, requests

DEADLINE_S = 60.0
GROUP_PATH = "/apis/rbac.authorization.k8s.io/v1"


class ServiceAccounts:
    """`make` an account, give it rights with `allow`, and `connect` as it."""

    def __init__(self, request: Requests, namespace: str, configuration: Callable[[str], Configuration]) -> None:
        self.request = request
        self.namespace = namespace
        self._configuration = configuration
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> ServiceAccounts:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def make(self, name: str) -> str:
        path = collection_path("ServiceAccount", self.namespace)
        await self.request("POST", path, body={"metadata": {"name": name}})
        return name

    async def allow(self, name: str, rules: Sequence[dict[str, Any]], *, role: str | None = None) -> None:
        """A Role of this name and its binding to the account."""
        role = role or name
        base = f"{GROUP_PATH}/namespaces/{self.namespace}"
        await self.request("POST", f"{base}/roles", body={"metadata": {"name": role}, "rules": list(rules)})
        await self.request("POST", f"{base}/rolebindings", body=self._binding(name, role, "Role"))

    async def allow_everywhere(self, name: str, rules: Sequence[dict[str, Any]]) -> None:
        role = f"{self.namespace}-{name}"
        base = f"{GROUP_PATH}"
        await self.request("POST", f"{base}/clusterroles", body={"metadata": {"name": role}, "rules": list(rules)})
        await self.request("POST", f"{base}/clusterrolebindings", body=self._binding(name, role, "ClusterRole"))
        self._stack.push_async_callback(self.request, "DELETE", f"{base}/clusterroles/{role}")
        self._stack.push_async_callback(self.request, "DELETE", f"{base}/clusterrolebindings/{role}")

    def _binding(self, name: str, role: str, kind: str) -> dict[str, Any]:
        return {
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}],
        }

    def connect(self, token: str) -> ApiClient:
        """A connection with this token; it ends with the fixture."""
        client = ApiClient(self._configuration(token))
        self._stack.push_async_callback(client.close)
        return client

    def connected(self, token: str) -> Requests:
        return requests(self.connect(token))


async def until(cache: ObjectCache, holds: Callable[[], bool], *, within_s: float = DEADLINE_S) -> None:
    """Wait for a change of the cache's objects after which `holds()` is true."""
    changed = asyncio.Event()
    end = cache.subscribe(lambda *_: changed.set())
    try:
        async with asyncio.timeout(within_s):
            while not holds():
                changed.clear()
                await changed.wait()
    finally:
        end()
