"""Builders and fakes for what stands on the API server: objects, Secrets, time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from stow.errors import StowError
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
    """Secrets by (namespace, name). A value that is an error is raised."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], SecretData | StowError] = {}
        self.asked: list[tuple[str, str]] = []

    def put(self, namespace: str, name: str, *, version: int = 1, uid: str = "secret-uid", **data: str) -> None:
        values = {key: value.encode() for key, value in data.items()}
        self.found[(namespace, name)] = SecretData(uid, str(version), values)

    async def get(self, namespace: str, name: str) -> SecretData | None:
        self.asked.append((namespace, name))
        answer = self.found.get((namespace, name))
        if isinstance(answer, StowError):
            raise answer
        return answer
