"""How a Swift driver is set up. Data only; secrets never show in a repr."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from enum import StrEnum

from stow.storage.egress import EgressPolicy
from stow.transport.deadlines import Deadlines


class AuthVersion(StrEnum):
    """How a token is had. Auto is V1 where the URL's path ends in ``/v1`` or ``/v1.0``, else V3."""

    AUTO = "Auto"
    V1 = "V1"
    V3 = "V3"


class Interface(StrEnum):
    """Which of the catalog's endpoints is used (V3)."""

    PUBLIC = "public"
    INTERNAL = "internal"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class V1User:
    """A user of Swift's own authentication, usually ``account:user``."""

    user: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Password:
    """A user of Keystone, in ``user_domain_name`` of the configuration."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApplicationCredential:
    """An application credential of Keystone. It belongs to one project, which the configuration has to name all the same."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Requests without a token, to containers that everybody may read. ``auth_url`` is then the storage URL of their account."""


Credentials = V1User | Password | ApplicationCredential | Anonymous


@dataclass(frozen=True, slots=True)
class SwiftConfig:
    """One account of one Swift. ``auth_url`` is where tokens are had; anonymous: the storage URL itself.

    ``temp_url_key`` is a key that somebody with the right to do so has set on the account or its containers
    (``X-Account-Meta-Temp-URL-Key``); without it nothing is signed. ``region``, the projects and ``interface`` are Keystone's, and so
    without a meaning for V1.
    """

    auth_url: str
    credentials: Credentials
    auth_version: AuthVersion = AuthVersion.AUTO
    temp_url_key: str | None = field(default=None, repr=False)
    region: str | None = None
    project_name: str | None = None
    project_id: str | None = None
    project_domain_name: str = "Default"
    user_domain_name: str = "Default"
    interface: Interface = Interface.PUBLIC
    presign_endpoint: str | None = None
    """Base of signed URLs where clients reach Swift under another name."""
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    deadlines: Deadlines = field(default_factory=Deadlines)
    ssl_context: ssl.SSLContext | None = None
    """Trust of a private CA; None is the system's trust."""
    max_connections: int = 100
    sdk_threads: int = 4
