"""Who a location is towards its backend: its spec and Secret, turned into typed credentials or the error that its author reads. Pure.

Messages name keys and fields, never a value.
"""

from __future__ import annotations

from dataclasses import dataclass

from stow.api.backend import AzureSpec, GoogleSpec, OracleSpec, RemoteBackend, S3Spec, SwiftSpec
from stow.api.credentials.azure import AzureSecret, azure_secret
from stow.api.credentials.google import GoogleServiceAccount, google_service_account
from stow.api.credentials.keys import CredentialsProblem, Data
from stow.api.credentials.s3 import S3AccessKey, oracle_access_key, s3_access_key
from stow.api.credentials.swift import SwiftSecret, swift_secret
from stow.api.principal import AmbientCredentials, AnonymousCredentials, Credentials, SecretCredentials
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

SecretIdentity = S3AccessKey | GoogleServiceAccount | AzureSecret | SwiftSecret
Identity = SecretIdentity | AmbientCredentials | AnonymousCredentials


@dataclass(frozen=True, slots=True)
class Asker:
    """The location, and whether its kind may be the operator itself."""

    location: ObjectRef
    ambient_allowed: bool


def identity(
    asker: Asker, backend: RemoteBackend, credentials: Credentials | None, secret: SecretData | None, *, field: str
) -> Identity:
    """``field``: where in the spec these credentials stand.

    Raises:
        AmbientCredentialsForbiddenError, CredentialsMissingError, CredentialsInvalidError, UnsupportedCredentialTypeError.
    """
    match credentials:
        case SecretCredentials(secret_name=name):
            if secret is None:
                where = absence(asker.location, kind=SECRET, name=name, field=f"{field}.secretRef")
                raise CredentialsMissingError(where)
            return _taken(backend, secret.data, field=field)
        case AmbientCredentials() as ambient:
            if not asker.ambient_allowed:
                raise AmbientCredentialsForbiddenError(
                    f"A {asker.location.kind} may not use the operator's own credentials here: set {field}.secretRef, or "
                    "ask the platform team to allow ambient credentials."
                )
            return ambient
        case _:
            return AnonymousCredentials()


def _parsed(backend: RemoteBackend, data: Data) -> SecretIdentity:
    match backend:
        case S3Spec():
            return s3_access_key(data)
        case GoogleSpec():
            return google_service_account(data)
        case AzureSpec(account=account):
            return azure_secret(data, account=account)
        case SwiftSpec():
            return swift_secret(data, is_v1=backend.is_v1)
        case OracleSpec():
            return oracle_access_key(data)


def _taken(backend: RemoteBackend, data: Data, *, field: str) -> SecretIdentity:
    try:
        return _parsed(backend, data)
    except CredentialsProblem as problem:
        found = problem
    # Not within the handler: an error that is kept must not keep the frames in which the values were looked at.
    message = f"The credentials of {field}.secretRef cannot be used: {found.message}."
    if found.reason is Reason.UNSUPPORTED_CREDENTIAL_TYPE:
        raise UnsupportedCredentialTypeError(message)
    raise CredentialsInvalidError(message)
