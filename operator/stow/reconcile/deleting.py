"""The end of a StowContainer: what becomes of its container, and when the finalizer goes.

Every branch ends in one of three: the finalizer is dropped, or the object waits as DeletionBlocked with the reason, or an error of the
API server leaves it as it was. The finalizer never goes because something failed. The marker is read in the same pass that deletes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from stow.api.conditions import Wanted
from stow.api.container import container_spec
from stow.api.meta import FINALIZER, is_abandoned
from stow.api.reasons import ConditionType, Reason, needs_person
from stow.api.status import ContainerStatus, Deletion
from stow.errors import ContainerNotEmptyError, InvalidSpecError, StowError
from stow.reconcile.deletion import Fate, Safety, contents_text, fate_of, grace_left, safety_of
from stow.reconcile.objects import ObjectRef, Snapshot
from stow.reconcile.outcome import Gone, Reconciled, Result, Stalled, Waiting
from stow.reconcile.ownership import identity_of
from stow.reconcile.ports import Audit, Objects, Reader, Stores, Writer
from stow.reconcile.reasons import STALLED_AFTER, blocked_by
from stow.storage.clock import Clock
from stow.storage.crashpoints import Crash, CrashPoint
from stow.storage.model import ContainerContents, Marker
from stow.storage.store import StowStore

RETRY_IN_TERMINATING_NAMESPACE = timedelta(seconds=10)


class _Ended(StrEnum):
    """Why nothing is left to be deleted."""

    DELETED = "Deleted"
    ABSENT = "Absent"
    NOT_OURS = "NotOurs"
    """There is one, and it turned out never to have been this object's."""


