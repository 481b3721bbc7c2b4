"""What the gateway needs from the world besides the reconcilers' ``Objects``, ``Reader`` and ``Stores``.

``kube`` implements these against the API server. An adapter may raise anything: whatever it raises is "nobody knows", which the
gateway answers with 503, never with a yes and never with a no.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from stow.reconcile.objects import ObjectRef
from stow.storage.local_signing import Keyring
from stow.storage.model import ContainerEntry


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a token belongs to, as a TokenReview says it."""

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))


class TokenReviewer(Protocol):
    async def review(self, token: str) -> Identity | None:
        """Whose token it is; None when it is not valid for our audience."""
        ...


class AccessReviewer(Protocol):
    async def allowed(
        self, identity: Identity, *, verb: str, resource: str, subresource: str, namespace: str, name: str
    ) -> bool: ...


class Keyrings(Protocol):
    def __call__(self) -> Keyring | None:
        """The keys of local signed URLs; None until they are loaded."""
        ...


class LoadReports(Protocol):
    def loaded(self, location: ObjectRef, entry: ContainerEntry) -> None:
        """A container was loaded on demand. Must not block; may be called again for the same entry."""
        ...


class Readiness(Protocol):
    def __call__(self) -> Mapping[str, bool]:
        """What has to be there before requests are served, and whether it is: ``{"caches": True, "signing-keys": False}``."""
        ...


class AuditSink(Protocol):
    def __call__(self, line: Mapping[str, object]) -> None:
        """Takes one audit line. Must not block."""
        ...
