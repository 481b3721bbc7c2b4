"""Credentials in a Secret are data, never configuration, and no message holds a value."""

import base64

import pytest

from stow.api.credentials.keys import CredentialsProblem, decode_secret_data
from stow.api.credentials.s3 import S3_KEYS, S3AccessKey, oracle_access_key, s3_access_key
from stow.api.reasons import Reason

CANARY = "CANARYsecretVALUE"
GOOD: dict[str, bytes | None] = {
    "AWS_ACCESS_KEY_ID": b"AKIA" + CANARY.encode(),
    "AWS_SECRET_ACCESS_KEY": CANARY.encode(),
}


def problem(data: dict[str, bytes | None]) -> CredentialsProblem:
    with pytest.raises(CredentialsProblem) as raised:
        s3_access_key(data)
    assert CANARY not in raised.value.message
    return raised.value


def test_a_plain_access_key_is_taken() -> None:
    assert s3_access_key(GOOD) == S3AccessKey("AKIA" + CANARY, CANARY)


def test_a_session_token_is_taken() -> None:
    assert s3_access_key(GOOD | {"AWS_SESSION_TOKEN": b"abc/+="}) == S3AccessKey("AKIA" + CANARY, CANARY, "abc/+=")


def test_an_access_key_does_not_print_itself() -> None:
    assert CANARY not in repr(s3_access_key(GOOD | {"AWS_SESSION_TOKEN": CANARY.encode()}))


@pytest.mark.parametrize(
    "key",
    [
        "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONFIG_FILE", "AWS_PROFILE",
        "AWS_SHARED_CREDENTIALS_FILE", "AWS_DEFAULT_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE", "AWS_SSO_START_URL", "AWS_CREDENTIAL_PROCESS", "BOTO_CONFIG",
        "credential_process", "credential_source", "source_profile", "role_arn", "web_identity_token_file", "sso_session",
        "config", "credentials", "credentials.json", "type", "token_uri", "token_url", "my-command",
        "GOOGLE_APPLICATION_CREDENTIALS", "GCP_KEY", "AZURE_CLIENT_ID", "AZURE_STORAGE_KEY", "aws_role_arn", "Aws_Profile",
    ],
)  # fmt: skip
def test_what_points_elsewhere_is_an_unsupported_type(key: str) -> None:
    """Also beside a whole access key: an SDK would take the role and leave the key."""
    found = problem(GOOD | {key: CANARY.encode()})

    assert found.reason == Reason.UNSUPPORTED_CREDENTIAL_TYPE
    assert f"the key {key}," in found.message


@pytest.mark.parametrize("key", ["AWS_REGION", "password", "aws_access_key_id", "AWS_SECRET_ACCESS_KEY2", "bucket"])
def test_an_unknown_key_is_refused_by_name(key: str) -> None:
    found = problem(GOOD | {key: CANARY.encode()})

    assert found.reason == Reason.CREDENTIALS_INVALID
    assert f"the key {key}, which is not known" in found.message
    assert all(known in found.message for known in S3_KEYS.values)


def test_of_many_unknown_keys_a_few_are_named() -> None:
    message = problem(GOOD | {f"k{at}": b"" for at in range(100)}).message

    assert "the keys k0, k1, k10, k11, k12 and 95 more" in message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "the Secret lacks the key AWS_ACCESS_KEY_ID and the key AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": b"a"}, "the Secret lacks the key AWS_SECRET_ACCESS_KEY"),
        ({"AWS_SECRET_ACCESS_KEY": b"a"}, "the Secret lacks the key AWS_ACCESS_KEY_ID"),
        ({"AWS_SESSION_TOKEN": b"a"}, "the Secret lacks the key AWS_ACCESS_KEY_ID and the key AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_missing_key_is_named(data: dict[str, bytes | None], message: str) -> None:
    found = problem(data)

    assert (found.reason, found.message) == (Reason.CREDENTIALS_INVALID, message)


C = CANARY.encode()


@pytest.mark.parametrize("key", S3_KEYS.values)
@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (None, "is not base64"),
        (b"", "is empty"),
        (b" \t\n ", "is only white space"),
        (C + b"\n", "ends with a line break"),
        (C + b"\r\n", "ends with a line break"),
        (C + b"\xff", "is not UTF-8 text"),
        (b" " + C, "holds white space or characters that no access key has"),
        (C + b"\nX-Injected: 1", "holds white space or characters"),
        (C + b"\0", "holds white space or characters"),
        (C + b"\x7f", "holds white space or characters"),
        ("ü".encode() + C, "holds white space or characters"),
        (C * 2000, "is longer than"),
    ],
)
def test_a_value_that_cannot_be_right_is_named_by_its_key(key: str, value: bytes | None, fault: str) -> None:
    found = problem(GOOD | {key: value})

    assert found.reason == Reason.CREDENTIALS_INVALID
    assert found.message.startswith(f"the value of {key} {fault}")


@pytest.mark.parametrize("key", S3_KEYS.values)
def test_the_longest_value_is_taken(key: str) -> None:
    assert isinstance(s3_access_key(GOOD | {key: b"a" * S3_KEYS.values[key].max_bytes}), S3AccessKey)


def test_oracle_has_the_same_keys_without_a_session_token() -> None:
    assert oracle_access_key(GOOD) == S3AccessKey("AKIA" + CANARY, CANARY)
    with pytest.raises(CredentialsProblem, match="the key AWS_SESSION_TOKEN, which is not known"):
        oracle_access_key(GOOD | {"AWS_SESSION_TOKEN": CANARY.encode()})


@pytest.mark.parametrize("key", ["OCI_CLI_KEY_FILE", "OCI_CLI_PROFILE", "config", "key_file"])
def test_what_oracle_s_own_tools_read_is_an_unsupported_type(key: str) -> None:
    with pytest.raises(CredentialsProblem) as raised:
        oracle_access_key(GOOD | {key: CANARY.encode()})
    assert raised.value.reason is Reason.UNSUPPORTED_CREDENTIAL_TYPE


@pytest.mark.parametrize("raw", [None, [], "x", 7])
def test_secret_data_that_is_no_map_is_empty(raw: object) -> None:
    assert decode_secret_data(raw) == {}


def test_secret_data_is_decoded_strictly() -> None:
    raw = {"a": base64.b64encode(b"x\xff").decode(), "b": "not base64!", "c": 5, "d": "", "e": "ü"}

    assert decode_secret_data(raw) == {"a": b"x\xff", "b": None, "c": None, "d": b"", "e": None}
