"""Who is asking, and may they: TokenReview and SubjectAccessReview behind bounded caches. Fails closed.

A token is kept as its SHA-256 only. Whatever goes wrong while asking is 503, never a yes and never a no.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from stow.errors import ReviewUnavailableError
from stow.gateway.access import RESOURCES, Right
from stow.gateway.cache import FlightCache
from stow.gateway.headers import Headers
from stow.gateway.ports import AccessReviewer, Identity, TokenReviewer
from stow.gateway.problems import Code, Refusal
from stow.gateway.routes import Family
from stow.gateway.settings import GatewaySettings

_BEARER: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)", re.ASCII)
_SERVICE_ACCOUNT: Final = re.compile(r"system:serviceaccount:([a-z0-9-]{1,63}):[a-z0-9.-]{1,253}", re.ASCII)
_log = logging.getLogger(__name__)
T = TypeVar("T")


def parse_bearer(headers: Headers, *, audience: str) -> str:
    """The token.

    Raises:
        Refusal: 401 where there is none or it is not one; 400 where the header stands twice.
    """
    values = headers.getall("Authorization", [])
    if len(values) > 1:
        raise Refusal(Code.MALFORMED_REQUEST, "The header Authorization stands more than once.")
    found = _BEARER.fullmatch(values[0].strip()) if values else None
    if found is None:
        what = "is not 'Bearer <token>'" if values else "is missing"
        raise unauthenticated(f"The header Authorization {what}.", audience=audience)
    return found[1]


def unauthenticated(what: str, *, audience: str) -> Refusal:
    """401 with the volume to add: the usual reason is a token of the default audience."""
    stanza = (
        "volumes:\n"
        "- name: stow-token\n"
        "  projected:\n"
        "    sources:\n"
        "    - serviceAccountToken:\n"
        f"        audience: {audience}\n"
        "        path: token\n"
        "# and in the container\n"
        "volumeMounts:\n"
        "- name: stow-token\n"
        "  mountPath: /var/run/secrets/stowstore.io\n"
    )
    return Refusal(
        Code.UNAUTHENTICATED,
        f"{what} Send a ServiceAccount token of the audience {audience}; a pod gets one by this volume:\n{stanza}",
        headers={"WWW-Authenticate": "Bearer"},
    )


def namespace_of(identity: Identity) -> str | None:
    """The namespace of a ServiceAccount; None for every other user."""
    found = _SERVICE_ACCOUNT.fullmatch(identity.user)
    return found[1] if found else None


class Authenticator:
    """Token to identity."""

    def __init__(
        self,
        reviewer: TokenReviewer,
        settings: GatewaySettings,
        *,
        now: Callable[[], float],
        observe: Callable[[bool], None],
    ) -> None:
        self._reviewer = reviewer
        self._audience = settings.audience
        self._deadline_s = settings.deadlines.review_s
        caching = settings.caching
        self._cache: FlightCache[bytes, Identity | None] = FlightCache(
            lifetime_s=lambda found: caching.token_refused_s if found is None else caching.token_s,
            now=now,
            max_entries=caching.max_entries,
            max_loads=settings.limits.max_reviews,
            max_loads_each=settings.limits.max_reviews_each,
            observe=observe,
        )

    async def identify(self, headers: Headers, *, peer: str | None = None) -> Identity:
        """``peer``: the client's address, behind which the reviews of its tokens wait.

        Raises:
            Refusal: 401 where the API server does not know the token for our audience.
            ReviewUnavailableError: it cannot be asked.
        """
        token = parse_bearer(headers, audience=self._audience)
        async with _within(self._deadline_s):
            identity = await self._cache.get(
                hashlib.sha256(token.encode()).digest(),
                lambda: asked(self._reviewer.review(token), self._deadline_s, "TokenReview"),
                owner=peer,
            )
        if identity is None:
            raise unauthenticated(
                "The token is expired, unknown or made for another audience.", audience=self._audience
            )
        return identity

    async def aclose(self) -> None:
        await self._cache.aclose()


_Question = tuple[str, str, tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...], str, str, str, str, str]


class Authorizer:
    """Identity and right to yes or no."""

    def __init__(
        self,
        reviewer: AccessReviewer,
        settings: GatewaySettings,
        *,
        now: Callable[[], float],
        observe: Callable[[bool], None],
    ) -> None:
        self._reviewer = reviewer
        self._deadline_s = settings.deadlines.review_s
        caching = settings.caching
        self._cache: FlightCache[_Question, bool] = FlightCache(
            lifetime_s=lambda allowed: caching.access_s if allowed else caching.access_refused_s,
            now=now,
            max_entries=caching.max_entries,
            max_loads=settings.limits.max_reviews,
            max_loads_each=settings.limits.max_reviews_each,
            observe=observe,
        )

    async def allowed(self, identity: Identity, right: Right, *, family: Family, namespace: str, name: str) -> bool:
        """Raises:
        ReviewUnavailableError: the API server cannot be asked.
        """
        resource = RESOURCES[family]
        question = (
            identity.user,
            identity.uid,
            identity.groups,
            tuple(sorted((key, tuple(values)) for key, values in identity.extra.items())),
            right.verb,
            resource,
            right.subresource,
            namespace,
            name,
        )
        async with _within(self._deadline_s):
            return await self._cache.get(
                question,
                lambda: asked(
                    self._reviewer.allowed(
                        identity,
                        verb=right.verb,
                        resource=resource,
                        subresource=right.subresource,
                        namespace=namespace,
                        name=name,
                    ),
                    self._deadline_s,
                    "SubjectAccessReview",
                ),
                owner=identity.user,
            )

    async def aclose(self) -> None:
        await self._cache.aclose()


async def asked(question: Awaitable[T], deadline_s: float, what: str) -> T:
    """One question about a caller to the API server.

    Raises:
        ReviewUnavailableError: whatever went wrong: what is not known is not denied.
    """
    try:
        async with asyncio.timeout(deadline_s):
            return await question
    except Exception as error:  # fails closed, whatever the adapter raises; its text stays out of log and answer
        _log.warning("%s failed: %s", what, type(error).__name__)
        raise _unknown() from error


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    """The deadline of an answer, the wait behind one's own other questions included."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as late:
        raise _unknown() from late


def _unknown() -> ReviewUnavailableError:
    return ReviewUnavailableError("The API server cannot be asked about this caller at the moment; try again.")
