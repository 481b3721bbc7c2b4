"""Azure's credentials: an account key, a SAS token, or a service principal with a secret.

Refuses connection strings, which name endpoints, and everything that Azure's SDK would take from a file or another authority: certificates,
federated tokens, authority hosts.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from stow.api.credentials.keys import Data, KeyList, Value, invalid, line_fault, one_set, token_fault

ACCOUNT: Final = "AZURE_STORAGE_ACCOUNT"
ACCOUNT_KEY: Final = "AZURE_STORAGE_KEY"
SAS_TOKEN: Final = "AZURE_STORAGE_SAS_TOKEN"  # noqa: S105 - the name of a key, not a secret
TENANT_ID: Final = "AZURE_TENANT_ID"
CLIENT_ID: Final = "AZURE_CLIENT_ID"
CLIENT_SECRET: Final = "AZURE_CLIENT_SECRET"  # noqa: S105 - the name of a key, not a secret

SETS: Final = ((ACCOUNT_KEY,), (SAS_TOKEN,), (TENANT_ID, CLIENT_ID, CLIENT_SECRET))

_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)
_TENANT: Final = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*", re.ASCII
)
_SAS: Final = re.compile(r"\??[A-Za-z]{2,32}=[A-Za-z0-9%._~:+/,=-]*(&[A-Za-z]{2,32}=[A-Za-z0-9%._~:+/,=-]*)*", re.ASCII)
_MIN_KEY_BYTES: Final = 16
"""Azure's own have 64; an emulator's may be shorter."""


@dataclass(frozen=True, slots=True)
class AzureAccountKey:
    """The key of the whole account, in base64 as Azure gives it out."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AzureSASToken:
    """A shared access signature as a query, without a leading `?`."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AzureClientSecret:
    """A service principal of Microsoft Entra ID."""

    tenant_id: str
    client_id: str
    client_secret: str = field(repr=False)


AzureSecret = AzureAccountKey | AzureSASToken | AzureClientSecret


def azure_secret(data: Data, *, account: str) -> AzureSecret:
    """The credentials in a Secret. `account` is the location's, which the Secret may repeat. Raises: CredentialsProblem."""
    AZURE_KEYS.refuse_others(data)
    chosen = one_set(data, SETS)
    if ACCOUNT in data and AZURE_KEYS.text(data, ACCOUNT) != account:
        raise invalid(f"the value of {ACCOUNT} is not the account of spec.azure.account")
    values = [AZURE_KEYS.text(data, key) for key in chosen]
    if chosen == (ACCOUNT_KEY,):
        return AzureAccountKey(values[0])
    if chosen == (SAS_TOKEN,):
        return AzureSASToken(values[0].removeprefix("?"))
    return AzureClientSecret(*values)


def _key_fault(text: str) -> str | None:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    return None if len(key) >= _MIN_KEY_BYTES else line_fault(text) or "is no account key, which is base64"


def _sas_fault(text: str) -> str | None:
    if _SAS.fullmatch(text) is None:
        return line_fault(text) or "is no SAS token such as sv=...&sig=..., without a URL before it"
    names = [name for name, _ in parse_qsl(text.removeprefix("?"), keep_blank_values=True)]
    if len(set(names)) != len(names):
        return "holds a parameter twice"
    return None if {"sv", "sig"} <= set(names) else "is no SAS token: it lacks sv or sig"


def _tenant_fault(text: str) -> str | None:
    return None if _TENANT.fullmatch(text) else line_fault(text) or "is neither an ID nor a domain of a tenant"


def _client_fault(text: str) -> str | None:
    return None if _UUID.fullmatch(text) else line_fault(text) or "is no ID of an application"


AZURE_KEYS: Final = KeyList(
    {
        ACCOUNT_KEY: Value(256, _key_fault),
        SAS_TOKEN: Value(4096, _sas_fault),
        TENANT_ID: Value(253, _tenant_fault),
        CLIENT_ID: Value(36, _client_fault),
        CLIENT_SECRET: Value(512, token_fault),
        ACCOUNT: Value(24, token_fault),
    },
    "an account key, a SAS token, or a tenant, client and secret",
)
