"""Which URL a blob has: the account's endpoint, its path where an emulator has one, and how names are encoded into it.

Refuses endpoints with a query or credentials, and those of another account. The identity of an account in one of Azure's clouds is its
public name, whichever of its doors (private link, DNS zone, routing) is used; of every other endpoint it is host, port and path.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from stow.errors import InvalidSpecError
from stow.transport.urls import Parts, encode_key, netloc, parts_of

_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}")
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9_.~-]+)*")
_AZURE: Final = re.compile(
    r"(?P<account>[a-z0-9]+)(?:-[a-z0-9]+)*(?:\.privatelink)?(?:\.z\d+)?"
    r"\.blob\.(?P<cloud>core\.windows\.net|storage\.azure\.net|core\.chinacloudapi\.cn|core\.usgovcloudapi\.net)"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A parsed endpoint. ``host`` is in lower case, without a port; IPv6 addresses stand in brackets. ``path`` is empty or begins with
    a slash and does not end with one."""

    account: str
    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, endpoint: str | None, *, account: str) -> Endpoint:
        """Raises:
        InvalidSpecError: not ``http[s]://host[:port][/path]``, or another account's, or the account's name is none.
        """
        if not _ACCOUNT.fullmatch(account):
            raise InvalidSpecError("The account's name is malformed: it has 3 to 24 lower-case letters and digits.")
        if endpoint is None:
            return cls(account, "https", f"{account}.blob.core.windows.net", 443, "")
        parts = _parse(endpoint)
        azure = _AZURE.fullmatch(parts.host)
        if azure is not None and azure["account"] != account:
            raise InvalidSpecError("The endpoint belongs to another account than the one that is named.")
        return cls(account, parts.scheme, parts.host, parts.port, parts.path)

    @property
    def netloc(self) -> str:
        """``host[:port]``, the port only where it is not the scheme's own."""
        return netloc(self.scheme, self.host, self.port)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"

    @property
    def identity(self) -> str:
        azure = _AZURE.fullmatch(self.host)
        if azure is None:
            return f"abfs://{self.netloc}{self.path}"
        cloud = azure["cloud"].replace("storage.azure.net", "core.windows.net")
        return f"abfs://{self.account}.blob.{cloud}"

    def path_of(self, container: str, key: str) -> str:
        """The encoded path; an empty key is the container, an empty container the account."""
        if not container:
            return f"{self.path}/"
        return f"{self.path}/{container}/{encode_key(key)}" if key else f"{self.path}/{container}"


def encode_query(query: Sequence[tuple[str, str]]) -> str:
    """The query as it is sent, in the order that is given."""
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in query)


def _parse(endpoint: str) -> Parts:
    try:
        parts = parts_of(endpoint)
    except ValueError:
        parts = None
    if parts is None or not _PATH.fullmatch(parts.path):
        raise InvalidSpecError(
            "The endpoint is malformed: write http[s]://host[:port], with a path only where the account's name stands in it."
        )
    return parts
