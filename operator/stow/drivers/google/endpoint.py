"""Where Cloud Storage is, and how its two APIs name buckets and objects there.

Objects are read, looked at and deleted by the XML API, because its GET gives all metadata with the bytes and its errors tell a missing
bucket from a missing object. They are written, copied and listed by the JSON API, because JSON holds every key, and an upload there brings
all metadata, checksums and conditions in one request. A key is percent-encoded once and never normalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import quote

from yarl import URL

from stow.errors import InvalidSpecError
from stow.transport.urls import parts_of
from stow.transport.wire import Request

DEFAULT_ENDPOINT: Final = "https://storage.googleapis.com"
_GOOGLE: Final = ".googleapis.com"


@dataclass(frozen=True, slots=True)
class Located(Request):
    """A request whose URL is known. ``query`` is added to the URL's own."""

    url: URL = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A parsed endpoint: ``base`` has no path."""

    base: URL

    @classmethod
    def of(cls, text: str | None) -> Self:
        """Raises:
        InvalidSpecError: not ``http[s]://host[:port]``.
        """
        try:
            parts = parts_of(text if text is not None else DEFAULT_ENDPOINT)
        except ValueError:
            parts = None
        if parts is None or parts.path:
            raise InvalidSpecError("The endpoint is malformed: write http[s]://host[:port], without a path.")
        return cls(URL(parts.origin).origin())

    @property
    def host(self) -> str:
        return self.base.raw_host or ""

    @property
    def text(self) -> str:
        """Without a slash at its end."""
        return str(self.base).rstrip("/")

    @property
    def identity(self) -> str:
        """Bucket names are global at Google, so the host is all of it, and all of Google's hosts (regional, private, mTLS) are one."""
        if f".{self.host}".endswith(_GOOGLE):
            return f"gs://{URL(DEFAULT_ENDPOINT).host}"
        return f"gs://{self.text.partition('://')[2]}"

    def xml(self, bucket: str, key: str) -> URL:
        """An object in the XML API, path style. Slashes stay, as Google's SDK has them, but where somebody on the way could take the
        path for a folder's and tidy it up: then they are encoded too, which means the same ("Encoding URL path parts")."""
        segments = key.split("/")
        tidied = "" in segments[:-1] or not {".", ".."}.isdisjoint(segments)
        return self._at(f"/{quote(bucket, safe='')}/{quote(key, safe='~' if tidied else '/~')}")

    def bucket(self, bucket: str) -> URL:
        """A bucket in the JSON API."""
        return self._at(f"/storage/v1/b/{quote(bucket, safe='')}")

    def objects(self, bucket: str) -> URL:
        """A bucket's objects in the JSON API."""
        return self._at(f"/storage/v1/b/{quote(bucket, safe='')}/o")

    def uploads(self, bucket: str) -> URL:
        """Where objects are uploaded to."""
        return self._at(f"/upload/storage/v1/b/{quote(bucket, safe='')}/o")

    def rewrite(self, source: tuple[str, str], destination: tuple[str, str]) -> URL:
        """The copy of one object to another."""
        (from_bucket, from_key), (to_bucket, to_key) = source, destination
        return self._at(
            f"/storage/v1/b/{quote(from_bucket, safe='')}/o/{quote(from_key, safe='')}"
            f"/rewriteTo/b/{quote(to_bucket, safe='')}/o/{quote(to_key, safe='')}"
        )

    def _at(self, path: str) -> URL:
        return URL(self.text + path, encoded=True)


def with_query(url: URL, query: Sequence[tuple[str, str]]) -> URL:
    """The URL and more parameters, encoded once."""
    if not query:
        return url
    added = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    text = str(url)
    return URL(f"{text}{'&' if '?' in text else '?'}{added}", encoded=True)
