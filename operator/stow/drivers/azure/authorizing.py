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

    def refused(self, authorization: str | None) -> None:
        """The backend does not take this header any more."""
        ...

    @property
    def renewable(self) -> bool:
        """Whether there can be another one."""
        ...


class KeyAuthorizer:
    """With the account's key."""

    query = ""
    renewable = False

    def __init__(self, account: str, key: bytes) -> None:
        self._account = account
        self._key = key

    async def headers(self, draft: Draft) -> dict[str, str]:
        text = string_to_sign(
            draft.method, account=self._account, path=draft.path, query=draft.query, headers=draft.headers
        )
        return {"authorization": authorization(self._account, self._key, text)}

    def refused(self, authorization: str | None) -> None:
        """There is no other."""


class QueryAuthorizer:
    """With a shared access signature, or (empty) with nothing."""

    renewable = False

    def __init__(self, query: str) -> None:
        self.query = query

    async def headers(self, draft: Draft) -> dict[str, str]:
        del draft
        return {}

    def refused(self, authorization: str | None) -> None:
        """There is no other."""


class TokenAuthorizer:
    """With a bearer token that is renewed before it ends."""

    query = ""
    renewable = True

    def __init__(self, tokens: Renewing[str]) -> None:
        self._tokens = tokens
        self._last: Lease[str] | None = None

    async def headers(self, draft: Draft) -> dict[str, str]:
        del draft
        self._last = await self._tokens.get()
        return {"authorization": _bearer(self._last)}

    def refused(self, authorization: str | None) -> None:
        """A newer token than the refused one stays: requests that were under way with the old one all come back."""
        if self._last is not None and authorization == _bearer(self._last):
            self._tokens.drop(self._last)


def _bearer(lease: Lease[str]) -> str:
    return f"Bearer {lease.value}"


def http_date(now: datetime) -> str:
    """RFC 9110's date, as ``x-ms-date`` has it."""
    return format_datetime(now, usegmt=True)
