"""Now and then, removes what dead writers have left in containers: parts of uploads, files that nothing refers to.

Only in containers that this operator has created, and in a location's base container where the operator made it: a loaded one has other
owners, who may know better what an old upload is. The mark on the container decides, read just before; where the backend has none, what
status says of a StowContainer. Nothing hangs on it: what fails is tried again at the next round.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from stow.api.location import location_spec
from stow.api.meta import LOCATION_KINDS
from stow.api.status import Provisioned, container_status
from stow.errors import InvalidSpecError, StowError
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.ownership import identity_of
from stow.reconcile.ports import Objects, Stores
from stow.storage.store import StowStore

INTERVAL_S: Final = 3600.0
"""What is swept costs space, nothing else; a round lists the uploads of every container."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Made:
    """A container that the operator made. ``is_recorded``: status says so; of a base container only its mark does."""

    name: str
    owner_uid: str
    is_recorded: bool


class Sweeper:
    """A service of the operator. Uses the stores that are open anyway and opens none."""

    def __init__(
        self,
        objects: Objects,
        stores: Stores,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._objects = objects
        self._stores = stores
        self._sleep = sleep
        self._uniform = uniform

    async def run(self) -> None:
        """Until cancelled; the first round comes after one interval, when everything is long converged."""
        while True:
            await self._sleep(INTERVAL_S * self._uniform(0.9, 1.1))
            await self.sweep()

    async def sweep(self) -> None:
        """One round over all locations, one container after the other."""
        for kind in sorted(LOCATION_KINDS):
            for location in tuple(self._objects.list(kind)):
                store = self._stores.last_good(location.ref)
                if store is None or location.deleting_since is not None:
                    continue
                for made in _ours(location, self._objects.containers_of(location.ref), store.identity):
                    await self._sweep_one(store, location.ref, made)

    async def _sweep_one(self, store: StowStore, location: ObjectRef, made: _Made) -> None:
        try:
            if not await _is_still(store, made):
                return
            swept = await store.sweep_container(made.name)
        except StowError as error:
            _log.info("A container of the %s could not be swept: %s", location, error.code)
            return
        if swept:
            _log.info("Swept %d leftovers of dead writers from a container of the %s", swept, location)


async def _is_still(store: StowStore, made: _Made) -> bool:
    """Whether the container of that name is the one that was made: it may have gone, and somebody made another one."""
    state = await store.container_state(made.name)
    if not store.capabilities.markers:
        return state.exists and made.is_recorded
    return state.marker is not None and state.marker.uid == made.owner_uid


def _ours(location: Snapshot, containers: Collection[Snapshot], identity: str) -> Iterator[_Made]:
    """The containers at this very backend that the operator made, as far as is known here, and that are to stay."""
    try:
        spec = location_spec(location.ref.kind, location.spec)
    except InvalidSpecError:
        return
    if spec.suspend:
        return
    if spec.base_container is not None and spec.base_container.create_if_not_found:
        yield _Made(spec.base_container.name, location.uid, is_recorded=False)
    for container in containers:
        status = container_status(container.status)
        made = status.provisioned is Provisioned.CREATED and container.deleting_since is None
        if (
            made
            and status.container_name is not None
            and status.backend_identity == identity_of(identity, status.container_name)
        ):
            yield _Made(status.container_name, container.uid, is_recorded=True)
