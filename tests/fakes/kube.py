"""Builders and fakes for what stands on the API server: objects, Secrets, requests, time."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from stow.errors import ControlPlaneError, StowError
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.ports import SecretData

START = datetime(2030, 1, 1, tzinfo=UTC)


class FakeClock:
    """Time that stands still until it is moved. `sleep` ends when `advance` passes its end."""

    def __init__(self) -> None:
        self.now = START
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def __call__(self) -> datetime:
        return self.now

    @property
    def sleeping(self) -> int:
        return sum(not done.done() for _, done in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + timedelta(seconds=seconds), done))
        await done

    async def advance(self, seconds: float) -> None:
        """Move time, wake who is due, and let everything run until it waits again."""
        self.now += timedelta(seconds=seconds)
        due = [done for at, done in self._sleepers if at <= self.now]
        self._sleepers = [(at, done) for at, done in self._sleepers if at > self.now]
        for done in due:
            if not done.done():
                done.set_result(None)
        await settle()


async def settle() -> None:
    """Let every task run until all wait for something from outside."""
    for _ in range(50):
        await asyncio.sleep(0)


def snapshot(
    kind: str,
    name: str,
    *,
    namespace: str | None = "team",
    spec: Mapping[str, Any] | None = None,
    uid: str | None = None,
    generation: int = 1,
    version: int | str = 1,
    labels: Mapping[str, str] | None = None,
    created_at: datetime = START,
    status: Mapping[str, Any] | None = None,
) -> Snapshot:
    return Snapshot(
        ref=ObjectRef(kind, namespace, name),
        uid=uid or f"uid-of-{name}",
        generation=generation,
        resource_version=str(version),
        created_at=created_at,
        labels=labels or {},
        spec=spec or {},
        status=status or {},
    )


def namespace_snapshot(name: str, *, labels: Mapping[str, str] | None = None, version: int = 1) -> Snapshot:
    return snapshot("Namespace", name, namespace=None, labels=labels, version=version)


class FakeSecrets:
    """Secrets and ConfigMaps by (namespace, name). A value that is an error is raised."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], SecretData | StowError] = {}
        self.config_maps: dict[tuple[str, str], SecretData | StowError] = {}
        self.asked: list[tuple[str, str]] = []

    def put(self, namespace: str, name: str, *, version: int = 1, uid: str = "secret-uid", **data: str) -> None:
        values = {key: value.encode() for key, value in data.items()}
        self.found[(namespace, name)] = SecretData(uid, str(version), values)

    def put_config_map(self, namespace: str, name: str, data: Mapping[str, bytes], *, version: int = 1) -> None:
        self.config_maps[(namespace, name)] = SecretData("map-uid", str(version), data)

    async def get(self, namespace: str, name: str) -> SecretData | None:
        self.asked.append((namespace, name))
        return self._answer(self.found.get((namespace, name)))

    async def config_map(self, namespace: str, name: str) -> SecretData | None:
        return self._answer(self.config_maps.get((namespace, name)))

    @staticmethod
    def _answer(answer: SecretData | StowError | None) -> SecretData | None:
        if isinstance(answer, StowError):
            raise answer
        return answer


class FakeApi:
    """Implements `Requests` for plain objects: names, versions, conflicts. `fail` is raised by the next requests."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.fail: StowError | None = None
        self._version = 0

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.requests if method != "GET"]

    async def __call__(
        self, method: str, path: str, *, query: Sequence[tuple[str, str]] = (), body: object = None
    ) -> dict[str, Any]:
        self.requests.append((method, path))
        await asyncio.sleep(0)
        if self.fail is not None:
            raise self.fail
        if method == "GET" and path not in self.objects and not self._is_name(path):
            items = [o for key, o in self.objects.items() if key.startswith(f"{path}/")]
            return copy.deepcopy({"metadata": {}, "items": items})
        if method == "POST":
            assert isinstance(body, dict)
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                raise refusal(409)
            return self._store(path, body)
        if path not in self.objects:
            raise refusal(404)
        if method == "PUT":
            assert isinstance(body, dict)
            version = body["metadata"].get("resourceVersion")
            if version not in {None, self.objects[path]["metadata"]["resourceVersion"]}:
                raise refusal(409)
            return self._store(path, body)
        if method == "DELETE":
            return self.objects.pop(path)
        return copy.deepcopy(self.objects[path])

    @staticmethod
    def _is_name(path: str) -> bool:
        return len(path.strip("/").split("/")) % 2 == 0  # /api/v1/namespaces/NS/secrets/NAME

    def _store(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        self.bodies.append(copy.deepcopy(body))
        stored = copy.deepcopy(body)
        stored["metadata"]["resourceVersion"] = str(self._version)
        stored["metadata"].setdefault("uid", f"uid-{self._version}")
        self.objects[path] = stored
        return copy.deepcopy(stored)


def refusal(status: int) -> ControlPlaneError:
    return ControlPlaneError(f"The API server answered {status}.", status=status)
