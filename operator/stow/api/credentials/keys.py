"""What the closed lists of all kinds have in common: which keys of a Secret are taken, and which are refused and why.

Credentials in a Secret are data, never configuration. A key that names a file, URL, command, profile or role would let the author of a
Secret make the operator read its own disk, run a program or post to an address of that author's choice, so it is refused, and so is every
key that is not known. A problem names keys, never a value.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from stow.api.reasons import Reason

Data = Mapping[str, bytes | None]
"""The decoded `data` of a Secret; None stands for a value that is not base64."""

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
        "clouds.yaml",
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
    "oci_",
    "os_",
    "sso_",
    "swift_",
)
"""Of a kind's own keys only those that are not on its list: what else its SDK would read is configuration."""
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


class CredentialsProblem(Exception):
    """Why a Secret is not taken; `message` names keys only, and continues a sentence."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def invalid(message: str) -> CredentialsProblem:
    """A key or value that is wrong."""
    return CredentialsProblem(Reason.CREDENTIALS_INVALID, message)


def unsupported(message: str) -> CredentialsProblem:
    """Something that leads elsewhere."""
    return CredentialsProblem(Reason.UNSUPPORTED_CREDENTIAL_TYPE, message)


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


@dataclass(frozen=True, slots=True)
class Value:
    """What the value of one key may be. `fault` says what is wrong with its text, None where nothing is."""

    max_bytes: int
    fault: Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class KeyList:
    """The closed list of one kind. `taken`: what it is in words, such as "plain access keys"."""

    values: Mapping[str, Value]
    taken: str

    def refuse_others(self, data: Data) -> None:
        """Refused types come first, then unknown keys. Raises: CredentialsProblem."""
        foreign = sorted(key for key in data if key not in self.values)
        indirect = [key for key in foreign if is_indirect(key)]
        known = ", ".join(self.values)
        if indirect:
            raise unsupported(
                f"the Secret holds {named(indirect)}, which points to a file, URL, command, profile, role or another"
                f" cloud; only {self.taken} are taken: {known}"
            )
        if foreign:
            raise invalid(
                f"the Secret holds {named(foreign)}, which is not known; remove it, only these are taken: {known}"
            )

    def text(self, data: Data, key: str) -> str:
        """The value of a key that is there. Raises: CredentialsProblem."""
        value = self.values[key]
        raw = data[key]
        fault = _bytes_fault(raw, value.max_bytes)
        text = (raw or b"").decode("utf-8", errors="ignore")
        fault = fault or value.fault(text)
        if fault is not None:
            raise invalid(f"the value of {key} {fault}")
        return text

    def optional_text(self, data: Data, key: str) -> str | None:
        """The same, None where the key is absent."""
        return self.text(data, key) if key in data else None


def require(data: Data, keys: Iterable[str]) -> None:
    """Raises: CredentialsProblem, which names the keys that are absent."""
    missing = [key for key in keys if key not in data]
    if missing:
        raise invalid(f"the Secret lacks the key {' and the key '.join(missing)}")


def one_set(data: Data, sets: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The one of these sets of keys that is there, whole. Raises: CredentialsProblem."""
    offered = tuple(sets)
    begun = [keys for keys in offered if any(key in data for key in keys)]
    choice = ", or ".join(" and ".join(keys) for keys in offered)
    if not begun:
        raise invalid(f"the Secret holds no credentials; it needs {choice}")
    if len(begun) > 1:
        raise invalid(f"the Secret holds keys of more than one kind of credentials; leave {choice}")
    require(data, begun[0])
    return begun[0]


def is_indirect(key: str) -> bool:
    """Whether the name of a key says that it leads to a file, URL, command, profile, role or another cloud."""
    name = key.lower().replace("-", "_")
    return name in _INDIRECT_KEYS or name.startswith(_INDIRECT_PREFIXES) or name.endswith(_INDIRECT_SUFFIXES)


def _bytes_fault(value: bytes | None, max_bytes: int) -> str | None:
    if value is None:
        return "is not base64"
    if not value:
        return "is empty"
    if len(value) > max_bytes:
        return f"is longer than {max_bytes} bytes"
    if not value.strip():
        return "is only white space"
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    return None


def line_fault(text: str) -> str | None:
    """A line break at the end, which no credentials have and every editor adds."""
    if text.endswith(("\r", "\n")):
        return "ends with a line break; write it without one, for instance with printf instead of echo"
    return None


def token_fault(text: str) -> str | None:
    """Keys and tokens are printable ASCII without spaces; anything else would end in a header."""
    if not all("!" <= each <= "~" for each in text):
        return line_fault(text) or "holds white space or characters that no access key has"
    return None


def header_fault(text: str) -> str | None:
    """What can stand in a header as it is: printable ASCII, spaces inside."""
    if not all(" " <= each <= "~" for each in text) or text != text.strip():
        return line_fault(text) or "holds characters that cannot stand in a header"
    return None


def password_fault(text: str) -> str | None:
    """What people choose: any printable text."""
    if not text.isprintable():
        return line_fault(text) or "holds control characters"
    return None


def named(keys: Iterable[str]) -> str:
    """A few of the names; the API server allows only letters, digits, `-`, `_` and `.` in them."""
    all_keys = list(keys)
    shown = ", ".join(key[:253] for key in all_keys[:_MAX_NAMED_KEYS])
    more = len(all_keys) - _MAX_NAMED_KEYS
    return f"the key {shown}" if len(all_keys) == 1 else f"the keys {shown}" + (f" and {more} more" if more > 0 else "")
