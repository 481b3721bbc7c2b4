"""Builds one location's store and asks its backend whether it works, all within a deadline. Keeps nothing.

Refuses a forbidden endpoint before there is a client. Whatever goes wrong ends as an error of the tree: what a factory or an SDK says for
itself may hold anything, so only the type of it is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from stow.errors import BackendFailedError, BackendTimeoutError, BackendUnreachableError, StowError
from stow.kube.plans import DriverPlan, StorePlan, metrics_label
from stow.reconcile.objects import ObjectRef
from stow.storage.clock import Clock
from stow.storage.config import StoreConfig
from stow.storage.crashpoints import Crash, no_crash
from stow.storage.driver import Driver
from stow.storage.egress import EgressPolicy, Resolve, system_resolve
from stow.storage.metrics import StoreMetrics
from stow.storage.signing import naming_the_signer
from stow.storage.store import StowStore

Factory = Callable[[DriverPlan], Driver]
"""Builds a driver without I/O."""

_PORTS: Final = {"http": 80, "https": 443}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A store as spec, Secrets and keys ask for it now."""

    plan: StorePlan
    config: StoreConfig
    cursor_key: bytes = field(repr=False)
    version: tuple[int, tuple[tuple[str, str], ...]]
    """Generation of the location; UID and resource version of each Secret and ConfigMap that it refers to."""

    def same_client(self, other: Wanted) -> bool:
        """Whether a store that was built for the other one serves this one too; the rules in ``config`` can be changed later."""
        return self._client() == other._client()

    def _client(self) -> tuple[object, ...]:
        return self.plan, self.config.base_container, self.cursor_key


@dataclass(frozen=True, slots=True)
class StoreBuilder:
    """``factories``: by the union member of the spec (``s3``, ``local``). ``timeout_s`` is for resolution and probe together."""

    factories: Mapping[str, Factory]
    metrics: StoreMetrics
    clock: Clock
    timeout_s: float
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    resolve: Resolve = system_resolve
    crash: Crash = no_crash

    async def build(self, ref: ObjectRef, wanted: Wanted, *, discard: Callable[[StowStore], None]) -> StowStore:
        """A probed store. ``discard`` gets the one whose probe fails.

        Raises:
            StowError: whatever went wrong.
        """
        try:
            async with asyncio.timeout(self.timeout_s):
                await self._check_endpoint(wanted.plan.main)
                return await self._probed(ref, wanted, discard)
        except TimeoutError as exc:
            raise BackendTimeoutError("The location's backend did not answer in time.") from exc
        except StowError:
            raise
        except Exception as exc:  # what a factory or an SDK did not translate
            _log.error("The client of %s cannot be built: %s", ref, type(exc).__name__)
            raise BackendFailedError("The location's client cannot be built; the process's log says more.") from exc

    async def _check_endpoint(self, plan: DriverPlan) -> None:
        """SDK calls may resolve by themselves, so a forbidden address is refused before there is a client."""
        if plan.endpoint is None:
            return
        url = urlsplit(plan.endpoint)
        try:
            await self.egress.addresses(url.hostname or "", url.port or _PORTS[url.scheme], resolve=self.resolve)
        except OSError as exc:
            raise BackendUnreachableError("The host of the location's endpoint does not resolve.") from exc

    async def _probed(self, ref: ObjectRef, wanted: Wanted, discard: Callable[[StowStore], None]) -> StowStore:
        plan = wanted.plan
        main = self.factories[plan.main.member](plan.main)
        try:
            with naming_the_signer():
                signer = self.factories[plan.signed_url.member](plan.signed_url) if plan.signed_url else None
        except BaseException:
            discard(self._store(ref, wanted, main, None))
            raise
        store = self._store(ref, wanted, main, signer)
        try:
            await store.probe()
        except BaseException:
            discard(store)
            raise
        return store

    def _store(self, ref: ObjectRef, wanted: Wanted, main: Driver, signer: Driver | None) -> StowStore:
        return StowStore(
            wanted.config,
            main,
            clock=self.clock,
            metrics=self.metrics.bind(kind=wanted.plan.main.member, location=metrics_label(ref)),
            cursor_key=wanted.cursor_key,
            signed_url=signer,
            crash=self.crash,
        )
