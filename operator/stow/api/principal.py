"""Who a location is towards its backend: the union `credentials`, and that of `signedURL`.

`ambient` is only named here: whether a kind of location may use it is the operator's setting.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from stow.api.backend import Backend, LocalSpec, SwiftSpec
from stow.api.fields import Fields
from stow.api.names import DNS_SUBDOMAIN


@dataclass(frozen=True, slots=True)
class SecretCredentials:
    """A Secret in the location's own namespace, or in the operator's for a ClusterStowLocation."""

    secret_name: str


@dataclass(frozen=True, slots=True)
class AmbientCredentials:
    """What the operator's own environment offers (workload identity, instance role)."""


@dataclass(frozen=True, slots=True)
class AnonymousCredentials:
    """Unsigned requests."""


Credentials = SecretCredentials | AmbientCredentials | AnonymousCredentials

MEMBERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "s3": ("secretRef", "ambient", "anonymous"),
        "google": ("secretRef", "ambient", "anonymous"),
        "azure": ("secretRef", "ambient", "anonymous"),
        "swift": ("secretRef", "anonymous"),
        "oracle": ("secretRef",),
    }
)
"""What each kind of backend takes. A local one takes none, and Oracle and Swift have no chain of ambient credentials."""


def credentials_of(spec: Fields, backend: Backend) -> Credentials | None:
    """The one member of `credentials`, None for a local backend, which takes none. Raises: InvalidSpecError."""
    if isinstance(backend, LocalSpec):
        if spec.has("credentials"):
            raise spec.error("credentials", "must be absent: a local location takes none")
        return None
    taken = MEMBERS[backend.member]
    if not spec.has("credentials"):
        raise spec.error("credentials", f"is required: one of {', '.join(taken)}")
    found = _one_of(spec, taken)
    if isinstance(backend, SwiftSpec):
        _check_swift(spec, backend, found)
    return found


def _check_swift(spec: Fields, backend: SwiftSpec, credentials: Credentials) -> None:
    """Keystone gives a token for one project; without a token the URL itself has to name the account, and nobody can authenticate there."""
    swift = spec.child("swift")
    if isinstance(credentials, AnonymousCredentials):
        if spec.child("signedURL").has("credentials"):
            raise spec.error(
                "signedURL.credentials", "must be absent: nobody can sign at an anonymous location of Swift"
            )
        if not urlsplit(backend.auth_url).path:
            raise swift.error("authURL", "must be the storage URL of an account, such as https://host/v1/AUTH_name")
    elif not backend.is_v1 and backend.project_name is None and backend.project_id is None:
        raise swift.error("projectName", "is required with Keystone, unless projectID is there")


def signing_credentials_of(signed_url: Fields, backend: Backend) -> Credentials | None:
    """The one member of `signedURL.credentials`; None where the location's own credentials sign. Raises: InvalidSpecError."""
    if not signed_url.has("credentials"):
        return None
    if isinstance(backend, LocalSpec):
        raise signed_url.error("credentials", "must be absent: a local location signs with the operator's keys")
    if signed_url.child("credentials").has("anonymous"):
        raise signed_url.error("credentials", "must not be anonymous, which signs nothing")
    return _one_of(signed_url, tuple(each for each in MEMBERS[backend.member] if each != "anonymous"))


def _one_of(fields: Fields, taken: tuple[str, ...]) -> Credentials:
    raw = fields.child("credentials")
    given = [key for key in ("secretRef", "ambient", "anonymous") if raw.has(key)]
    if len(given) != 1 or given[0] not in taken:
        raise fields.error("credentials", f"must have exactly one member, of {', '.join(taken)}")
    member = raw.child(given[0])
    if given[0] == "secretRef":
        return SecretCredentials(secret_name=member.text("name", pattern=DNS_SUBDOMAIN))
    return AmbientCredentials() if given[0] == "ambient" else AnonymousCredentials()
