"""Which Secrets the operator takes as S3 credentials: a closed list of keys, and nothing that points elsewhere.

Credentials in a Secret are data, never configuration. A key that names a file, URL, command, profile or role would let
the author of a Secret make the operator read its own disk, run a program or post to an address of that author's choice,
so it is refused, and so is every key that is not known. A problem names keys, never a value.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from stow.api.reasons import Reason

ACCESS_KEY_ID: Final = "AWS_ACCESS_KEY_ID"
SECRET_ACCESS_KEY: Final = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a key, not a secret
SESSION_TOKEN: Final = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a key, not a secret

S3_REQUIRED_KEYS: Final = (ACCESS_KEY_ID, SECRET_ACCESS_KEY)
S3_OPTIONAL_KEYS: Final = (SESSION_TOKEN,)
S3_KEYS: Final = S3_REQUIRED_KEYS + S3_OPTIONAL_KEYS

MAX_VALUE_BYTES: Final = {ACCESS_KEY_ID: 128, SECRET_ACCESS_KEY: 256, SESSION_TOKEN: 16_384}
"""AWS: access key IDs have at most 128 characters, secrets 40 today; session tokens have no fixed size, 4 KiB and up."""

_MAX_NAMED_KEYS: Final = 5

_INDIRECT_KEYS: Final = frozenset(
    {
        "aws_profile",
        "aws_default_profile",
        "aws_role_arn",
        "aws_role_session_name",
        "aws_config_file",
        "aws_shared_credentials_file",
        "aws_web_identity_token_file",
        "aws_credential_process",
        "aws_sdk_load_config",
        "aws_ca_bundle",
        "aws_data_path",
        "config",
        "credentials",
        "credential_process",
        "credential_source",
        "external_id",
        "profile",
        "role_arn",
        "role_session_name",
        "source_profile",
        "type",
        "web_identity_token_file",
    }
)
_INDIRECT_PREFIXES: Final = (
    "aws_container_",
    "aws_ec2_",
    "aws_endpoint",
    "aws_metadata_",
    "aws_sso_",
    "azure_",
    "boto_",
    "gcp_",
    "google_",
    "sso_",
)
_INDIRECT_SUFFIXES: Final = (
    "_arn",
    "_command",
    "_endpoint",
    "_file",
    "_path",
    "_process",
    "_profile",
    "_uri",
    "_url",
    ".ini",
    ".json",
    ".yaml",
    ".yml",
)


@dataclass(frozen=True, slots=True)
class S3AccessKey:
    """A plain access key. Its parts are left out of `repr`, so that a log line cannot hold them."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CredentialsProblem:
    """Why a Secret is not taken; `message` names keys only."""

    reason: Reason
    message: str


def decode_secret_data(raw: object) -> dict[str, bytes | None]:
    """The `data` of a Secret as the API server sends it (base64); None stands for a value that is not base64."""
    if not isinstance(raw, Mapping):
        return {}
    return {str(key): _decode(value) for key, value in raw.items()}


def _decode(value: object) -> bytes | None:
    if not isinstance(value, str):
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None


def s3_access_key(data: Mapping[str, bytes | None]) -> S3AccessKey | CredentialsProblem:
    """The access key in a Secret's decoded data, or the first thing that is wrong with it.

    Refused types come first, then unknown keys, then missing ones, then values.
    """
    problem = _refused_keys(data) or _missing_keys(data)
    if problem is not None:
        return problem
    values: dict[str, str] = {}
    for key in S3_KEYS:
        if key not in data:
            continue
        fault = _value_fault(data[key], MAX_VALUE_BYTES[key])
        if fault is not None:
            return CredentialsProblem(Reason.CREDENTIALS_INVALID, f"the value of {key} {fault}")
        values[key] = (data[key] or b"").decode("ascii")
    return S3AccessKey(values[ACCESS_KEY_ID], values[SECRET_ACCESS_KEY], values.get(SESSION_TOKEN))


def _refused_keys(data: Mapping[str, bytes | None]) -> CredentialsProblem | None:
    foreign = sorted(key for key in data if key not in S3_KEYS)
    indirect = [key for key in foreign if is_indirect(key)]
    if indirect:
        return CredentialsProblem(
            Reason.UNSUPPORTED_CREDENTIAL_TYPE,
            f"the Secret holds {_named(indirect)}, which points to a file, URL, command, profile, role or another"
            f" cloud; only plain access keys are taken: {', '.join(S3_KEYS)}",
        )
    if foreign:
        return CredentialsProblem(
            Reason.CREDENTIALS_INVALID,
            f"the Secret holds {_named(foreign)}, which is not known; remove it, only these are taken:"
            f" {', '.join(S3_KEYS)}",
        )
    return None


def _missing_keys(data: Mapping[str, bytes | None]) -> CredentialsProblem | None:
    missing = [key for key in S3_REQUIRED_KEYS if key not in data]
    if not missing:
        return None
    return CredentialsProblem(Reason.CREDENTIALS_INVALID, f"the Secret lacks the key {' and the key '.join(missing)}")


def is_indirect(key: str) -> bool:
    """Whether the name of a key says that it leads to a file, URL, command, profile, role or another cloud."""
    name = key.lower().replace("-", "_")
    return name in _INDIRECT_KEYS or name.startswith(_INDIRECT_PREFIXES) or name.endswith(_INDIRECT_SUFFIXES)


def _value_fault(value: bytes | None, max_bytes: int) -> str | None:
    """What is wrong with a value. Access keys and tokens are printable ASCII; anything else would end in a header."""
    if value is None:
        return "is not base64"
    if not value:
        return "is empty"
    if len(value) > max_bytes:
        return f"is longer than {max_bytes} bytes"
    if not value.strip():
        return "is only white space"
    if value[-1:] in b"\r\n":
        return "ends with a line break; write it without one, for instance with printf instead of echo"
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    if not all("!" <= each <= "~" for each in text):
        return "holds white space or characters that no access key has"
    return None


def _named(keys: Iterable[str]) -> str:
    """A few of the names; the API server allows only letters, digits, `-`, `_` and `.` in them."""
    named = list(keys)
    shown = ", ".join(key[:253] for key in named[:_MAX_NAMED_KEYS])
    more = len(named) - _MAX_NAMED_KEYS
    return f"the key {shown}" if len(named) == 1 else f"the keys {shown}" + (f" and {more} more" if more > 0 else "")
