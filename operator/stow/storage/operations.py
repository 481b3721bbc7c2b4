"""The containers of one location: which may be used, and their life at the backend.

Keeps the map, shares concurrent loads, and tells the two meanings of a backend's 404 apart. Creates a container only in ``create`` and
``load(create_if_not_found=True)``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from stow.errors import (
    AccessDeniedError,
    ContainerNotAllowedError,
    ContainerNotFoundError,
    ContainerTakenError,
    InvalidContainerNameError,
    NotFoundError,
    ObjectNotFoundError,
    StowError,
    UnsupportedError,
)
from stow.storage.clock import Clock
from stow.storage.config import StoreConfig
from stow.storage.containers import ContainerMap, not_allowed, visible
from stow.storage.crashpoints import Crash, CrashPoint
from stow.storage.driver import Driver
from stow.storage.metrics import LocationMetrics
from stow.storage.model import (
    ContainerContents,
    ContainerEntry,
    ContainerSettings,
    ContainerState,
    LocationID,
    Marker,
    Origin,
    Scope,
)
from stow.storage.names import check_container_name, printable

EXISTENCE_TTL = timedelta(seconds=5)
"""How long one look for a container answers further ambiguous 404s."""


class Containers:
    """What StowStore does with containers, and the context that all its operations run in."""

    def __init__(
        self,
        config: StoreConfig,
        main: Driver,
        signed_url: Driver | None,
        *,
        clock: Clock,
        metrics: LocationMetrics,
        crash: Crash,
    ) -> None:
        self.config = config
        self.main = main
        self.clock = clock
        self.metrics = metrics
        self._signed_url = signed_url
        self._crash = crash
        self._loads: dict[str, asyncio.Task[ContainerEntry]] = {}
        self._existence: dict[str, tuple[datetime, bool]] = {}
        self.map = ContainerMap()
        if config.base_container is not None:
            check_container_name(config.base_container)
            self.map.record(self._entry(config.base_container, Origin.BASE))

    async def aclose(self) -> None:
        for task in self._loads.values():
            task.cancel()
        await asyncio.gather(*self._loads.values(), return_exceptions=True)
        await self.main.aclose()
        if self._signed_url is not None:
            await self._signed_url.aclose()

    def location(self, location: LocationID) -> Driver:
        """The driver behind the id; SIGNED_URL falls back to MAIN where it is not configured."""
        return self._signed_url or self.main if location is LocationID.SIGNED_URL else self.main

    def fqn(self, container: str) -> str:
        return f"{self.main.scheme}://{container}"

    async def create(
        self, name: str, *, location: LocationID = LocationID.MAIN, marker: Marker | None = None
    ) -> ContainerEntry:
        """Create it, marked as ``marker`` says, and record it. One that carries the same marker already is ours and returned.

        Raises:
            ContainerTakenError: the name exists and is not ours - also where nothing says whose it is.
        """
        driver = self.location(location)
        async with self.operation("create", name):
            check_container_name(name)
            try:
                await driver.create_container(name, marker)
            except ContainerTakenError:
                if marker is None or not await self._carries(driver, name, marker):
                    raise
            else:
                self._crash(CrashPoint.CONTAINER_CREATED)
                if marker is not None and driver.capabilities.markers:
                    if not driver.capabilities.marker_with_create:
                        await driver.write_marker(name, marker)
                    self._crash(CrashPoint.MARKER_WRITTEN)
            return self._loaded(name, marker)

    @staticmethod
    async def _carries(driver: Driver, name: str, marker: Marker) -> bool:
        """Whether a name that is taken is ours. One whose marker we may not read, or that is gone again, is not."""
        if not driver.capabilities.markers:
            return False
        try:
            return await driver.read_marker(name) == marker
        except (AccessDeniedError, NotFoundError):
            return False

    async def load(
        self,
        name: str,
        *,
        create_if_not_found: bool,
        location: LocationID = LocationID.MAIN,
        marker: Marker | None = None,
    ) -> ContainerEntry:
        """Load an existing container and record it.

        Raises:
            ContainerNotFoundError: absent, and not to be created.
        """
        async with self.operation("load", name):
            check_container_name(name)
            if await self.location(location).container_exists(name):
                return self._loaded(name, marker)
        if not create_if_not_found:
            raise ContainerNotFoundError(
                f"The container {name} does not exist; create it, or allow its creation.",
                operation="load",
                container=name,
            )
        return await self.create(name, location=location, marker=marker)

    async def get(
        self, name: str, *, location: LocationID = LocationID.MAIN, scope: Scope | None = None
    ) -> ContainerEntry:
        """The base container, else the map, else - only where dynamic containers are allowed - loaded once and recorded.

        Raises:
            ContainerNotAllowedError: none of these, for this scope. Counted in ``bad_container``.
            ContainerNotFoundError: it may be loaded, but does not exist.
        """
        try:
            known = self.map.get(name)
            if known is not None and (known.origin is not Origin.DYNAMIC or scope is None):
                return visible(known, scope)
            # Asked at each use: that one namespace has loaded it gives no other a right, and the rules may have changed since.
            if (scope is not None and scope.uid is not None) or not self.config.dynamic_allowed(name, scope):
                raise not_allowed()
            if known is not None:
                return known
            check_container_name(name)
            return visible(await self._load_once(name, location), scope)
        except StowError as error:
            if isinstance(error, ContainerNotAllowedError | InvalidContainerNameError):
                self.metrics.bad_container()
            error.locate(operation="load", container=printable(name))
            raise

    async def _load_once(self, name: str, location: LocationID) -> ContainerEntry:
        """Concurrent callers share one load; one that goes away does not end it for the others."""
        task = self._loads.get(name)
        if task is None:
            task = asyncio.create_task(self._load_dynamic(name, location))
            self._loads[name] = task
            task.add_done_callback(lambda done: self._load_done(name, done))
        return await asyncio.shield(task)

    def _load_done(self, name: str, task: asyncio.Task[ContainerEntry]) -> None:
        self._loads.pop(name, None)
        if not task.cancelled():
            task.exception()  # the callers that would have heard of it may all have gone

    async def _load_dynamic(self, name: str, location: LocationID) -> ContainerEntry:
        """What carries a marker is or was a StowContainer's, and is not served through its location."""
        driver = self.location(location)
        with self.metrics.operation("load"):
            if not await self._exists(name, driver):
                raise ContainerNotFoundError(f"The container {printable(name)} does not exist.")
            if driver.capabilities.markers and await driver.read_marker(name) is not None:
                raise not_allowed()
        return self.map.record(self._entry(name, Origin.DYNAMIC))

    async def state(self, name: str) -> ContainerState:
        """Ask the backend whether the container exists, and whose it is."""
        async with self.operation("load", name):
            check_container_name(name)
            if not await self.main.container_exists(name):
                return ContainerState(exists=False)
            marker = await self.main.read_marker(name) if self.main.capabilities.markers else None
            return ContainerState(exists=True, marker=marker)

    async def mark(self, name: str, marker: Marker | None) -> None:
        """Set or remove the owner's marker.

        Raises:
            UnsupportedError: the backend has none.
        """
        async with self.operation("create", name):
            check_container_name(name)
            if not self.main.capabilities.markers:
                raise UnsupportedError("This backend cannot mark containers with their owner.")
            await self.main.write_marker(name, marker)
            self._crash(CrashPoint.MARKER_WRITTEN)

    async def contents(self, name: str) -> ContainerContents:
        async with self.operation("list", name):
            check_container_name(name)
            return await self.main.container_contents(name)

    async def delete(self, name: str) -> None:
        """Delete an empty container and take it out of the map.

        Raises:
            ContainerNotEmptyError
        """
        async with self.operation("delete", name):
            check_container_name(name)
            await self.main.delete_container(name)
        self.map.forget(name)
        self._existence.pop(name, None)

    async def settings(self, name: str, asked: ContainerSettings | None = None) -> ContainerSettings:
        async with self.operation("load", name):
            check_container_name(name)
            return await self.main.container_settings(name, asked)

    async def configure(self, name: str, settings: ContainerSettings) -> None:
        """Raises:
        UnsupportedError: the backend lacks one of them; nothing was set.
        """
        async with self.operation("create", name):
            check_container_name(name)
            has = self.main.capabilities
            asked = {
                "tags": (settings.tags, has.tags),
                "versioning": (settings.versioning, has.versioning),
                "expiry rules": (settings.expire_after_days, has.expiry_rules),
            }
            lacking = [what for what, (value, able) in asked.items() if value is not None and not able]
            if lacking:
                raise UnsupportedError(f"Containers of this backend have no {' and no '.join(lacking)}.")
            await self.main.configure_container(name, settings)

    async def sweep(self, name: str) -> int:
        """Remove what dead writers have left in it; returns how many pieces."""
        async with self.operation("sweep", name):
            check_container_name(name)
            return await self.main.sweep(name)

    @asynccontextmanager
    async def operation(self, name: str, container: str, key: str = "") -> AsyncIterator[None]:
        with self.metrics.operation(name):
            try:
                yield
            except StowError as raised:
                error = await self._settled_or_failed(raised, container)
                if isinstance(error, ContainerNotFoundError):
                    self.map.forget(error.container or container, uid=self.config.uid)
                error.locate(operation=name, container=printable(container), key=printable(key) or None)
                if error is raised:
                    raise
                raise error from raised

    async def settled(self, error: StowError, container: str) -> StowError:
        """A 404 that does not say what is missing costs one look for the container."""
        if type(error) is not NotFoundError:
            return error
        if await self._exists(container, self.main):
            return ObjectNotFoundError("The object does not exist.")
        return ContainerNotFoundError(f"The container {printable(container)} does not exist.")

    async def _settled_or_failed(self, error: StowError, container: str) -> StowError:
        """As above; where the look itself fails, its error is the answer."""
        try:
            return await self.settled(error, container)
        except StowError as failed:
            return failed

    async def _exists(self, container: str, driver: Driver) -> bool:
        now = self.clock()
        known = self._existence.get(container)
        if known is not None and now - known[0] < EXISTENCE_TTL:
            return known[1]
        exists = await driver.container_exists(container)
        self._existence = {n: k for n, k in self._existence.items() if now - k[0] < EXISTENCE_TTL}
        self._existence[container] = (now, exists)
        return exists

    def _loaded(self, name: str, marker: Marker | None) -> ContainerEntry:
        self._existence.pop(name, None)
        if marker is None:
            return self.map.record(self._entry(name, Origin.DYNAMIC))
        entry = ContainerEntry(
            name, self.fqn(name), Origin.DECLARED, self.clock(), marker.uid, marker.namespace, marker.name
        )
        return self.map.record(entry)

    def _entry(self, name: str, origin: Origin) -> ContainerEntry:
        return ContainerEntry(name, self.fqn(name), origin, self.clock(), self.config.uid)
