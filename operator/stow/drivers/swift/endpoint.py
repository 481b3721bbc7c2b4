"""Where tokens are had, where objects are, and which account that is.

The identity of an account is the host that gives the tokens, and what a token of it says: the project's id and the region of the catalog.
So a project's name and its id, and a region that is named and one that is the first, are the same account; before the first token it is
what the configuration says. V1: the account that the user's name begins with; anonymous: the storage URL. Neither user, key, application
credential nor interface is part of it, so that rotating one changes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from yarl import URL

from stow.drivers.swift.config import Anonymous, AuthVersion, SwiftConfig, V1User
from stow.errors import BackendFailedError, InvalidSpecError
from stow.transport.urls import parts_of

_V1_PATH: Final = re.compile(r".*/v1(\.0)?/?")
_VERSION: Final = re.compile(r"/v1(\.0)?(/.*)?$")


@dataclass(frozen=True, slots=True)
class StorageURL:
    """The URL of an account: ``origin`` (``http[s]://host[:port]``) and ``path``, encoded, without a slash at its end."""

    origin: str
    path: str

    @property
    def plain_path(self) -> str:
        """Decoded: what TempURLs are signed over."""
        return unquote(self.path)

    @property
    def info_url(self) -> URL:
        """Where Swift tells its limits to everybody: beside the version that begins the account's path."""
        return URL(f"{self.origin}{_VERSION.sub('', self.path)}/info", encoded=True)

    def url(self, container: str, key: str, query: str = "") -> URL:
        return URL(f"{self.origin}{self.path}{encoded(container, key)}{'?' + query if query else ''}", encoded=True)


def encoded(container: str, key: str) -> str:
    """``/container/key`` of a URL; the key's slashes stay, and all else that is not unreserved is percent-encoded."""
    return "".join(f"/{quote(part, safe='/')}" for part in (container, key) if part)


def storage_url(text: str) -> StorageURL:
    """Of a catalog or an ``X-Storage-Url``. Raises: BackendFailedError: not a plain http or https URL with a path."""
    try:
        parts = parts_of(text)
    except ValueError:
        raise BackendFailedError("The storage URL that the authentication names is malformed.") from None
    return StorageURL(parts.origin, parts.path)


@dataclass(frozen=True, slots=True)
class Account:
    """The account of a configuration, as far as that tells. ``version=None``: no authentication.

    ``identity`` is final but for V3, where a token has the last word (:meth:`told`).
    """

    auth_url: str
    version: AuthVersion | None
    identity: str

    @property
    def host(self) -> str:
        return URL(self.auth_url, encoded=True).raw_host or ""

    def told(self, *, region: str | None, project_id: str) -> str:
        """The identity by what a token of Keystone says."""
        return f"sw://{self.auth_url.split('/', 3)[2]}/{_segment(region or '')}/projects/{_segment(project_id)}"

    @classmethod
    def of(cls, config: SwiftConfig) -> Account:
        """Raises:
        InvalidSpecError: the URL is malformed, credentials and version do not belong together, or the project is missing.
        """
        try:
            parts = parts_of(config.auth_url)
        except ValueError:
            raise InvalidSpecError(
                "The auth URL is malformed: write http[s]://host[:port]/path, without a query or credentials."
            ) from None
        start = f"sw://{parts.netloc}"
        if isinstance(config.credentials, Anonymous):
            if not parts.path:
                raise InvalidSpecError(
                    "An anonymous location needs the storage URL of an account as its auth URL, such as https://host/v1/AUTH_name."
                )
            return cls(parts.origin + parts.path, None, start + parts.path)
        version = config.auth_version
        if version is AuthVersion.AUTO:
            version = AuthVersion.V1 if _V1_PATH.fullmatch(parts.path) else AuthVersion.V3
        if (version is AuthVersion.V1) != isinstance(config.credentials, V1User):
            raise InvalidSpecError(
                f"These credentials do not belong to authentication version {version}: V1 needs a user and a key, "
                "V3 a password or an application credential."
            )
        if isinstance(config.credentials, V1User):
            if config.region or config.project_name or config.project_id:
                raise InvalidSpecError(
                    "Version 1 of the authentication knows neither regions nor projects: leave them out."
                )
            account = config.credentials.user.partition(":")[0]
            return cls(parts.origin + parts.path, version, f"{start}/accounts/{_segment(account)}")
        return cls(parts.origin + parts.path, version, f"{start}/{_segment(config.region or '')}/{_project(config)}")


def presign_origin(endpoint: str) -> str:
    """Raises:
    InvalidSpecError: malformed.
    """
    try:
        parts = parts_of(endpoint)
    except ValueError:
        raise InvalidSpecError("The endpoint of signed URLs is malformed: write http[s]://host[:port].") from None
    return parts.origin + parts.path


def _project(config: SwiftConfig) -> str:
    if config.project_id:
        return f"projects/{_segment(config.project_id)}"
    if config.project_name:
        return f"domains/{_segment(config.project_domain_name)}/projects/{_segment(config.project_name)}"
    raise InvalidSpecError("Say whose containers these are: projectID, or projectName, is missing.")


def _segment(text: str) -> str:
    return quote(text, safe="") or "-"
