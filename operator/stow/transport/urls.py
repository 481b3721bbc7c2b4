"""Backends' URLs: an endpoint taken apart, put together again, and keys encoded into a path once.

An endpoint is ``http[s]://host[:port][/path]`` and nothing else: who writes a query, a fragment or credentials into it means something
that no driver does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from yarl import URL

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Parts:
    """``host`` is IDNA-encoded, in lower case, without a dot at its end; IPv6 addresses stand in brackets. ``path`` is encoded, and empty
    or begins with a slash and does not end with one."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def netloc(self) -> str:
        return netloc(self.scheme, self.host, self.port)

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.netloc}"


def parts_of(endpoint: str) -> Parts:
    """Raises:
    ValueError: not such a URL.
    """
    url = URL(endpoint)
    host, port = url.raw_host, url.port
    if url.scheme not in _DEFAULT_PORTS or not host or port is None or url.raw_user or url.raw_password:
        raise ValueError("not http[s]://host[:port]")
    if url.raw_query_string or url.raw_fragment or any(c.isspace() or ord(c) < 0x20 for c in endpoint):
        raise ValueError("a query, a fragment or white space")
    host = host.lower().rstrip(".")
    return Parts(url.scheme, f"[{host}]" if ":" in host else host, port, url.raw_path.rstrip("/"))


def netloc(scheme: str, host: str, port: int) -> str:
    """``host[:port]``, the port only where it is not the scheme's own."""
    return host if port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"


def encode_key(key: str) -> str:
    """Percent-encode all but unreserved characters and the slash, once."""
    return quote(key, safe="/~")
