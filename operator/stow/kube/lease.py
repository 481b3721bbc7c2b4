"""Leadership by a Lease (coordination.k8s.io/v1), as client-go's leader election has it: at most one operator reconciles at a time.

The holder renews; others wait until they have seen the same record for its whole duration, by their own monotonic clock, so that skewed
clocks do no harm. A holder that could not renew in time stops leading by itself before anybody else may begin. Each write is made on the
version that was read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from stow.errors import ControlPlaneError
from stow.kube.rest import CONFLICT, NOT_FOUND, Requests
from stow.storage.clock import Clock

DURATION_S: Final = 15
"""These three are the defaults of client-go, which every cluster is used to."""
RENEW_DEADLINE_S: Final = 10.0
RETRY_S: Final = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseName:
    """Which Lease, and who asks for it: ``identity`` is this process's alone, such as its Pod's name."""

    namespace: str
    identity: str
    name: str = "stow-operator"


class Lease:
    """:meth:`run` asks and renews; the other two tell how it stands. Belongs to one event loop."""

    def __init__(
        self,
        request: Requests,
        name: LeaseName,
        *,
        clock: Clock,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._request = request
        self._name = name
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._leading = asyncio.Event()
        self._lost = asyncio.Event()
        self._lost.set()
        self._renewed_at = 0.0
        self._seen: tuple[object, float] | None = None
        """What the record of another holder was, and since when it is so."""
        self._stands_by = False

    @property
    def is_leading(self) -> bool:
        return self._leading.is_set()

    @property
    def stands_by(self) -> bool:
        """Whether another holder was seen at the last look: this process does what it can do now."""
        return self._stands_by

    async def leading(self) -> None:
        """Wait until this process leads."""
        await self._leading.wait()

    async def lost(self) -> None:
        """Wait until it does not."""
        await self._lost.wait()

    async def run(self) -> None:
        """Until cancelled; then a Lease that is held is given back."""
        try:
            while True:
                await self.step()
                await self._sleep(min(RETRY_S, self._left_s()) if self.is_leading else RETRY_S)
        finally:
            was_leading = self.is_leading
            self._stop_leading()
            if was_leading:
                await self._release()

    async def step(self) -> None:
        """Ask or renew once. A holder whose time is over stops before it asks, and one whose time ends meanwhile does not wait on."""
        asked_at = self._monotonic()
        if self.is_leading and not self._left_s():
            self._give_up()
        timeout_s = RENEW_DEADLINE_S / 2
        try:
            async with asyncio.timeout(min(timeout_s, self._left_s()) if self.is_leading else timeout_s):
                held = await self._try()
        except (ControlPlaneError, TimeoutError) as error:
            _log.debug("The Lease could not be asked for: %s", type(error).__name__)
            held = None
        self._stands_by = held is False
        if held:
            # Others count from when the server took the record, which may be as long ago as the request was sent.
            self._renewed_at = asked_at
            if not self.is_leading:
                _log.info("This operator leads")
            self._lost.clear()
            self._leading.set()
        elif self.is_leading and (held is False or not self._left_s()):
            self._give_up()

    def _left_s(self) -> float:
        """How long the last renewal still lets this process lead."""
        return max(0.0, self._renewed_at + RENEW_DEADLINE_S - self._monotonic())

    def _give_up(self) -> None:
        _log.warning("This operator leads no longer")
        self._stop_leading()

    def _stop_leading(self) -> None:
        self._leading.clear()
        self._lost.set()

    async def _try(self) -> bool:
        """Whether the Lease is ours afterwards."""
        asked_at = self._clock()
        try:
            record = await self._request("GET", self._path)
        except ControlPlaneError as error:
            if error.status != NOT_FOUND:
                raise
            return await self._write("POST", self._collection, self._record(asked_at, None))
        spec = record.get("spec") or {}
        holder = spec.get("holderIdentity")
        if holder and holder != self._name.identity and not self._is_over(spec):
            return False
        return await self._write("PUT", self._path, self._record(asked_at, record))

    def _is_over(self, spec: dict[str, Any]) -> bool:
        """Whether another holder has not renewed for its whole duration, as seen from here."""
        now = self._monotonic()
        what = (spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions"))
        if self._seen is None or self._seen[0] != what:
            self._seen = (what, now)
        duration = spec.get("leaseDurationSeconds")
        return now - self._seen[1] >= (duration if isinstance(duration, int) else DURATION_S)

    async def _write(self, method: str, path: str, body: dict[str, Any]) -> bool:
        """False: somebody else was first."""
        try:
            await self._request(method, path, body=body)
        except ControlPlaneError as error:
            if error.status == CONFLICT:
                return False
            raise
        return True

    def _record(self, now: datetime, before: dict[str, Any] | None) -> dict[str, Any]:
        spec = (before or {}).get("spec") or {}
        mine = spec.get("holderIdentity") == self._name.identity
        transitions = spec.get("leaseTransitions") or 0
        metadata: dict[str, Any] = {"name": self._name.name, "namespace": self._name.namespace}
        if before is not None:
            metadata["resourceVersion"] = before["metadata"]["resourceVersion"]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._name.identity,
                "leaseDurationSeconds": DURATION_S,
                "acquireTime": spec.get("acquireTime") if mine else _micro_time(now),
                "renewTime": _micro_time(now),
                "leaseTransitions": transitions if mine or before is None else transitions + 1,
            },
        }

    async def _release(self) -> None:
        """Let the next one begin at once. Best effort: without it the Lease runs out."""
        try:
            async with asyncio.timeout(RETRY_S):
                record = await self._request("GET", self._path)
                if (record.get("spec") or {}).get("holderIdentity") == self._name.identity:
                    record["spec"]["holderIdentity"] = ""
                    await self._request("PUT", self._path, body=record)
        except (ControlPlaneError, TimeoutError) as error:
            _log.debug("The Lease was not given back: %s", type(error).__name__)

    @property
    def _collection(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{quote(self._name.namespace, safe='')}/leases"

    @property
    def _path(self) -> str:
        return f"{self._collection}/{quote(self._name.name, safe='')}"


def _micro_time(moment: datetime) -> str:
    """Kubernetes' MicroTime: RFC 3339 with six digits."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
