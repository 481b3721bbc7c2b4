"""The way in: who, may they, where - in this order, for every container route.

403 comes before anything is looked up, so it says nothing about what exists; 404 only after the review allowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from stow.gateway.access import CREATE, NEEDED, UPDATE, Right, Verb, WriteRights, forbidden
from stow.gateway.auth import Authorizer, namespace_of
from stow.gateway.ports import Identity
from stow.gateway.resolve import Resolved, Resolver
from stow.gateway.routes import Family, Target


@dataclass(frozen=True, slots=True)
class Gate:
    """Access and look-up for one process."""

    authorizer: Authorizer
    resolver: Resolver

    def namespace(self, identity: Identity, target: Target) -> str:
        """The namespace that governs a target: its own, for cluster locations the caller's.

        Raises:
            Refusal: a cluster location, and the caller is no ServiceAccount.
        """
        if target.family is not Family.CLUSTER_LOCATION:
            return target.namespace or ""
        namespace = namespace_of(identity)
        if namespace is None:
            raise forbidden(
                "Cluster locations are for ServiceAccounts: the caller's namespace decides, and this user has none."
            )
        return namespace

    async def has(self, identity: Identity, target: Target, right: Right) -> bool:
        name = target.container if target.family is Family.CONTAINER else target.location or ""
        return await self.authorizer.allowed(
            identity, right, family=target.family, namespace=self.namespace(identity, target), name=name
        )

    async def require(self, identity: Identity, target: Target, rights: Iterable[Right]) -> None:
        """Raises:
        Refusal: 403, naming the right that is missing.
        """
        for right in rights:
            if not await self.has(identity, target, right):
                raise forbidden(f"You may not {right.verb} {right.subresource} here; ask for that verb in a Role.")

    async def write_rights(self, identity: Identity, target: Target) -> WriteRights:
        """Raises:
        Refusal: 403, neither of the two.
        """
        create, update = await asyncio.gather(self.has(identity, target, CREATE), self.has(identity, target, UPDATE))
        rights = WriteRights(create, update)
        if not rights:
            raise forbidden("You may neither create nor update objects here; ask for one of these verbs in a Role.")
        return rights

    async def enter(self, identity: Identity, target: Target, verb: Verb) -> tuple[Resolved, WriteRights | None]:
        """All that stands before the operation itself; sign and copy, whose rights depend on their bodies, do it step by step."""
        await self.require(identity, target, NEEDED[verb])
        writes = await self.write_rights(identity, target) if verb is Verb.PUT else None
        return await self.resolve(identity, target), writes

    async def resolve(self, identity: Identity, target: Target) -> Resolved:
        return await self.resolver.resolve(target, namespace=self.namespace(identity, target))
