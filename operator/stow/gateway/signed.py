"""Signed URLs of local locations: no token, the signature is the permission. Everything else is looked at as ever.

Until the signature is verified nothing is looked up but memory, and every refusal is the same: a forger learns neither what exists nor
what was wrong. After it: the container must be Ready, not declared elsewhere, its location local, the method still allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from stow.errors import AccessDeniedError, SignedURLExpiredError
from stow.gateway.access import Verb
from stow.gateway.audit import Call
from stow.gateway.headers import single
from stow.gateway.ports import Keyrings
from stow.gateway.problems import Code, Refusal
from stow.gateway.resolve import Resolved, Resolver
from stow.gateway.routes import Family, Route, container_route
from stow.storage import local_signing
from stow.storage.clock import Clock
from stow.storage.local_signing import Grant
from stow.storage.model import Scope

_NOBODY: Final = "-"
"""Stands for the UID of what does not exist; no object has it, and verifying against it costs the same."""


@dataclass(frozen=True, slots=True)
class SignedURLs:
    """Believes a signed URL or not."""

    resolver: Resolver
    keyrings: Keyrings
    clock: Clock

    async def open(self, request: web.BaseRequest, route: Route, call: Call) -> tuple[Resolved, Grant]:
        """Raises:
        Refusal: 403 in one form for everything that is not genuine; 503 while keys or container are not ready.
        SignedURLExpiredError: genuine, but over.
        """
        keyring = self.keyrings()
        if keyring is None:
            raise Refusal(Code.NOT_READY, "The keys of signed URLs are not loaded yet; try again.")
        try:
            asked = local_signing.parse(route.raw_path, route.raw_query)
            target = container_route(asked.grant.route)
            found = None if target is None else self.resolver.remembered(target)
            grant = local_signing.verify(
                asked,
                keyring=keyring,
                method=request.method,
                container_uid=_NOBODY if found is None else found.uid,
                content_md5=single(request.headers, "Content-MD5"),
                content_type=single(request.headers, "Content-Type"),
                now=self.clock(),
            )
        except SignedURLExpiredError:
            raise
        except AccessDeniedError as error:
            raise refused() from error
        if target is None:
            raise refused()
        call.signed_by, call.verb, call.family = grant.kid, Verb(grant.method.value.lower()), target.family
        call.namespace, call.location, call.container = target.namespace, target.location, target.container
        call.key = grant.key
        return self._checked(
            await self.resolver.resolve(target, namespace=target.namespace), target.family, grant
        ), grant

    def _checked(self, at: Resolved, family: Family, grant: Grant) -> Resolved:
        if at.spec.member != "local":
            raise Refusal(Code.ROUTE_NOT_FOUND, "Signed URLs of this location lead to its own backend.")
        if not at.ready:
            raise Refusal(Code.CONTAINER_NOT_READY, "The container is not Ready; try again.")
        if grant.method not in at.store.config.sign_methods:
            raise Refusal(Code.SIGNATURE_REFUSED, "The location no longer signs this method; ask for a new URL.")
        if family is Family.CLUSTER_LOCATION:
            namespaces = self.resolver.served_namespaces(at)
            if not namespaces:
                raise Refusal(
                    Code.NAMESPACE_NOT_ALLOWED, "The cluster location no longer lets this container's namespace in."
                )
            return replace(at, scope=Scope(namespaces[0]))
        return at


def refused() -> Refusal:
    return Refusal(Code.SIGNATURE_REFUSED, "The signed URL does not allow this request; ask for a new one.")