@dataclass(frozen=True, slots=True)
class _Blocked:
    """Why the container is still there. ``contents``: what was counted in it."""

    reason: Reason
    message: str
    contents: ContainerContents | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerDeleter:
    """Ends StowContainers."""

    objects: Objects
    reader: Reader
    stores: Stores
    writer: Writer
    audit: Audit
    clock: Clock
    crash: Crash
    installation: str
    namespace_grace: timedelta

    async def delete(self, snapshot: Snapshot, status: ContainerStatus) -> Reconciled:
        """One pass over an object that is being deleted. Raises ControlPlaneError: to be tried again."""
        if FINALIZER not in snapshot.finalizers:
            return Reconciled(snapshot, Result(Gone(), status))
        if is_abandoned({"annotations": snapshot.annotations}):
            return await self._drop(snapshot, status, "container-abandoned", "by annotation; the container stays")
        fate = fate_of(snapshot, status)
        if fate is Fate.NOTHING_MADE:
            return await self._drop(snapshot, status, None, "")
        if fate is Fate.RETAIN:
            return await self._drop(snapshot, status, "container-retained", "by policy")
        ended = await self._try(snapshot, status)
        if isinstance(ended, _Blocked):
            return await self._wait(snapshot, status, ended)
        if ended is _Ended.NOT_OURS:
            return await self._drop(snapshot, status, "container-retained", "it was not made for this object")
        if ended is _Ended.ABSENT and status.provisioned is not None:
            return await self._drop(snapshot, status, "container-absent", "gone already when it was to be deleted")
        return await self._drop(snapshot, status, None, "")

    async def _wait(self, snapshot: Snapshot, status: ContainerStatus, blocked: _Blocked) -> Reconciled:
        after = STALLED_AFTER if needs_person(blocked.reason) else None
        if await self.reader.namespace_terminating(snapshot.ref.namespace or ""):
            left = grace_left(snapshot.deleting_since, self.clock(), self.namespace_grace)
            if not left:
                why = f"{blocked.reason}; the namespace is being deleted, so DeleteIfEmpty fell back to Retain"
                return await self._drop(snapshot, status, "container-retained", why)
            after = min(left, RETRY_IN_TERMINATING_NAMESPACE)
        outcome = (
            Stalled(blocked.reason, blocked.message, after)
            if needs_person(blocked.reason)
            else Waiting(Reason.DELETING, blocked.message, after)
        )
        condition = Wanted(ConditionType.DELETION_BLOCKED, "True", blocked.reason, blocked.message)
        return Reconciled(snapshot, Result(outcome, self._progress(status, blocked.contents), (condition,)))

    def _progress(self, status: ContainerStatus, contents: ContainerContents | None) -> ContainerStatus:
        begun = status.deletion or Deletion(started_at=self.clock())
        if contents is None:
            return replace(status, deletion=begun)
        counted = replace(
            begun,
            objects=contents.objects,
            versions=contents.versions,
            uploads=contents.uploads,
            is_partial=contents.truncated,
        )
        return replace(status, deletion=counted)

    async def _drop(self, snapshot: Snapshot, status: ContainerStatus, action: str | None, detail: str) -> Reconciled:
        left = await self.writer.remove_finalizer(snapshot)
        if action is not None:
            self._note(snapshot, status, action, detail)
        return Reconciled(left or snapshot, Result(Gone(), status))

    def _note(self, snapshot: Snapshot, status: ContainerStatus, action: str, detail: str) -> None:
        self.audit.record(action, snapshot, detail=f"{status.fqn or status.container_name or '-'}: {detail}")

    async def _try(self, snapshot: Snapshot, status: ContainerStatus) -> _Blocked | _Ended:
        """Delete the container where it is this object's."""
        store = await self._store(snapshot)
        if isinstance(store, _Blocked):
            return store
        intent = status.intent if status.provisioned is None else None
        name = intent.container_name if intent is not None else status.container_name
        pinned = intent.backend_identity if intent is not None else status.backend_identity
        if name is None or pinned is None or identity_of(store.identity, name) != pinned:
            return _Blocked(
                Reason.LOCATION_CHANGED,
                "The location does not lead to the backend that holds the container, so nothing is deleted; set the location "
                "back, or abandon this object.",
            )
        try:
            return await self._delete(store, name, snapshot, status)
        except StowError as error:
            return _Blocked(blocked_by(error), error.message)

    async def _delete(
        self, store: StowStore, name: str, snapshot: Snapshot, status: ContainerStatus
    ) -> _Blocked | _Ended:
        state = await store.container_state(name)
        mine = Marker(self.installation, snapshot.ref.namespace or "", snapshot.ref.name, snapshot.uid)
        safety = safety_of(state, mine, status)
        if safety is Safety.ABSENT:
            return _Ended.ABSENT
        if safety is Safety.NOT_OURS and status.provisioned is None:
            return _Ended.NOT_OURS
        if safety is Safety.NOT_OURS:
            return _Blocked(
                Reason.OWNERSHIP_UNKNOWN,
                f"The container {name} does not carry this object's mark, so it is not deleted; delete it yourself, or "
                "abandon this object.",
            )
        contents = await store.container_contents(name)
        if not contents.empty:
            return _not_empty(name, contents)
        try:
            await store.delete_container(name)
        except ContainerNotEmptyError:
            return _not_empty(name, None)
        # Now, not with the finalizer: where that write fails, the next pass cannot tell who has deleted it.
        self._note(snapshot, status, "container-deleted", "empty, by policy")
        self.crash(CrashPoint.CONTAINER_DELETED)
        return _Ended.DELETED

    async def _store(self, snapshot: Snapshot) -> StowStore | _Blocked:
        """The location's store, else the last good one in memory."""
        try:
            ref = container_spec(snapshot.spec).location_ref
        except InvalidSpecError as error:
            return _Blocked(Reason.LOCATION_NOT_READY, error.message)
        at = ObjectRef(ref.kind, None if ref.is_cluster else snapshot.ref.namespace, ref.name)
        location = self.objects.get(at)
        if location is not None:
            try:
                return (await self.stores.open(location)).store
            except StowError as error:
                return self.stores.last_good(at) or _Blocked(blocked_by(error), error.message)
        return self.stores.last_good(at) or _Blocked(
            Reason.CREDENTIALS_MISSING,
            f"The {at.kind} {at.name} is gone, and with it the credentials; create it again, or abandon this object.",
        )


def _not_empty(name: str, contents: ContainerContents | None) -> _Blocked:
    counted = contents_text(contents) if contents is not None else "something"
    return _Blocked(
        Reason.NOT_EMPTY,
        f"The container {name} is not empty: it holds {counted}. Empty it, set deletionPolicy to Retain, or abandon this object.",
        contents,
    )
