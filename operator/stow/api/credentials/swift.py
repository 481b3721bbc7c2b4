"""Swift's credentials: a user's password or an application credential for Keystone (V3), a user and key for Swift's own (V1).

Beside either stands the key of temporary URLs, without which nothing is signed. Where to ask, for which project and in which region is the
location's spec: what OpenStack's clients take from `OS_AUTH_URL`, `OS_CLOUD` and the like is configuration and refused.
"""

from dataclasses import dataclass, field
from typing import Final

from stow.api.credentials.keys import Data, KeyList, Value, header_fault, invalid, one_set, password_fault, token_fault

USERNAME: Final = "OS_USERNAME"
PASSWORD: Final = "OS_PASSWORD"  # noqa: S105 - the name of a key, not a secret
APPLICATION_ID: Final = "OS_APPLICATION_CREDENTIAL_ID"
APPLICATION_SECRET: Final = "OS_APPLICATION_CREDENTIAL_SECRET"  # noqa: S105 - the name of a key, not a secret
V1_USER: Final = "ST_USER"
V1_KEY: Final = "ST_KEY"
TEMP_URL_KEY: Final = "SWIFT_TEMP_URL_KEY"

V1_SETS: Final = ((V1_USER, V1_KEY),)
V3_SETS: Final = ((USERNAME, PASSWORD), (APPLICATION_ID, APPLICATION_SECRET))

SWIFT_KEYS: Final = KeyList(
    {
        USERNAME: Value(255, password_fault),
        PASSWORD: Value(1024, password_fault),
        APPLICATION_ID: Value(64, token_fault),
        APPLICATION_SECRET: Value(255, token_fault),
        V1_USER: Value(255, header_fault),
        V1_KEY: Value(1024, header_fault),
        TEMP_URL_KEY: Value(256, header_fault),
    },
    "names and passwords",
)


@dataclass(frozen=True, slots=True)
class SwiftPassword:
    """A user of Keystone."""

    username: str = field(repr=False)
    password: str = field(repr=False)
    temp_url_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SwiftApplicationCredential:
    """An application credential of Keystone, which belongs to one project."""

    id: str
    secret: str = field(repr=False)
    temp_url_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SwiftV1Key:
    """A user of Swift's own authentication, such as `account:user`."""

    user: str = field(repr=False)
    key: str = field(repr=False)
    temp_url_key: str | None = field(default=None, repr=False)


SwiftSecret = SwiftPassword | SwiftApplicationCredential | SwiftV1Key


def swift_secret(data: Data, *, is_v1: bool) -> SwiftSecret:
    """The credentials in a Secret, for the version of authentication that the location has. Raises: CredentialsProblem."""
    SWIFT_KEYS.refuse_others(data)
    wanted, other = (V1_SETS, V3_SETS) if is_v1 else (V3_SETS, V1_SETS)
    misplaced = [key for keys in other for key in keys if key in data]
    if misplaced:
        mine, theirs = ("V1", "V3") if is_v1 else ("V3", "V1")
        raise invalid(
            f"the Secret holds {misplaced[0]}, which is for authVersion {theirs}, and the location's is {mine}; it needs "
            + ", or ".join(" and ".join(keys) for keys in wanted)
        )
    first, second = (SWIFT_KEYS.text(data, key) for key in one_set(data, wanted))
    temp_url_key = SWIFT_KEYS.optional_text(data, TEMP_URL_KEY)
    if is_v1:
        return SwiftV1Key(first, second, temp_url_key)
    if APPLICATION_ID in data:
        return SwiftApplicationCredential(first, second, temp_url_key)
    return SwiftPassword(first, second, temp_url_key)
