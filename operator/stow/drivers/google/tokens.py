"""Bearer tokens: the present one, renewed once for all who wait, and replaced when Google refuses it before its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from google.auth.credentials import Signing

from stow.storage.clock import Clock
from stow.transport.renewing import Lease, Renewing

_FRESH: Final = timedelta(seconds=5)
"""A token that was fetched so lately is not thrown away for a refusal, which was another one's."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and when it was fetched."""

    text: str = field(repr=False)
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """What a source gives."""

    text: str = field(repr=False)
    life: timedelta | None
    """From now; None is for ever."""


class Identity(Protocol):
    """Somebody at Google."""

    async def grant(self) -> Grant:
        """A new token. Raises: StowError."""
        ...

    async def project(self) -> str | None:
        """The project that new buckets go to, where the identity knows one. Raises: StowError."""
        ...

    async def signer(self) -> Signing | str:
        """What signs: a key at hand, or the account whose key IAM holds. Raises: StowError."""
        ...

    async def aclose(self) -> None: ...


class Tokens:
    """The present token of an identity, renewed once for all who wait."""

    def __init__(self, identity: Identity, *, clock: Clock) -> None:
        self.identity = identity
        self._clock = clock
        self._renewing: Renewing[Token] = Renewing(self._fetch, clock=clock)

    async def authorization(self) -> str:
        """The header's value. Raises: StowError: there is no token."""
        return f"Bearer {(await self._renewing.get()).value.text}"

    async def renew(self) -> None:
        """After a refusal: drop the token, unless it is so new that an older one was refused, and fetch another. Raises: StowError."""
        lease = await self._renewing.get()
        if self._clock() - lease.value.fetched_at >= _FRESH:
            self._renewing.drop(lease)
            await self._renewing.get()

    async def aclose(self) -> None:
        await self._renewing.aclose()
        await self.identity.aclose()

    async def _fetch(self) -> Lease[Token]:
        grant = await self.identity.grant()
        now = self._clock()
        return Lease(Token(grant.text, now), None if grant.life is None else now + grant.life)
