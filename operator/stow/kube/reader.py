"""Reads past the memory, straight from the API server, for the few decisions that must not be made on stale knowledge."""

from __future__ import annotations

from stow.errors import ControlPlaneError
from stow.kube.rest import NOT_FOUND, Requests, object_path
from stow.reconcile.objects import ObjectRef, Snapshot


class KubeReader:
    """Implements :class:`stow.reconcile.ports.Reader`."""

    def __init__(self, request: Requests) -> None:
        self._request = request

    async def read(self, ref: ObjectRef) -> Snapshot | None:
        try:
            raw = await self._request("GET", object_path(ref.kind, ref.namespace, ref.name))
        except ControlPlaneError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return Snapshot.from_raw(raw, kind=ref.kind)

    async def namespace_terminating(self, name: str) -> bool:
        """A namespace that is gone counts as terminating: nothing may be created for it either."""
        found = await self.read(ObjectRef("Namespace", None, name))
        return found is None or found.deleting_since is not None
