"""Who a location is towards its backend: its spec and Secret, turned into typed credentials or the error that its author reads. Pure.

Messages name keys and fields, never a value.
"""

from __future__ import annotations

from dataclasses import dataclass

from stow.api.backend import AmbientCredentials, AnonymousCredentials, Credentials, SecretCredentials
from stow.api.credentials import CredentialsProblem, S3AccessKey, s3_access_key
from stow.api.reasons import Reason
from stow.errors import (
    AmbientCredentialsForbiddenError,
    CredentialsInvalidError,
    CredentialsMissingError,
    UnsupportedCredentialTypeError,
)
from stow.kube.sources import SECRET, absence
from stow.reconcile.objects import ObjectRef
from stow.reconcile.ports import SecretData

SecretIdentity = S3AccessKey
Identity = SecretIdentity | AmbientCredentials | AnonymousCredentials


@dataclass(frozen=True, slots=True)
class Asker:
    """The location, and whether its kind may be the operator itself."""

    location: ObjectRef
    ambient_allowed: bool


def identity(asker: Asker, credentials: Credentials | None, secret: SecretData | None, *, field: str) -> Identity:
    """``field``: where in the spec these credentials stand.

    Raises:
        AmbientCredentialsForbiddenError, CredentialsMissingError, CredentialsInvalidError, UnsupportedCredentialTypeError.
    """
    match credentials:
        case SecretCredentials(secret_name=name):
            if secret is None:
                where = absence(asker.location, kind=SECRET, name=name, field=f"{field}.secretRef")
                raise CredentialsMissingError(where)
            return _taken(s3_access_key(secret.data), field=field)
        case AmbientCredentials() as ambient:
            if not asker.ambient_allowed:
                raise AmbientCredentialsForbiddenError(
                    f"A {asker.location.kind} may not use the operator's own credentials here: set {field}.secretRef, or "
                    "ask the platform team to allow ambient credentials."
                )
            return ambient
        case _:
            return AnonymousCredentials()


def _taken(found: SecretIdentity | CredentialsProblem, *, field: str) -> SecretIdentity:
    if not isinstance(found, CredentialsProblem):
        return found
    message = f"The credentials of {field}.secretRef cannot be used: {found.message}."
    if found.reason is Reason.UNSUPPORTED_CREDENTIAL_TYPE:
        raise UnsupportedCredentialTypeError(message)
    raise CredentialsInvalidError(message)
