"""A user of Keystone, an application credential or a user of Swift itself; where to ask is never taken from a Secret."""

from __future__ import annotations

import pytest

from stow.api.credentials.keys import CredentialsProblem
from stow.api.credentials.swift import (
    SWIFT_KEYS,
    SwiftApplicationCredential,
    SwiftPassword,
    SwiftV1Key,
    swift_secret,
)
from stow.api.reasons import Reason

CANARY = "CANARYsecretVALUE"
USER = {"OS_USERNAME": "stow", "OS_PASSWORD": CANARY}
APPLICATION = {"OS_APPLICATION_CREDENTIAL_ID": "0123", "OS_APPLICATION_CREDENTIAL_SECRET": CANARY}
V1 = {"ST_USER": "test:tester", "ST_KEY": CANARY}


def secret(**values: str) -> dict[str, bytes | None]:
    return {key: value.encode() for key, value in values.items()}


def problem(data: dict[str, bytes | None], *, is_v1: bool = False) -> CredentialsProblem:
    with pytest.raises(CredentialsProblem) as raised:
        swift_secret(data, is_v1=is_v1)
    assert CANARY not in raised.value.message
    return raised.value


@pytest.mark.parametrize("temp_url_key", [None, f"{CANARY} 2"])
@pytest.mark.parametrize(
    ("values", "is_v1", "found"),
    [
        (USER, False, SwiftPassword("stow", CANARY)),
        ({**USER, "OS_PASSWORD": " pass wörd "}, False, SwiftPassword("stow", " pass wörd ")),
        (APPLICATION, False, SwiftApplicationCredential("0123", CANARY)),
        (V1, True, SwiftV1Key("test:tester", CANARY)),
    ],
)
def test_each_set_of_keys_is_taken(
    values: dict[str, str], is_v1: bool, found: object, temp_url_key: str | None
) -> None:
    extra = {} if temp_url_key is None else {"SWIFT_TEMP_URL_KEY": temp_url_key}
    taken = swift_secret(secret(**values, **extra), is_v1=is_v1)

    assert type(taken) is type(found)
    assert taken.temp_url_key == temp_url_key
    assert [getattr(taken, name) for name in taken.__slots__[:2]] == [
        getattr(found, name) for name in taken.__slots__[:2]
    ]
    assert CANARY not in repr(taken)


@pytest.mark.parametrize(
    "key",
    [
        "OS_AUTH_URL", "OS_CLOUD", "OS_CLIENT_CONFIG_FILE", "OS_CACERT", "OS_CERT", "OS_KEY", "OS_PROJECT_NAME",
        "OS_REGION_NAME", "OS_AUTH_TYPE", "OS_IDENTITY_PROVIDER", "OS_STORAGE_URL", "OS_TOKEN", "ST_AUTH_URL", "ST_AUTH_FILE",
        "clouds.yaml", "AWS_ROLE_ARN", "AZURE_STORAGE_KEY", "config",
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside", [False, True])
def test_configuration_is_an_unsupported_type(key: str, beside: bool) -> None:
    found = problem(secret(**(USER if beside else {}), **{key: CANARY}))

    assert found.reason is Reason.UNSUPPORTED_CREDENTIAL_TYPE
    assert f"the key {key}," in found.message


WRONG: dict[str, tuple[dict[str, str], bool, str]] = {
    "nothing": ({}, False, "it needs OS_USERNAME and OS_PASSWORD, or OS_APPLICATION_CREDENTIAL_ID and"),
    "nothing for V1": ({}, True, "it needs ST_USER and ST_KEY"),
    "temp URL key alone": ({"SWIFT_TEMP_URL_KEY": CANARY}, False, "holds no credentials"),
    "half": ({"OS_USERNAME": "a"}, False, "lacks the key OS_PASSWORD"),
    "two sets": ({**USER, **APPLICATION}, False, "more than one kind of credentials"),
    "V1 for V3": (V1, False, "holds ST_USER, which is for authVersion V1, and the location's is V3"),
    "V3 for V1": (USER, True, "holds OS_USERNAME, which is for authVersion V3, and the location's is V1"),
    "both versions": ({**USER, **V1}, False, "holds ST_USER, which is for authVersion V1"),
    "unknown": ({**USER, "password": CANARY}, False, "the key password, which is not known"),
    "line break": ({**USER, "OS_PASSWORD": f"{CANARY}\n"}, False, "OS_PASSWORD ends with a line break"),
    "control": ({**USER, "OS_USERNAME": "a\0b"}, False, "OS_USERNAME holds control characters"),
    "header": ({**V1, "ST_USER": "a\r\nX-Evil: 1"}, True, "ST_USER holds characters that cannot stand in a header"),
    "header at its end": ({**V1, "ST_KEY": f"{CANARY}\r\n"}, True, "ST_KEY ends with a line break"),
    "header in other letters": ({**V1, "ST_KEY": "ü"}, True, "ST_KEY holds characters that cannot stand in a header"),
    "header with an outer space": ({**V1, "ST_KEY": " a"}, True, "ST_KEY holds characters that cannot stand"),
    "temp URL key": ({**USER, "SWIFT_TEMP_URL_KEY": "a\nb"}, False, "SWIFT_TEMP_URL_KEY holds characters that cannot"),
    "application": ({**APPLICATION, "OS_APPLICATION_CREDENTIAL_ID": "a/b c"}, False, "OS_APPLICATION_CREDENTIAL_ID holds"),
}  # fmt: skip


@pytest.mark.parametrize(("values", "is_v1", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_secret_is_refused_by_its_keys(values: dict[str, str], is_v1: bool, message: str) -> None:
    found = problem(secret(**values), is_v1=is_v1)

    assert found.reason is Reason.CREDENTIALS_INVALID
    assert message in found.message


@pytest.mark.parametrize("key", SWIFT_KEYS.values)
@pytest.mark.parametrize(
    ("value", "fault"), [(None, "is not base64"), (b"", "is empty"), (b"\xff", "is not UTF-8"), (b"a" * 2000, "longer")]
)
def test_every_value_is_bounded_text(key: str, value: bytes | None, fault: str) -> None:
    whole = next((secret(**each) for each in (USER, APPLICATION, V1) if key in each), secret(**USER))

    assert fault in problem(whole | {key: value}, is_v1=key in V1).message
