"""How a request is authorized, by kind of credentials: a signature, a token in the query, a bearer token, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Final, Protocol

from stow.drivers.azure.shared_key import authorization, string_to_sign
from stow.transport.renewing import Lease, Renewing

VERSION: Final = "2024-11-04"
"""Of the REST API: what every request asks for, so that the service's newer defaults change nothing here."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A request before it is authorized: path and headers as they go out, the query decoded."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Mapping[str, str] = field(repr=False)


class Authorizer(Protocol):
    """One kind of credentials."""

    async def headers(self, draft: Draft) -> dict[str, str]:
        """What authorizes it. Raises: StowError: no credentials."""
        ...

    @property
    def query(self) -> str:
        """What is added to every query, encoded."""
        ...

    def dropped(self) -> bool:
        """The backend refused what was given last: whether another one can be had."""
        ...


class KeyAuthorizer:
    """With the account's key."""

    query = ""

    def __init__(self, account: str, key: bytes) -> None:
        self._account = account
        self._key = key

    async def headers(self, draft: Draft) -> dict[str, str]:
        text = string_to_sign(
            draft.method, account=self._account, path=draft.path, query=draft.query, headers=draft.headers
        )
        return {"authorization": authorization(self._account, self._key, text)}

    def dropped(self) -> bool:
        return False


class QueryAuthorizer:
    """With a shared access signature, or (empty) with nothing."""

    def __init__(self, query: str) -> None:
        self.query = query

    async def headers(self, draft: Draft) -> dict[str, str]:
        del draft
        return {}

    def dropped(self) -> bool:
        return False


class TokenAuthorizer:
    """With a bearer token that is renewed before it ends."""

    query = ""

    def __init__(self, tokens: Renewing[str]) -> None:
        self._tokens = tokens
        self._last: Lease[str] | None = None

    async def headers(self, draft: Draft) -> dict[str, str]:
        del draft
        self._last = await self._tokens.get()
        return {"authorization": f"Bearer {self._last.value}"}

    def dropped(self) -> bool:
        if self._last is None:
            return False
        self._tokens.drop(self._last)
        return True


def http_date(now: datetime) -> str:
    """RFC 9110's date, as ``x-ms-date`` has it."""
    return format_datetime(now, usegmt=True)
