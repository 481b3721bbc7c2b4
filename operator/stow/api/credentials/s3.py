"""Access keys of S3, and Oracle's customer secret keys, which have the same form and no session token."""

from dataclasses import dataclass, field
from typing import Final

from stow.api.credentials.keys import Data, KeyList, Value, require, token_fault

ACCESS_KEY_ID: Final = "AWS_ACCESS_KEY_ID"
SECRET_ACCESS_KEY: Final = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a key, not a secret
SESSION_TOKEN: Final = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a key, not a secret

REQUIRED_KEYS: Final = (ACCESS_KEY_ID, SECRET_ACCESS_KEY)
OPTIONAL_KEYS: Final = (SESSION_TOKEN,)

# AWS: access key IDs have at most 128 characters, secrets 40 today; session tokens have no fixed size, 4 KiB and up.
_PAIR: Final = {ACCESS_KEY_ID: Value(128, token_fault), SECRET_ACCESS_KEY: Value(256, token_fault)}
S3_KEYS: Final = KeyList({**_PAIR, SESSION_TOKEN: Value(16_384, token_fault)}, "plain access keys")
ORACLE_KEYS: Final = KeyList(_PAIR, "customer secret keys")


@dataclass(frozen=True, slots=True)
class S3AccessKey:
    """A plain access key. Its parts are left out of `repr`, so that a log line cannot hold them."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def s3_access_key(data: Data) -> S3AccessKey:
    """The access key in a Secret. Raises: CredentialsProblem."""
    return _access_key(S3_KEYS, data)


def oracle_access_key(data: Data) -> S3AccessKey:
    """The customer secret key in a Secret. Raises: CredentialsProblem."""
    return _access_key(ORACLE_KEYS, data)


def _access_key(keys: KeyList, data: Data) -> S3AccessKey:
    keys.refuse_others(data)
    require(data, REQUIRED_KEYS)
    return S3AccessKey(
        keys.text(data, ACCESS_KEY_ID), keys.text(data, SECRET_ACCESS_KEY), keys.optional_text(data, SESSION_TOKEN)
    )
