"""The API server as its administrator uses it: apply, wait by watch, grant rights, ask for tokens, count writes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes.aio.client import ApiClient

from operatorworld import condition
from stow.api.meta import API_VERSION, KINDS
from stow.dev.audit import writes_to
from stow.dev.controlplane import ControlPlane
from stow.errors import ControlPlaneError
from stow.kube.reports import LABEL, LABEL_VALUE
from stow.kube.rest import Requests, collection_path, lines, object_path, requests
from stow.reconcile.objects import ObjectRef

DEADLINE_S = 45.0
"""Far above what anything here takes, on a machine that compiles beside it."""
RETRY_S = 0.1
"""Between attempts while the API server is away."""
AUDIENCE = "stowstore.io"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
SYSTEM_NAMESPACE = "stow-system"
Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cluster:
    """One control plane. Everything it makes has a namespace or a random name of its own."""

    plane: ControlPlane
    api: ApiClient

    @property
    def request(self) -> Requests:
        return requests(self.api)

    # Objects

    async def namespace(self, prefix: str = "team") -> str:
        """A new one. Its name is short, as people's are, so that tables look as theirs do."""
        while True:
            name = f"{prefix}-{uuid.uuid4().hex[:6]}"
            try:
                await self.request("POST", collection_path("Namespace"), body={"metadata": {"name": name}})
            except ControlPlaneError as error:
                if error.status != 409:
                    raise
            else:
                return name

    async def create(
        self, kind: str, namespace: str | None, name: str, spec: Raw, *, annotations: Mapping[str, str] | None = None
    ) -> ObjectRef:
        metadata = {"name": name, "annotations": dict(annotations or {})}
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": dict(spec)}
        await self.request("POST", collection_path(kind, namespace), body=body)
        return ObjectRef(kind, namespace, name)

    async def secret(self, namespace: str, name: str, data: Mapping[str, str]) -> ObjectRef:
        body = {"metadata": {"name": name}, "stringData": dict(data)}
        await self.request("POST", collection_path("Secret", namespace), body=body)
        return ObjectRef("Secret", namespace, name)

    async def patch(self, ref: ObjectRef, change: Raw) -> None:
        await self.request("PATCH", object_path(ref.kind, ref.namespace, ref.name), body=dict(change))

    async def abandon(self, ref: ObjectRef) -> None:
        await self.patch(ref, {"metadata": {"annotations": {"stowstore.io/abandon": "true"}}})

    async def delete(self, ref: ObjectRef) -> None:
        await self.request("DELETE", object_path(ref.kind, ref.namespace, ref.name))

    async def get(self, ref: ObjectRef) -> dict[str, Any] | None:
        try:
            return await self.request("GET", object_path(ref.kind, ref.namespace, ref.name))
        except ControlPlaneError as error:
            if error.status == 404:
                return None
            raise

    # Waiting

    async def until(
        self, ref: ObjectRef, holds: Callable[[dict[str, Any] | None], bool], what: str, *, within_s: float = DEADLINE_S
    ) -> dict[str, Any]:
        """The object as soon as it is so (None: absent), by a watch that outlives a restart of the API server."""
        found: dict[str, Any] | None = None
        try:
            async with asyncio.timeout(within_s):
                async for found in self._states(ref):
                    if holds(found):
                        return found or {}
        except TimeoutError:
            pass
        raise AssertionError(f"{ref} did not come to be {what}; it is {(found or {}).get('status')}")

    async def _states(self, ref: ObjectRef) -> AsyncIterator[dict[str, Any] | None]:
        path = collection_path(ref.kind, ref.namespace)
        one = ("fieldSelector", f"metadata.name={ref.name}")
        while True:
            try:
                listed = await self.request("GET", path, query=[one])
                yield next(iter(listed["items"]), None)
                query = [one, ("watch", "true"), ("resourceVersion", listed["metadata"]["resourceVersion"])]
                async with lines(
                    self.api, path, query=query, connect_timeout_s=10, idle_timeout_s=DEADLINE_S
                ) as events:
                    async for line in events:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            break
                        yield None if event["type"] == "DELETED" else event["object"]
            except ControlPlaneError:
                await asyncio.sleep(RETRY_S)

    async def ready(self, ref: ObjectRef, *, within_s: float = DEADLINE_S) -> dict[str, Any]:
        return await self.until(ref, is_ready, "Ready", within_s=within_s)

    async def reason(self, ref: ObjectRef, reason: str, type_: str = "Ready") -> dict[str, Any]:
        return await self.until(ref, lambda found: (condition(found, type_) or ("", ""))[1] == reason, reason)

    async def gone(self, ref: ObjectRef, *, within_s: float = DEADLINE_S) -> None:
        await self.until(ref, lambda found: found is None, "gone", within_s=within_s)

    # Rights and tokens

    async def account(self, namespace: str, name: str) -> str:
        await self.request("POST", collection_path("ServiceAccount", namespace), body={"metadata": {"name": name}})
        return name

    async def grant(self, namespace: str, account: str, rules: Sequence[Raw], *, of: str | None = None) -> None:
        """A Role in ``namespace`` and its binding to a ServiceAccount of namespace ``of`` (default: the same)."""
        base, name = f"{RBAC}/namespaces/{namespace}", f"grant-{uuid.uuid4().hex[:8]}"
        await self.request("POST", f"{base}/roles", body={"metadata": {"name": name}, "rules": list(rules)})
        binding = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": of or namespace}],
        }
        await self.request("POST", f"{base}/rolebindings", body=binding)

    async def token(self, namespace: str, account: str, *, audience: str | None = AUDIENCE) -> str:
        """A token by TokenRequest; without an audience it is one for the API server."""
        spec = {"expirationSeconds": 3600, **({"audiences": [audience]} if audience else {})}
        path = f"{object_path('ServiceAccount', namespace, account)}/token"
        answer = await self.request("POST", path, body={"spec": spec})
        return str(answer["status"]["token"])

    async def workload(self, namespace: str, name: str, *rules: Raw) -> str:
        """The token of a new ServiceAccount with these rights."""
        await self.account(namespace, name)
        if rules:
            await self.grant(namespace, name, rules)
        return await self.token(namespace, name)

    # Counting

    def writes(self, ref: ObjectRef) -> list[str]:
        """Accepted writes to the object, but its creation, deletion and what this test wrote: ``patch``, ``update/status``."""
        return [each for each in self.all_writes(ref) if each not in {"create", "delete"}]

    def all_writes(self, ref: ObjectRef) -> list[str]:
        plural = KINDS[ref.kind].plural if ref.kind in KINDS else f"{ref.kind.lower()}s"
        verbs = []
        for event in writes_to(self.plane.audit_events(), plural, namespace=ref.namespace, name=ref.name):
            subresource = event["objectRef"].get("subresource")
            verbs.append(f"{event['verb']}/{subresource}" if subresource else event["verb"])
        return verbs

    # Cleaning

    async def _all(self, kind: str) -> list[dict[str, Any]]:
        """A kind whose definition was just applied is answered with 429 until its storage is there."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    return list((await self.request("GET", collection_path(kind)))["items"])
                except ControlPlaneError as error:
                    if error.status != 429:
                        raise
                await asyncio.sleep(RETRY_S)

    async def wipe(self) -> None:
        """Take away every custom resource and report, finalizers or not: what one operator left, the next must not meet."""
        for kind in ("StowContainer", "StowLocation", "ClusterStowLocation"):
            for each in await self._all(kind):
                metadata = each["metadata"]
                ref = ObjectRef(kind, metadata.get("namespace"), metadata["name"])
                with contextlib.suppress(ControlPlaneError):  # it went by itself
                    if metadata.get("finalizers"):
                        await self.patch(ref, {"metadata": {"finalizers": None}})
                    await self.delete(ref)
        selector = ("labelSelector", f"{LABEL}={LABEL_VALUE}")
        await self.request("DELETE", collection_path("ConfigMap", SYSTEM_NAMESPACE), query=[selector])


def is_ready(found: Raw | None) -> bool:
    """Ready for the generation that it has."""
    if found is None or not found.get("status"):
        return False
    return (condition(found, "Ready") or ("", ""))[0] == "True" and found["status"].get("observedGeneration") == found[
        "metadata"
    ]["generation"]


def rule(resource: str, *verbs: str, names: Sequence[str] = ()) -> dict[str, Any]:
    """One rule of a Role: ``rule("stowcontainers/objects", "get", names=["reports"])``."""
    found: dict[str, Any] = {"apiGroups": ["stowstore.io"], "resources": [resource], "verbs": list(verbs)}
    return {**found, "resourceNames": list(names)} if names else found


ALL_OBJECTS = rule("stowcontainers/objects", "get", "list", "create", "update", "delete")
MAY_SIGN = rule("stowcontainers/sign", "create")


def map_of(location: Raw | None) -> dict[str, str]:
    """The container map of a location: name to origin."""
    entries = ((location or {}).get("status") or {}).get("containers") or []
    return {entry["name"]: entry["origin"] for entry in entries}
