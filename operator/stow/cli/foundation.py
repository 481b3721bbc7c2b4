"""What operator and gateway stand on alike: the connection, the memory of objects, keys, Secrets, stores; built once, here."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import click
from kubernetes.aio.client import ApiClient
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from stow.cli.exits import Exit
from stow.cli.logs import set_up_logging
from stow.cli.settings import Settings
from stow.errors import InvalidArgumentError, StowError
from stow.kube.cache import ObjectCache
from stow.kube.client import KubeConfig, connect
from stow.kube.factories import driver_factories
from stow.kube.keys import Keys, KeySecret
from stow.kube.plans import PlanSettings
from stow.kube.rest import Requests, requests
from stow.kube.secrets import SecretPoller, SecretReader, referenced_sources
from stow.kube.stores import PoolParts, PoolSettings, StorePool
from stow.storage.budget import ByteBudget
from stow.storage.clock import utc_now
from stow.storage.crashpoints import Crash, CrashPoint, no_crash
from stow.storage.egress import EgressPolicy
from stow.storage.metrics import StoreMetrics
from stow.storage.model import MIB

UPLOAD_BUDGET_BYTES: Final = 256 * MIB
"""What the multipart uploads of one process buffer at most: 32 parts of the first size."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Foundation:
    """Built parts. The caller runs ``keys``, ``secrets`` and ``pool`` for as long as it uses them."""

    settings: Settings
    api: ApiClient
    request: Requests
    registry: CollectorRegistry
    cache: ObjectCache
    key_secret: KeySecret
    keys: Keys
    secrets: SecretPoller
    pool: StorePool
    crash: Crash


@asynccontextmanager
async def foundation(settings: Settings, *, reconciles: bool) -> AsyncIterator[Foundation]:
    """Connected parts until the end of the block; stores are closed then. ``reconciles``: for the operator, which waits for a changed
    store, and needs that of a deleted location to delete containers; a request does neither.

    Raises:
        ControlPlaneError: no usable connection.
        InvalidArgumentError: an option makes no sense.
    """
    async with connect(KubeConfig(path=settings.kubeconfig)) as api:
        request = requests(api)
        registry = new_registry()
        cache = ObjectCache()
        plans = PlanSettings(
            namespace=settings.system_namespace,
            local_root=settings.local_root,
            public_url=settings.public_url,
            ambient_for_namespaced=settings.namespaced_ambient_credentials,
            ambient_for_cluster=settings.cluster_ambient_credentials,
        )
        key_secret = KeySecret(request, namespace=settings.system_namespace)
        keys = Keys(key_secret, clock=utc_now)
        secrets = SecretPoller(
            SecretReader(request),
            lambda: referenced_sources(cache, system_namespace=plans.namespace),
            clock=utc_now,
            interval=settings.secret_poll_interval,
        )
        egress = await _egress(settings, api)
        crash = crash_at(settings.crash_at)
        parts = PoolParts(
            objects=cache,
            secrets=secrets,
            factories=driver_factories(
                clock=utc_now, keyring=keys.keyring, egress=egress, budget=ByteBudget(UPLOAD_BUDGET_BYTES)
            ),
            metrics=StoreMetrics(registry),
            clock=utc_now,
            cursor_key=keys.cursor_key,
            egress=egress,
            crash=crash,
        )
        pool = StorePool(parts, plans, PoolSettings(wait_for_rebuild=reconciles, keep_deleted=reconciles))
        try:
            yield Foundation(settings, api, request, registry, cache, key_secret, keys, secrets, pool, crash)
        finally:
            await pool.aclose()


def new_registry() -> CollectorRegistry:
    """A registry of its own, with the process's memory, descriptors and garbage collector in it."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


async def _egress(settings: Settings, api: ApiClient) -> EgressPolicy:
    """The default deny list, the API server's own addresses, and what the options open and close."""
    try:
        allowed = tuple(ipaddress.ip_network(text) for text in settings.egress_allow)
        policy = EgressPolicy(allowed=allowed).denying(settings.egress_deny)
    except ValueError as error:
        raise InvalidArgumentError(
            f"--egress-allow and --egress-deny take networks such as 10.0.0.0/8: {error}."
        ) from error
    host = urlsplit(str(api.configuration.host)).hostname
    if host is None:
        return policy
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        _log.warning("The API server's name does not resolve; its addresses are not on the deny list of backends.")
        return policy
    return policy.denying({str(each[4][0]) for each in found})


def crash_at(name: str | None) -> Crash:
    """Kill this process, as nothing else could, when the crash point of that name is passed. Only the crash tests name one."""
    if name is None:
        return no_crash
    wanted = CrashPoint(name)

    def crash(point: CrashPoint) -> None:
        if point is wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    return crash


def serve(name: str, settings: Settings, work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> int:
    """Run ``work`` with an event that SIGTERM and SIGINT set; the process's exit code. An expected error is one line, no traceback."""
    set_up_logging(log_format=settings.log_format, level=settings.log_level)
    problems: list[str] = []
    try:
        asyncio.run(_until_stopped(work))
    except* StowError as group:
        problems += [error.message for error in _leaves(group) if isinstance(error, StowError)]
    except* OSError as group:
        problems += [f"{settings.listen[0]}:{settings.listen[1]}: {error}" for error in _leaves(group)]
    for problem in problems:
        click.echo(f"stow {name}: {problem}", err=True)
    return Exit.FAILED if problems else Exit.OK


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


async def _until_stopped(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """A second signal changes nothing: each stop has its own deadline."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await work(stop)


@asynccontextmanager
async def background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Tasks that live as long as the block. One that fails ends the block with its error; they never end by themselves."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
